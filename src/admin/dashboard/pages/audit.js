// Audit: who has changed what by the admin API, and who was not let in.

import { get, polled } from "../api.js";
import { empty, h, head, notice, tag } from "../dom.js";
import { ago, day, when } from "../format.js";

/** Between two looks. */
const PACE_MS = 2000;

export function audit(page) {
  const here = { all: null, problem: null };
  polled(async () => (here.all = await get("/v1/audit")), PACE_MS, here, page);
  return () => [
    head("Audit", "Who has changed what by this API, and who was not let in, since the process started."),
    h("div", { class: "stack" }, here.problem && notice("bad", here.problem.message), here.all && table(here.all)),
  ];
}

const kind = (status) => (status < 300 ? "good" : status === 401 || status === 403 || status >= 500 ? "bad" : "warn");

function table({ entries, kept, refused_kept: refused }) {
  const line = (one, at) => h("tr", { "data-key": `${one.time} ${one.path} ${at}` },
    h("td", { class: "num" }, h("span", { title: one.time }, when(one.time)), h("div", { class: "sub" }, ago(one.time) === "just now" || Date.now() - new Date(one.time) < 86_400_000 ? ago(one.time) : day(one.time))),
    h("td", { class: "wide-only" }, one.role ? tag(one.role === "write" ? "accent" : "", `${one.role} token`) : tag("bad", "no valid token"), h("div", { class: "sub" }, h("code", {}, one.client ?? "–"))),
    h("td", { class: "wrap" }, one.deed ? h("div", {}, one.deed) : null, h("div", { class: one.deed ? "sub" : "" }, h("code", {}, one.method, " ", one.path)), h("div", { class: "sub narrow-only" }, one.role ? `${one.role} token` : h("span", { class: "bad-text" }, "no valid token"), ", ", h("code", {}, one.client ?? "–"))),
    h("td", { class: "right" }, tag(kind(one.status), one.status)));
  return h("section", { class: "card flush" }, h("header", {}, h("h2", {}, "Calls"), h("span", { class: "soft small" }, `the last ${kept}, and ${refused} without a valid token`)), entries.length
    ? h("div", { class: "scroll" }, h("table", {}, h("caption", { class: "sr" }, "Calls, the newest first"), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "When"), h("th", { scope: "col", class: "wide-only" }, "Who"), h("th", { scope: "col" }, "What"), h("th", { scope: "col", class: "right" }, "Answer"))), h("tbody", { "data-testid": "audit" }, entries.map(line))))
    : empty("audit", "Nothing was changed", "Reloads, rollbacks, rollouts, drains and held breakers show up here, and so do calls that were not let in."));
}
