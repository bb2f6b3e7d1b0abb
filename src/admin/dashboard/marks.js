// Marks in charts: where the configuration or a share was changed, and which of them have room for
// their words.

import { clock, plural } from "./format.js";

/** Marks in one chart, the latest ones. */
const MOST = 24;
/** Pixels of a letter, and of what surrounds a label. */
const [LETTER, AROUND] = [6, 16];
/** Percent of the width within which the pointer is at a mark. */
const NEAR = 0.7;

/** What an event of the stream is called in a chart. */
function worded(event) {
  const at = clock(event.time);
  if (event.kind === "rollout") {
    const { color, what, from, to, reason } = event;
    const moves = what === "started" || what === "step" || what === "resumed";
    const kind = { aborted: "bad", paused: "warn", done: "good" }[what] ?? "";
    return { kind, label: `${color} ${moves ? to : what}`, title: `${at}: rollout ${color} ${what}, ${from} to ${to} (${reason})` };
  }
  if (event.kind === "rejected") return { kind: "bad", label: "refused", title: `${at}: a configuration was refused, generation ${event.generation} goes on` };
  return { kind: "", label: `gen ${event.generation}`, title: `${at}: generation ${event.generation} is live (${event.trigger}, ${plural(event.changes ?? 0, "change")})` };
}

/** The marks of these seconds; `at(t)` is a place in percent of the width. */
export function marks(entries, at) {
  const all = entries.flatMap((entry) => (entry.events ?? []).map((event) => ({ ...worded(event), at: at(entry.t) })));
  return all.filter((mark) => mark.at >= 0).slice(-MOST);
}

/** Labels must not lie on each other: bad news first, then the newest; the others are dots. */
export function placed(all, wide) {
  const width = room(wide);
  const shown = [];
  const rank = (mark) => (mark.kind === "bad" ? 1 : 0);
  for (const mark of [...all].reverse().sort((a, b) => rank(b) - rank(a))) {
    const half = (50 * (mark.label.length * LETTER + AROUND)) / width;
    mark.side = mark.at + half > 101 ? "end" : mark.at - half < -1 ? "start" : "";
    const center = { end: mark.at - half, start: mark.at + half }[mark.side] ?? mark.at;
    mark.shown = shown.every((other) => Math.abs(other.center - center) > other.half + half);
    if (mark.shown) shown.push({ center, half });
  }
  return all;
}

/** Pixels that a chart has, roughly: labels are placed before it is drawn. */
function room(wide) {
  const small = innerWidth <= 760;
  const page = small ? innerWidth - 32 : Math.min(1320, innerWidth - 232) - 80;
  return Math.max(200, (wide || innerWidth <= 1080 ? page : page / 2 - 8) - 80);
}

/** The marks that the pointer is at. */
export const near = (all, at) => all.filter((mark) => Math.abs(mark.at - at) <= NEAR);
