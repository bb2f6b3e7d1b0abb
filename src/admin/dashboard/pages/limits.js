// Limits and those who know clients: how full, how old, how often no.

import { get, polled } from "../api.js";
import { card, empty, h, head, notice, tag } from "../dom.js";
import { lasting, place, plural, short } from "../format.js";

/** Between two looks. */
const PACE_MS = 2000;

export function limits(page) {
  const here = { all: null, problem: null };
  polled(async () => (here.all = await get("/v1/limits")), PACE_MS, here, page);
  return () => [
    head("Limits & JWT", "Who is asked to slow down, and who is let in."),
    h("div", { class: "stack" }, here.problem && notice("bad", here.problem.message), here.all && [rates(here.all.limits), providers(here.all.providers)]),
  ];
}

function rates(limits) {
  const line = (limit) => {
    const asked = limit.allowed + limit.limited + limit.reported;
    const refused = limit.limited + limit.reported;
    return h("tr", { "data-key": limit.name },
      h("td", {}, h("b", {}, limit.name), " ", limit.mode !== "enforce" && tag("warn", limit.mode), h("div", { class: "sub" }, place(limit.at))),
      h("td", { class: "num" }, limit.rate.replace("/1s", "/s").replace("/60s", "/min").replace("/3600s", "/h"), h("div", { class: "sub" }, `burst ${limit.burst}`)),
      h("td", { class: "wide-only" }, limit.key.map((key) => h("code", {}, key, " "))),
      h("td", {}, h("div", { class: "meter", style: { "--hue": "var(--warn)" } }, h("i", { style: { width: `${asked ? (100 * refused) / asked : 0}%`, "min-width": refused ? "2px" : "0" } })), h("div", { class: "sub num" }, `${short(refused)} of ${short(asked)} over`)),
      h("td", { class: "right num wide-only" }, short(limit.keys), h("div", { class: "sub" }, `of ${short(limit.max_keys)} keys`)));
  };
  return h("section", { class: "card flush" }, h("header", {}, h("h2", {}, "Rate limits")), limits.length
    ? h("div", { class: "scroll" }, h("table", {}, h("caption", { class: "sr" }, "Rate limits"), h("thead", {}, h("tr", {}, ["Limit", "Rate"].map((t) => h("th", { scope: "col" }, t)), h("th", { scope: "col", class: "wide-only" }, "By"), h("th", { scope: "col" }, "Over the limit"), h("th", { scope: "col", class: "right wide-only" }, "Known"))), h("tbody", {}, limits.map(line))))
    : empty("limits", "No limits", "A limit bounds how often one client, key or claim may ask.", '[limits.per-client]\nrate = "100/s"\nkey = "ip"'));
}

function providers(providers) {
  if (!providers.length) return card("Who lets in", null, empty("limits", "Nobody is asked who they are", "Tokens, keys or a service of yours can guard routes.", '[jwt.users]\nissuer = "https://id.example.com/"\nkeys = { jwks_url = "https://id.example.com/jwks.json" }'));
  return h("div", { class: "grid half" }, providers.map(one));
}

function one(provider) {
  const rows = { jwt: jwt, api_keys: keys, forward_auth: forward }[provider.kind]?.(provider) ?? [];
  const kinds = { jwt: "JWT", api_keys: "API keys", forward_auth: "asks a service" };
  return h("section", { class: "card", "data-key": provider.name }, h("header", {}, h("h2", {}, provider.name), tag("", kinds[provider.kind] ?? provider.kind)), h("div", { class: "body" }, h("dl", { class: "pairs" }, rows.map(([title, value]) => [h("dt", {}, title), h("dd", { class: "num" }, value)]))));
}

function jwt(provider) {
  const age = provider.keys_age_s;
  const failed = provider.failed_fetches ?? 0;
  const results = Object.entries(provider.results).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  return [["Issuer", provider.issuer ?? "any"],
    ["Keys", [plural(provider.keys, "key"), age === null || age === undefined ? "" : h("span", { class: failed || provider.failed_fetches === null ? "warn-text" : "soft" }, `, ${lasting(age)} old`), failed ? h("span", { class: "warn-text" }, `, ${plural(failed, "fetch", "fetches")} failed`) : null]],
    ["Cached tokens", short(provider.cached_tokens)],
    ...results.map(([result, n]) => [h("code", {}, result), short(n)])];
}

const keys = (provider) => [["Accepted", short(provider.accepted)], ["Refused", short(provider.refused)]];
const forward = (provider) => [["Allowed", short(provider.allowed)], ["Denied", short(provider.denied)], ["Did not answer", short(provider.failed)]];
