// Charts of the last minutes: stacked areas and lines, with marks where something was changed.

import { h } from "./dom.js";
import { clock, span } from "./format.js";
import { marks, near, placed } from "./marks.js";
import { LOOK_BACK } from "./state.js";

const WIDTH = 1000;
const HEIGHT = 200;
/** Where a logarithmic axis of milliseconds ends. */
const SLOWEST = 10_000;

/** The next round number above, so that the axis reads well. */
function ceiling(max) {
  if (!(max > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(max));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((round) => round >= max * 1.02) ?? 10 * power;
}

/** An axis from 0: `y(value)` and what stands beside its lines. */
function linear(max, label) {
  const top = ceiling(max);
  const ticks = [0, 0.5, 1].map((share) => [top * share, share ? label(top * share) : "0"]);
  return { y: (v) => HEIGHT - (v / top) * HEIGHT, ticks };
}

/** An axis of milliseconds by powers of ten: 1 ms to 10 s, from 100 µs where something is faster. */
function logarithmic(min) {
  const bottom = min > 0 && min < 1 ? 0.1 : 1;
  const decades = Math.log10(SLOWEST / bottom);
  const share = (v) => Math.min(1, Math.max(0, Math.log10(Math.max(v, bottom) / bottom) / decades));
  const ticks = Array.from({ length: decades + 1 }, (_, at) => bottom * 10 ** at);
  return { y: (v) => HEIGHT - share(v) * HEIGHT, ticks: ticks.map((ms) => [ms, span(ms).join(" ")]) };
}

/**
 * `entries` are seconds, the newest last; `series` are `{ name, hue, value(entry), dashed }`.
 * Stacked areas or plain lines, on a linear axis or (`log`) one of milliseconds by powers of ten;
 * `label(n)` words a value; `wide` says whether the chart has a row of its own.
 */
export function chart({ title, entries, series, stacked, log, wide, label, hover, onHover }) {
  const end = entries.at(-1)?.t ?? Date.now();
  const x = (t) => WIDTH - ((end - t) / 1000 / (LOOK_BACK - 1)) * WIDTH;
  const value = (one, entry) => one.value(entry) ?? (stacked ? 0 : null);
  const { y, ticks } = scale(entries, series, value, { stacked, log, label });
  const shapes = stacked ? areas(entries, series, value, x, y) : series.map((one) => line(entries, (entry) => value(one, entry), x, y, one));
  const all = placed(marks(entries, (t) => x(t) / 10), wide);
  const now = entries.at(-1);
  const spoken = now ? series.map((one) => `${one.name} ${label(value(one, now))}`).join(", ") : "no data yet";
  const changes = all.length ? ` Marked: ${all.map((mark) => mark.title).join("; ")}.` : "";
  const pointed = hover === null || hover === undefined ? null : entries.find((entry) => entry.t === hover);
  return h("div", { class: "chart" },
    h("div", { class: "axis", "aria-hidden": "true" }, ticks.map(([v, words]) => h("span", { style: { top: `${y(v) / 2}%` } }, words))),
    h("div", { class: "plot", onmousemove: (event) => onHover(nearest(event, entries, x)), onmouseleave: () => onHover(null) },
      h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}, last 5 minutes. Now: ${spoken}.${changes}` },
        ticks.map(([v]) => h("line", { class: "grid-line", x1: 0, x2: WIDTH, y1: y(v), y2: y(v) })), shapes,
        all.map((mark) => h("line", { class: `mark ${mark.kind}`, x1: mark.at * 10, x2: mark.at * 10, y1: 0, y2: HEIGHT }))),
      all.map((mark) => h("span", { class: `flag ${mark.kind} ${mark.side}`, title: mark.title, "aria-hidden": "true", style: { left: `${mark.at}%` } }, mark.shown ? mark.label : null)),
      pointed ? tip(pointed, series, value, label, x(pointed.t) / 10, near(all, x(pointed.t) / 10)) : null),
    h("div", { class: "times", "aria-hidden": "true" }, ["5 min ago", "4", "3", "2", "1", "now"].map((t) => h("span", {}, t))));
}

function scale(entries, series, value, { stacked, log, label }) {
  let [min, max] = [Infinity, 0];
  for (const entry of entries) {
    const values = series.map((one) => value(one, entry)).filter((v) => v !== null);
    min = Math.min(min, ...values.filter((v) => v > 0));
    max = Math.max(max, stacked ? values.reduce((a, b) => a + b, 0) : Math.max(0, ...values));
  }
  return log ? logarithmic(min) : linear(max, label);
}

function nearest(event, entries, x) {
  const box = event.currentTarget.getBoundingClientRect();
  const at = ((event.clientX - box.left) / box.width) * WIDTH;
  let best = null;
  for (const entry of entries) if (!best || Math.abs(x(entry.t) - at) < Math.abs(x(best.t) - at)) best = entry;
  return best?.t ?? null;
}

function tip(entry, series, value, label, at, changes) {
  const side = at > 60 ? { right: `${100 - at + 1.5}%` } : { left: `${at + 1.5}%` };
  return h("div", {},
    h("div", { class: "cross", style: { left: `${at}%` } }),
    h("div", { class: "tip", style: side }, h("div", { class: "soft" }, clock(entry.t)),
      series.map((one) => h("div", {}, h("span", { class: "hue" }, h("i", { class: "dot square", style: { "--hue": one.hue } }), one.name), h("b", { class: "num" }, label(value(one, entry))))),
      changes.map((mark) => h("p", { class: `change ${mark.kind}` }, mark.title))));
}

const point = ([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`;
const points = (list) => list.map(point).join("L");
const pen = (hue, width) => ({ fill: "none", "stroke-width": width, "vector-effect": "non-scaling-stroke", "stroke-linejoin": "round", "stroke-linecap": "round", style: { stroke: hue } });

/** One area on top of the other. */
function areas(entries, series, value, x, y) {
  const base = entries.map(() => 0);
  return series.map((one) => {
    const values = entries.map((entry) => value(one, entry));
    const lower = base.map((v, at) => [x(entries[at].t), y(v)]);
    values.forEach((v, at) => (base[at] += v));
    return area(base.map((v, at) => [x(entries[at].t), y(v)]), lower, one.hue, values);
  });
}

function area(upper, lower, hue, values) {
  if (!upper.length) return null;
  return [h("path", { d: `M${points(upper)}L${points([...lower].reverse())}Z`, style: { fill: hue, "fill-opacity": "0.22" } }),
    h("path", { d: outline(upper, values), ...pen(hue, "1.6") })];
}

/** The upper edge, but not where the layer has nothing: its line would hide the one below. */
function outline(upper, values) {
  let path = "";
  for (let at = 1; at < upper.length; at++) {
    if (!(values[at] > 0 || values[at - 1] > 0)) continue;
    const goesOn = at > 1 && (values[at - 1] > 0 || values[at - 2] > 0);
    path += `${goesOn ? "" : `M${point(upper[at - 1])}`}L${point(upper[at])}`;
  }
  return path;
}

function line(entries, value, x, y, { hue, dashed }) {
  let [path, begins] = ["", true];
  for (const entry of entries) {
    const v = value(entry);
    // A second that stands alone is a dot: a line of no length with a round end.
    if (v !== null) path += begins ? `M${point([x(entry.t), y(v)])}h0` : `L${point([x(entry.t), y(v)])}`;
    begins = v === null;
  }
  return path ? h("path", { d: path, "stroke-dasharray": dashed ? "4 4" : null, ...pen(hue, "1.8") }) : null;
}

/** A line without words, for the foot of a tile. */
export function spark(entries, value, hue) {
  const recent = entries.slice(-90);
  const values = recent.map((entry) => value(entry) ?? 0);
  const top = Math.max(...values, 1e-9);
  const at = values.map((v, i) => [(i / Math.max(1, values.length - 1)) * 200, 32 - (v / top) * 28]);
  const svg = h("svg", { class: "spark", viewBox: "0 0 200 34", preserveAspectRatio: "none", "aria-hidden": "true" });
  if (at.length > 1) svg.append(...area(at, [[0, 34], [200, 34]], hue, values.map(() => 1)));
  return svg;
}
