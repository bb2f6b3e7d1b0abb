// What every page may look at: the stream's frames, and the names and hues of colors.

import { follow, get } from "./api.js";

/** Seconds that charts look back. */
export const LOOK_BACK = 300;

export const state = {
  link: "wait", // wait, up, down
  frame: null,
  history: [], // { t, total, overhead, colors, events }
  hues: new Map(),
  status: null,
};

const listeners = new Set();
export const onChange = (call) => (listeners.add(call), () => listeners.delete(call));
export const changed = () => listeners.forEach((call) => call());

/** Follows the stream for the life of the page. */
export function start(signal) {
  follow("/v1/stream", {
    open: () => ((state.link = "up"), refresh()),
    down: () => ((state.link = "down"), changed()),
    history: (entries) => ((state.history = entries), changed()),
    frame,
  }, signal);
  const clock = setInterval(refresh, 10000);
  signal.addEventListener("abort", () => clearInterval(clock));
}

function frame(frame) {
  state.frame = frame;
  const colors = Object.fromEntries(Object.entries(frame.colors).map(([name, { window: _, ...now }]) => [name, now]));
  const { window: _, ...total } = frame.total;
  state.history.push({ t: frame.t, total, overhead: frame.overhead, colors, events: frame.events });
  state.history.splice(0, state.history.length - LOOK_BACK);
  if (frame.events.length || frame.draining !== state.status?.draining) refresh();
  changed();
}

/** What changes seldom. */
export async function refresh() {
  try {
    const [status, colors] = await Promise.all([get("/v1/status"), get("/v1/colors")]);
    state.status = status;
    state.hues = new Map(colors.colors.map((color) => [color.name, color.hex]));
    changed();
  } catch {
    // The stream tells whether the gateway is there.
  }
}

/** Rollouts that their guard has stopped, and that wait for an operator. */
export function troubled() {
  const stopped = ({ rollout }) => rollout?.finding && (rollout.phase === "aborted" || rollout.phase === "paused");
  return (state.status?.shares ?? []).filter(stopped);
}

/** Hues for colors that name none: far apart, and readable by day and night. */
const OWN = ["#3b82f6", "#f59e0b", "#14b8a6", "#a855f7", "#ef4444", "#84cc16", "#ec4899", "#0ea5e9"];

/** The hue a color is drawn in; uncolored traffic has none of its own. */
export function hue(name) {
  if (!name) return "var(--uncolored)";
  const hex = state.hues.get(name);
  if (hex) return hex;
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return OWN[sum % OWN.length];
}
