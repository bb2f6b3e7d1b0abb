// Colors: who wears them, which versions they meet, how much of the traffic they are.

import { get } from "../api.js";
import { card, empty, h, head, notice, tag } from "../dom.js";
import { ms, percent, place, plural, rate } from "../format.js";
import { hue, state } from "../state.js";

export function colors({ redraw }) {
  const here = { all: null, problem: null };
  get("/v1/colors").then((all) => (here.all = all), (problem) => (here.problem = problem)).finally(redraw);
  return () => [
    head("Colors", "A request gets its color once and meets the versions of that color along the whole chain."),
    h("div", { class: "stack" }, here.problem && notice("bad", here.problem.message), here.all && [share(), list(here.all)]),
  ];
}

function share() {
  const seen = Object.entries(state.frame?.colors ?? {}).sort(([a], [b]) => a.localeCompare(b));
  const total = seen.reduce((sum, [, one]) => sum + one.window.rps, 0);
  if (!total) return card("Share of traffic", null, empty("colors", "No traffic", "Shares show as soon as requests come."));
  return card("Share of traffic", h("span", { class: "soft small" }, `last ${state.frame.window_s} s`),
    h("div", { class: "shares", role: "img", "aria-label": seen.map(([name, one]) => `${name || "uncolored"} ${Math.round((100 * one.window.rps) / total)} percent`).join(", ") }, seen.map(([name, one]) => h("i", { style: { "--hue": hue(name), "flex-grow": one.window.rps / total } }))),
    h("div", { class: "legend", style: { "margin-top": "12px" } }, seen.map(([name, one]) => h("span", { class: "hue" }, h("i", { class: "dot square", style: { "--hue": hue(name) } }), name || "uncolored", h("b", {}, percent(one.window.rps, total))))));
}

function list({ colors, header }) {
  if (!colors.length) return h("section", { class: "card" }, empty("colors", "No colors", "Without colors everything meets the default versions.", '[colors.canary]\nwhen = [{ header = { "x-user-group" = "beta" } }]\nversions = { shop = "v2" }\nhex = "#22c55e"'));
  return h("div", { class: "grid half" }, colors.map((color) => one(color)), h("p", { class: "soft small", style: { "grid-column": "1 / -1" } }, "On the wire colors travel in ", h("code", {}, header), ", believed only from trusted clients."));
}

function one(color) {
  const seen = state.frame?.colors[color.name]?.window;
  const met = Object.entries(color.versions);
  const fact = (title, shown, bad) => h("div", {}, h("dt", {}, title), h("dd", { class: bad ? "bad-text" : "" }, shown));
  return h("section", { class: "card", "data-key": color.name, style: { "border-top": `3px solid ${hue(color.name)}` } },
    h("header", {}, h("div", { class: "row" }, h("i", { class: "dot", style: { "--hue": hue(color.name), width: "14px", height: "14px" } }), h("h2", {}, color.name), color.hex && h("code", { class: "soft" }, color.hex)), place(color.at)),
    h("div", { class: "body stack" },
      h("dl", { class: "facts" }, fact("Rate", seen ? rate(seen.rps) : "–"), fact("Errors", seen ? percent(seen.errors, seen.rps) : "–", seen?.errors > 0), fact("p50", ms(seen?.p50_ms)), fact("p99", ms(seen?.p99_ms))),
      h("dl", { class: "pairs" }, h("dt", {}, "Who gets it"), h("dd", {}, color.rules ? plural(color.rules, "rule") : "only who carries it"),
        h("dt", {}, "Meets"), h("dd", { class: "row" }, met.length ? met.map(([service, version]) => h("span", { class: "tag" }, `${service} ${version}`)) : "default versions"),
        h("dt", {}, "If that fails"), h("dd", {}, color.fallback === "default" ? "the default version serves" : "503"))));
}
