// What is going on: rate, errors and durations by color, and whatever needs attention.

import { chart, spark } from "../chart.js";
import { card, empty, h, head, notice, tag } from "../dom.js";
import { ago, ms, percent, plural, rate, short, span, when } from "../format.js";
import { hue, state, troubled } from "../state.js";

/** Rollouts and findings that are named at once. */
const MOST = 4;

export function now({ redraw }) {
  const hovers = {};
  const hover = (id) => ({ hover: hovers[id], onHover: (t) => ((hovers[id] = t), redraw()) });
  return () => [
    head("Now", "The last minute in numbers, the last five minutes in pictures."),
    h("div", { class: "stack" }, attention(), state.frame ? [tiles(), traffic(hover("traffic")), h("div", { class: "grid half" }, durations(hover("durations")), failures(hover("failures"))), h("div", { class: "grid two" }, rows(), refusals())] : waiting()),
  ];
}

function waiting() {
  return h("section", { class: "card" }, state.link === "down"
    ? empty("alert", "The gateway does not answer", "This page comes back by itself as soon as it does.")
    : empty("now", "Listening", "The first numbers come within a second."));
}

function attention() {
  const { status, frame } = state;
  const found = [];
  if (status?.draining) found.push(notice("warn", h("b", {}, "Draining. "), "The gateway takes no new connections and leaves when its requests have ended."));
  const rejected = status?.config.rejected;
  if (rejected) found.push(notice("bad", h("b", {}, "The last configuration was refused. "), `Generation ${status.generation} goes on serving. `, h("a", { href: "#/config" }, "See why")));
  if (status?.config.applied) found.push(notice("warn", h("b", {}, "Applied by hand. "), "The file says something else, and rules again after a restart."));
  if (status?.config.rolled_back_to) found.push(notice("warn", h("b", {}, `Rolled back to generation ${status.config.rolled_back_to}. `), "The file says something else."));
  const open = frame?.breakers.filter((breaker) => breaker.state === "open") ?? [];
  if (open.length) found.push(notice("bad", h("b", {}, `${plural(open.length, "breaker")} open: `), open.slice(0, 4).map((b) => `${b.service}/${b.version}`).join(", "), ". ", h("a", { href: "#/services" }, "Look")));
  const down = (status?.endpoints_out ?? []).map((out) => `${out.service}/${out.version} ${out.endpoint}${out.cause ? ` (${out.cause})` : ""}`);
  if (down.length) found.push(notice("warn", h("b", {}, `${plural(down.length, "endpoint")} out: `), down.slice(0, 4).join(", "), down.length > 4 ? " …" : "", ". ", h("a", { href: "#/services" }, "Look")));
  found.push(...troubled().slice(0, MOST).map(stopped));
  if (status?.findings?.length) found.push(notice("warn", status.findings.slice(0, MOST).map((words) => h("div", {}, sentence(words)))));
  return found;
}

/** A rollout that its guard has stopped stays on this page until it is started again. */
function stopped({ color, rollout }) {
  const last = rollout.events.at(-1);
  const words = rollout.phase === "aborted" ? `aborted, ${last?.from ?? "–"} to 0%` : `paused at ${rollout.share}`;
  return notice(rollout.phase === "aborted" ? "bad" : "warn", h("b", {}, `Rollout ${color} ${words}. `), `${when(rollout.since)}, ${ago(rollout.since)}: ${rollout.reason}. `, h("a", { href: "#/rollouts" }, "Look"));
}

const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}.`;

function tiles() {
  const { total, overhead, active, connections } = state.frame;
  const { window } = total;
  const us = (value) => ms(value === null ? null : value / 1000);
  const tile = (title, id, value, also, pick, ink) => h("section", { class: "card tile" }, h("h2", {}, title), h("div", { class: "big", "data-testid": id }, value), h("div", { class: "also" }, also), spark(state.history, pick, ink));
  const second = (value) => h("span", {}, "now ", value);
  return h("div", { class: "grid tiles" },
    tile("Requests", "rps", rate(window.rps), [h("span", {}, "now ", h("span", { "data-testid": "rps-now" }, rate(total.rps))), h("span", {}, short(active), " in flight"), h("span", {}, plural(connections, "connection"))], (e) => e.total.rps, "var(--accent)"),
    tile("Errors", "errors", percent(window.errors, window.rps), [second(percent(total.errors, total.rps)), h("span", {}, rate(window.errors))], (e) => e.total.errors, window.errors > 0 ? "var(--bad)" : "var(--good)"),
    tile("Latency, p99", "p99", ms(window.p99_ms), [second(ms(total.p99_ms)), h("span", {}, "median ", ms(window.p50_ms))], (e) => e.total.p99_ms, "var(--accent)"),
    tile("Own overhead, p99", "overhead", us(overhead.window.p99_us), [second(us(overhead.p99_us)), h("span", {}, "median ", us(overhead.window.p50_us))], (e) => e.overhead.p99_us, "var(--uncolored)"));
}

/** Colors seen within the window, uncolored first. */
function seen() {
  const names = new Set(state.history.flatMap((entry) => Object.keys(entry.colors)));
  return [...names].sort((a, b) => a.localeCompare(b)).map((name) => ({ name: name || "uncolored", key: name, hue: hue(name) }));
}

function traffic(hover) {
  const series = seen().map((color) => ({ ...color, value: (entry) => entry.colors[color.key]?.rps ?? 0 }));
  const legend = h("div", { class: "legend" }, series.map((one) => h("span", { class: "hue" }, h("i", { class: "dot square", style: { "--hue": one.hue } }), one.name, h("b", { "data-testid": `rps-${one.name}` }, rate(state.frame.colors[one.key]?.window.rps ?? 0)))));
  if (!series.length) return card("Requests by color", null, empty("colors", "No traffic yet", "Send a request through a listener and it shows up here.", `curl http://${state.status?.listeners[0]?.address ?? "localhost:8080"}/`));
  return card("Requests by color", legend, chart({ title: "Requests a second by color", entries: state.history, series, stacked: true, wide: true, label: (n) => short(n), ...hover }), promql("sum by (color) (rate(tyrian_requests_total[1m]))"));
}

