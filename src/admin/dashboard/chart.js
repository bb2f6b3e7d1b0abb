// Charts of the last minutes: stacked areas and lines, with marks where the configuration changed.

import { h } from "./dom.js";
import { clock } from "./format.js";
import { LOOK_BACK } from "./state.js";

const WIDTH = 1000;
const HEIGHT = 200;

/** The next round number above, so that the axis reads well. */
function ceiling(max) {
  if (!(max > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(max));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((round) => round >= max * 1.02) ?? 10 * power;
}

/**
 * `entries` are seconds, the newest last; `series` are `{ name, hue, value(entry), dashed }`.
 * Stacked areas or plain lines; `label(n)` words a value.
 */
export function chart({ title, entries, series, stacked, label, hover, onHover }) {
  const end = entries.at(-1)?.t ?? Date.now();
  const x = (t) => WIDTH - ((end - t) / 1000 / (LOOK_BACK - 1)) * WIDTH;
  const value = (one, entry) => one.value(entry) ?? (stacked ? 0 : null);
  const sums = entries.map((entry) => {
    const values = series.map((one) => value(one, entry) ?? 0);
    return stacked ? values.reduce((a, b) => a + b, 0) : Math.max(0, ...values);
  });
  const top = ceiling(Math.max(0, ...sums));
  const y = (v) => HEIGHT - (v / top) * HEIGHT;
  const base = entries.map(() => 0);
  const shapes = series.map((one) => {
    if (!stacked) return line(entries, (entry) => value(one, entry), x, y, one);
    const lower = base.map((v, at) => [x(entries[at].t), y(v)]);
    entries.forEach((entry, at) => (base[at] += value(one, entry)));
    const upper = base.map((v, at) => [x(entries[at].t), y(v)]);
    return area(upper, lower, one);
  });
  const marks = entries.flatMap((entry) => (entry.events ?? []).map((event) => ({ ...event, at: x(entry.t) }))).slice(-12);
  const lines = [0, 0.5, 1].map((share) => h("line", { class: "grid-line", x1: 0, x2: WIDTH, y1: share * HEIGHT, y2: share * HEIGHT }));
  const now = entries.at(-1);
  const spoken = now ? series.map((one) => `${one.name} ${label(value(one, now) ?? 0)}`).join(", ") : "no data yet";
  const plot = h("div", { class: "plot", onmousemove: (event) => onHover(nearest(event, entries, x)), onmouseleave: () => onHover(null) },
    h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}, last 5 minutes. Now: ${spoken}` },
      lines, shapes, marks.map((mark) => h("line", { class: mark.kind === "rejected" ? "mark bad" : "mark", x1: mark.at, x2: mark.at, y1: 0, y2: HEIGHT }))),
    marks.map((mark) => h("span", { class: mark.kind === "rejected" ? "flag bad" : "flag", style: { left: `${mark.at / 10}%` } }, mark.kind === "rejected" ? "refused" : `gen ${mark.generation}`)),
    hover === null || hover === undefined ? null : tip(entries.find((entry) => entry.t === hover), series, value, label, x));
  return h("div", { class: "chart" },
    h("div", { class: "axis", "aria-hidden": "true" }, [1, 0.5, 0].map((share) => h("span", { style: { top: `${(1 - share) * 100}%` } }, share === 0 ? "0" : label(top * share)))),
    plot,
    h("div", { class: "times", "aria-hidden": "true" }, ["5 min ago", "4", "3", "2", "1", "now"].map((t) => h("span", {}, t))));
}

function nearest(event, entries, x) {
  const box = event.currentTarget.getBoundingClientRect();
  const at = ((event.clientX - box.left) / box.width) * WIDTH;
  let best = null;
  for (const entry of entries) if (!best || Math.abs(x(entry.t) - at) < Math.abs(x(best.t) - at)) best = entry;
  return best?.t ?? null;
}

function tip(entry, series, value, label, x) {
  if (!entry) return null;
  const at = x(entry.t) / 10;
  const side = at > 60 ? { right: `${100 - at + 1.5}%` } : { left: `${at + 1.5}%` };
  return h("div", {},
    h("div", { class: "cross", style: { left: `${at}%` } }),
    h("div", { class: "tip", style: side }, h("div", { class: "soft" }, clock(entry.t)),
      series.map((one) => h("div", {}, h("span", { class: "hue" }, h("i", { class: "dot square", style: { "--hue": one.hue } }), one.name), h("b", { class: "num" }, label(value(one, entry)))))));
}

const points = (list) => list.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");

function area(upper, lower, { hue }) {
  if (!upper.length) return null;
  const fill = h("path", { d: `M${points(upper)}L${points([...lower].reverse())}Z` });
  fill.style.fill = hue;
  fill.style.fillOpacity = "0.22";
  const edge = h("path", { d: `M${points(upper)}`, fill: "none", "stroke-width": "1.6", "vector-effect": "non-scaling-stroke", "stroke-linejoin": "round" });
  edge.style.stroke = hue;
  return [fill, edge];
}

function line(entries, value, x, y, { hue, dashed }) {
  let [path, pen] = ["", "M"];
  for (const entry of entries) {
    const v = value(entry);
    if (v === null || v === undefined) {
      pen = "M";
      continue;
    }
    path += `${pen}${x(entry.t).toFixed(1)} ${y(v).toFixed(1)}`;
    pen = "L";
  }
  if (!path) return null;
  const drawn = h("path", { d: path, fill: "none", "stroke-width": "1.8", "vector-effect": "non-scaling-stroke", "stroke-linejoin": "round", "stroke-linecap": "round", "stroke-dasharray": dashed ? "4 4" : null });
  drawn.style.stroke = hue;
  return drawn;
}

/** A line without words, for the foot of a tile. */
export function spark(entries, value, hue) {
  const recent = entries.slice(-90);
  const values = recent.map((entry) => value(entry) ?? 0);
  const top = Math.max(...values, 1e-9);
  const at = values.map((v, i) => [(i / Math.max(1, values.length - 1)) * 200, 32 - (v / top) * 28]);
  const svg = h("svg", { class: "spark", viewBox: "0 0 200 34", preserveAspectRatio: "none", "aria-hidden": "true" });
  if (at.length > 1) svg.append(...area(at, [[0, 34], [200, 34]], { hue }));
  return svg;
}
