// Numbers and times as people read them.

import { h } from "./dom.js";

/** A number and its unit, the unit in a lower voice. */
export function quantity(number, unit) {
  return h("span", { class: "num" }, number, unit ? h("span", { class: "unit" }, unit) : null);
}

export function short(n) {
  if (n === null || n === undefined || Number.isNaN(n)) return "–";
  const abs = Math.abs(n);
  if (abs >= 1e6) return `${trim(n / 1e6)}M`;
  if (abs >= 1e4) return `${trim(n / 1e3)}k`;
  if (abs >= 100) return Math.round(n).toLocaleString("en-US");
  if (abs >= 10) return trim(n);
  return n === 0 ? "0" : abs < 0.1 ? n.toFixed(2) : trim(n);
}

const trim = (n) => (Math.round(n * 10) / 10).toLocaleString("en-US");

export const rate = (n) => quantity(short(n), "/s");

/** Milliseconds, in the unit that keeps them short. */
export function span(ms) {
  if (ms === null || ms === undefined) return ["–", ""];
  if (ms >= 60000) return [trim(ms / 60000), "min"];
  if (ms >= 1000) return [trim(ms / 1000), "s"];
  if (ms >= 1) return [ms >= 100 ? String(Math.round(ms)) : trim(ms), "ms"];
  return [String(Math.round(ms * 1000)), "µs"];
}

export const ms = (value) => quantity(...span(value));

export function percent(part, whole) {
  if (!whole) return quantity("–", "");
  const share = (100 * part) / whole;
  if (share === 0) return quantity("0", "%");
  return quantity(share < 0.1 ? "<0.1" : share > 10 ? Math.round(share) : share.toFixed(1), "%");
}

export function ago(time) {
  const s = Math.max(0, (Date.now() - new Date(time)) / 1000);
  if (s < 60) return "just now";
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

export function lasting(s) {
  if (s < 120) return `${Math.floor(s)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

export const clock = (t) => new Date(t).toLocaleTimeString("en-GB");

/** A day, such as 3 Feb 2027. */
export const day = (t) => new Date(t).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** A time of today, or a day and a time. */
export function when(t) {
  const then = new Date(t);
  const today = then.toDateString() === new Date().toDateString();
  return today ? clock(t) : `${then.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${clock(t)}`;
}

export const plural = (n, one, many = `${one}s`) => `${n.toLocaleString("en-US")} ${n === 1 ? one : many}`;

/** Where something is written: the file's name is enough to find it by, the whole path is there to hover. */
export const place = (at) => h("code", { class: "soft place", title: at }, at.split("/").pop());
