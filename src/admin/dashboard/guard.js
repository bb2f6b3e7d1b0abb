// What a rollout's guard demands, beside the numbers that it judges.

import { h, tag } from "./dom.js";
import { ms, percent, short, span, when } from "./format.js";

/** The row of the table that a finding is about. */
const ABOUT = { error_rate: "errors", errors_against_default: "errors", p50_against_default: "median", p99: "p99", p99_against_default: "p99" };

/** Limits and numbers of the window that is open, or of the last one. */
export function guard(color, rollout) {
  const open = Boolean(rollout.window.began);
  const seen = open ? rollout.window : rollout.last_window;
  const which = open ? `window since ${when(seen.began)}` : seen ? `last window, ${when(seen.began)} to ${when(seen.ended)}` : "no window yet";
  return h("div", { class: "part" },
    h("div", { class: "row spread" }, h("h3", {}, "Guard"), h("span", { class: "soft small num" }, which)),
    rollout.guard ? null : h("p", { class: "soft small" }, "No guard: time alone decides. ", h("code", {}, 'guard = { max_error_rate = "2%" }'), " would take it back."),
    table(color, rows(rollout, seen ?? {})));
}

function table(color, list) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Limits of rollout ${color}` }, h("table", { class: "tight" }, h("caption", { class: "sr" }, `Guard of rollout ${color}`),
    h("thead", {}, h("tr", {}, h("td", {}), [color, "default"].map((t) => h("th", { scope: "col", class: "right" }, t)), h("th", { scope: "col" }, "Limit"))),
    h("tbody", {}, list.map((row) => h("tr", { "data-key": row.name, "data-testid": `guard-${row.name}` }, h("th", { scope: "row" }, row.title),
      h("td", { class: "right num" }, row.mine), h("td", { class: "right num" }, row.theirs),
      h("td", {}, h("div", { class: "limit" }, h("div", { class: "small" }, row.limits.length ? row.limits.map((words) => h("div", {}, words)) : h("span", { class: "soft" }, "none")), row.state ? tag(...row.state) : null)))))));
}

function rows(rollout, seen) {
  const limits = rollout.guard ?? {};
  const worse = limits.worse_than_default ? parseFloat(limits.worse_than_default) / 100 : null;
  const share = (failures, requests) => (requests ? failures / requests : null);
  const [mine, theirs] = ["color", "default"].map((side) => share(seen[`${side}_failures`], seen[`${side}_requests`]));
  const above = worse === null ? [] : [`at most ${limits.worse_than_default} over default`];
  const bound = (absolute, other) => Math.min(absolute ?? Infinity, worse !== null && other !== null && other !== undefined ? other * (1 + worse) : Infinity);
  const judge = (name, value, most) => {
    const stopped = rollout.phase === "aborted" || rollout.phase === "paused";
    if (stopped && ABOUT[rollout.finding?.what] === name) return ["bad", "breach"];
    if (value === null || value === undefined || most === Infinity) return null;
    if (seen.color_requests < limits.min_requests) return ["", "too early"];
    return value > most ? ["warn", "over"] : ["good", "within"];
  };
  const errors = (side, rate) => [percent(rate === null ? 0 : rate, rate === null ? 0 : 1), h("div", { class: "sub" }, rate === null ? "\u00a0" : `${short(seen[`${side}_failures`])} of ${short(seen[`${side}_requests`])}`)];
  const most = limits.max_error_rate ? parseFloat(limits.max_error_rate) / 100 : null;
  const enough = seen.color_requests >= limits.min_requests;
  return [
    { name: "requests", title: "Requests", mine: short(seen.color_requests), theirs: short(seen.default_requests), limits: rollout.guard ? [`${short(limits.min_requests)} to judge`] : [], state: rollout.guard && seen.began ? (enough ? ["good", "enough"] : ["", "too few"]) : null },
    { name: "errors", title: "Errors", mine: errors("color", mine), theirs: errors("default", theirs), limits: [limits.max_error_rate ? `at most ${limits.max_error_rate}` : [], above].flat(), state: judge("errors", mine, bound(most, theirs)) },
    { name: "median", title: "Median", mine: ms(seen.color_p50_ms), theirs: ms(seen.default_p50_ms), limits: above, state: judge("median", seen.color_p50_ms, bound(null, seen.default_p50_ms)) },
    { name: "p99", title: "p99", mine: ms(seen.color_p99_ms), theirs: ms(seen.default_p99_ms), limits: [limits.max_p99_ms ? `at most ${span(limits.max_p99_ms).join(" ")}` : [], above].flat(), state: judge("p99", seen.color_p99_ms, bound(limits.max_p99_ms, seen.default_p99_ms)) },
  ];
}