function durations(hover) {
  const series = [
    { name: "p99", hue: "var(--accent)", value: (entry) => entry.total.p99_ms },
    { name: "p50", hue: "var(--uncolored)", value: (entry) => entry.total.p50_ms },
  ];
  return card("Latency", keys(series), chart({ title: "Latency", entries: state.history, series, log: true, label: (n) => (n === null || n === undefined ? "–" : span(n).join(" ")), ...hover }), promql(quantile(0.99), quantile(0.5)));
}

function failures(hover) {
  const series = [
    { name: "errors (5xx)", hue: "var(--bad)", value: (entry) => entry.total.errors },
    { name: "refused (4xx)", hue: "var(--warn)", value: (entry) => entry.total.refused },
  ];
  return card("Failures a second", keys(series), chart({ title: "Failures a second", entries: state.history, series, stacked: true, label: (n) => short(n), ...hover }), promql(rateOf("5.."), rateOf("4..")));
}

// The same numbers as Prometheus has them, for whoever wants to ask further.
const promql = (...queries) => h("details", { class: "promql" }, h("summary", {}, "Show PromQL"), queries.map((query) => h("code", { tabindex: "0" }, query)));
const quantile = (share) => `histogram_quantile(${share}, sum by (le) (rate(http_server_request_duration_seconds_bucket[1m])))`;
const rateOf = (codes) => `sum(rate(tyrian_requests_total{code=~"${codes}"}[1m]))`;

const keys = (series) => h("div", { class: "legend" }, series.map((one) => h("span", { class: "hue" }, h("i", { class: "dot square", style: { "--hue": one.hue } }), one.name)));

function rows() {
  const { rows, rows_left_off: more, window_s: seconds } = state.frame;
  const shown = rows.slice(0, 14);
  const top = Math.max(...rows.map((row) => row.window.rps), 1e-9);
  const line = (row) => h("tr", { "data-key": `${row.route}|${row.version}|${row.color}` },
    h("td", {}, h("span", { class: "hue" }, h("i", { class: "dot", style: { "--hue": hue(row.color) }, title: row.color || "uncolored" }), row.route || h("span", { class: "soft" }, "no route")), h("div", { class: "sub" }, row.service ? `${row.service} ${row.version}` : "answered here", row.color ? ` · ${row.color}` : "")),
    h("td", { class: "wide-only" }, h("div", { class: "meter" }, h("i", { style: { width: `${(100 * row.window.rps) / top}%`, "--hue": hue(row.color) } }))),
    h("td", { class: "right" }, rate(row.window.rps)),
    h("td", { class: `right ${row.window.errors ? "bad-text" : ""}` }, percent(row.window.errors, row.window.rps)),
    h("td", { class: "right wide-only" }, ms(row.window.p50_ms)),
    h("td", { class: "right" }, ms(row.window.p99_ms)));
  const left = more + rows.length - shown.length;
  return h("section", { class: "card flush" }, h("header", {}, h("h2", {}, "Where it goes"), h("span", { class: "soft small" }, `last ${seconds} s`)),
    shown.length
      ? h("div", { class: "scroll" }, h("table", {}, h("caption", { class: "sr" }, "Traffic by route, version and color"),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Route"), h("th", { scope: "col", class: "wide-only" }, h("span", { class: "sr" }, "Share")), ["Rate", "Errors"].map((t) => h("th", { scope: "col", class: "right" }, t)), h("th", { scope: "col", class: "right wide-only" }, "p50"), h("th", { scope: "col", class: "right" }, "p99"))),
        h("tbody", { "data-testid": "rows" }, shown.map(line))))
      : empty("now", "Quiet", `Nothing within the last ${seconds} seconds.`),
    left > 0 && h("p", { class: "soft small", style: { padding: "10px 18px" } }, `and ${plural(left, "quieter row")}`));
}

function refusals() {
  const { refusals_window: window, window_s: seconds } = state.frame;
  const reasons = Object.entries(window).sort((a, b) => b[1] - a[1]);
  const top = reasons[0]?.[1] ?? 1;
  return card("Refused", h("span", { class: "soft small" }, `last ${seconds} s, by reason`), reasons.length
    ? h("div", { class: "stack", style: { gap: "12px" } }, reasons.map(([reason, n]) => h("div", {}, h("div", { class: "row spread" }, h("code", {}, reason), rate(n)), h("div", { class: "meter", style: { "--hue": "var(--warn)" } }, h("i", { style: { width: `${(100 * n) / top}%` } })))))
    : empty("check", "Nothing is refused", "Every request of the last minute was let through."));
}
