// Listeners: where clients connect and by which protocols; and the certificates they are shown.

import { get, polled } from "../api.js";
import { empty, h, head, notice, tag } from "../dom.js";
import { day, place, plural, short } from "../format.js";

/** Between two looks. */
const PACE_MS = 2000;
/** Names of a certificate that are shown at once. */
const NAMES = 4;

export function listeners(page) {
  const here = { listeners: null, certificates: null, problem: null };
  polled(async () => {
    const [{ listeners }, { certificates }] = await Promise.all([get("/v1/listeners"), get("/v1/certificates")]);
    Object.assign(here, { listeners, certificates });
  }, PACE_MS, here, page);
  return () => [
    head("Listeners & TLS", "Where clients connect, what is spoken there, and the certificates they are shown."),
    h("div", { class: "stack" }, here.problem && notice("bad", here.problem.message), here.certificates && ending(here.certificates), here.listeners && doors(here.listeners), here.certificates && certificates(here.certificates)),
  ];
}

/** What must be renewed, before everything else. */
function ending(list) {
  const worst = list.some((one) => one.state === "expired" || one.state === "not-yet-valid");
  const found = list.filter((one) => one.state !== "valid");
  if (!found.length) return null;
  const words = (one) => h("div", {}, h("b", {}, one.names[0] ?? one.subject), `: ${until(one)} (listener ${one.listener})`);
  return notice(worst ? "bad" : "warn", found.map(words));
}

const DAY_MS = 86_400_000;

/** How long it is still good for, in words. */
function until({ state, not_before, not_after }) {
  if (state === "not-yet-valid") return `valid from ${day(not_before)}`;
  const left = (new Date(not_after) - Date.now()) / DAY_MS;
  if (left <= 0) return `expired ${left > -1 ? "today" : `${plural(Math.floor(-left), "day")} ago`}`;
  return left < 1 ? "expires within a day" : `expires in ${plural(Math.floor(left), "day")}`;
}

function doors(list) {
  const line = (one) => h("tr", { "data-key": one.name, "data-testid": `listener-${one.name}` },
    h("td", {}, h("b", {}, one.name), h("div", { class: "sub narrow-only" }, h("code", {}, one.address ?? "not open")), h("div", { class: "sub wide-only" }, place(one.at))),
    h("td", { class: "wide-only" }, one.address ? h("code", {}, one.address) : tag("bad", "not open"), one.address !== one.bind ? h("div", { class: "sub" }, "asked for ", h("code", {}, one.bind)) : null),
    h("td", {}, h("div", { class: "row" }, one.protocols.map((protocol) => tag("", protocol)), one.tls && tag("accent", `TLS ${one.tls.min_version}+`), one.tls?.client_auth && tag("accent", `mTLS ${one.tls.client_auth}`), one.proxy_protocol && tag("", "PROXY"))),
    h("td", { class: "wide-only small" }, one.trust.length ? one.trust.map((network) => h("div", {}, h("code", {}, network))) : h("span", { class: "soft" }, "no network")),
    h("td", { class: "right num" }, short(one.connections), h("div", { class: "sub" }, `of ${short(one.max_connections)}`), meter(one)));
  return h("section", { class: "card flush" }, h("header", {}, h("h2", {}, "Listeners", h("span", { class: "unit" }, list.length))), list.length
    ? h("div", { class: "scroll" }, h("table", {}, h("caption", { class: "sr" }, "Listeners"), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Listener"), h("th", { scope: "col", class: "wide-only" }, "Address"), h("th", { scope: "col" }, "Speaks"), h("th", { scope: "col", class: "wide-only" }, "Trusts"), h("th", { scope: "col", class: "right" }, "Connections"))), h("tbody", {}, list.map(line))))
    : empty("listeners", "No listeners", "Clients connect to listeners.", '[listeners.web]\nbind = "0.0.0.0:8080"'));
}

function meter({ connections, max_connections: most }) {
  const full = connections >= 0.9 * most;
  return h("div", { class: "meter", style: { "--hue": full ? "var(--warn)" : "var(--accent)" } }, h("i", { style: { width: `${(100 * connections) / most}%`, "min-width": connections ? "2px" : "0" } }));
}

const STATES = { valid: "good", expiring: "warn", expired: "bad", "not-yet-valid": "bad" };

/** The common name of a distinguished name, or all of it. */
const common = (name) => /(?:^|, ?)CN=([^,]+)/.exec(name)?.[1] ?? name;

function certificates(list) {
  const line = (one) => h("tr", { "data-key": `${one.listener} ${one.sha256}`, "data-testid": "certificate" },
    h("td", { class: "wrap" }, one.names.slice(0, NAMES).map((name) => h("div", {}, h("b", {}, name))), one.names.length > NAMES && h("div", { class: "sub", title: one.names.join("\n") }, `and ${plural(one.names.length - NAMES, "name")} more`), !one.names.length && h("span", { class: "soft" }, one.subject), h("div", { class: "sub narrow-only" }, `listener ${one.listener}`)),
    h("td", { class: "wide-only" }, one.listener, h("div", { class: "sub" }, place(one.file))),
    h("td", { class: "wide-only" }, h("span", { title: one.issuer }, common(one.issuer)), one.issuer === one.subject ? h("div", { class: "sub" }, "signed by itself") : one.chained ? null : h("div", { class: "sub warn-text" }, "chain is out of order")),
    h("td", { class: "num" }, h("span", { title: one.not_after }, day(one.not_after)), h("div", { class: "sub calm" }, until(one))),
    h("td", { class: "right" }, tag(STATES[one.state] ?? "", one.state.replaceAll("-", " "))));
  return h("section", { class: "card flush" }, h("header", {}, h("h2", {}, "Certificates", h("span", { class: "unit" }, list.length))), list.length
    ? h("div", { class: "scroll" }, h("table", {}, h("caption", { class: "sr" }, "Certificates"), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Names"), ["Listener", "Issuer"].map((t) => h("th", { scope: "col", class: "wide-only" }, t)), h("th", { scope: "col" }, "Valid until"), h("th", { scope: "col", class: "right" }, "State"))), h("tbody", {}, list.map(line))))
    : empty("limits", "No certificates", "No listener has TLS.", '[listeners.tls]\nbind = "0.0.0.0:8443"\ntls = { certs = [{ chain = "tls/api.pem", key = { file = "tls/api.key" } }] }'));
}
