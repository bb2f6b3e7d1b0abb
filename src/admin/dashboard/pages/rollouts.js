// Rollouts: on which step each one is, what its guard demands, and what it has found.

import { get, polled, post } from "../api.js";
import { act, confirmed, onlyLooking } from "../deeds.js";
import { empty, h, head, icon, notice, tag } from "../dom.js";
import { ago, lasting, plural, short, when } from "../format.js";
import { guard } from "../guard.js";
import { hue, state } from "../state.js";

/** Between two looks. */
const PACE_MS = 1000;

export function rollouts(page) {
  const here = { list: null, problem: null, refused: null };
  const load = polled(async () => (here.list = (await get("/v1/rollouts")).rollouts), PACE_MS, here, page);
  const command = (view, action) => async () => {
    if (!(await confirmed(question(view, action)))) return;
    try {
      await post(`/v1/rollouts/${encodeURIComponent(view.color)}`, { action });
      here.refused = null;
    } catch (problem) {
      here.refused = problem.message;
    }
    await load();
  };
  return () => [
    head("Rollouts", "Shares that move by themselves, step by step, as long as the guard finds nothing."),
    h("div", { class: "stack" }, onlyLooking(), here.problem && notice("bad", here.problem.message), here.refused && notice("bad", here.refused), here.list && all(here.list, command)),
  ];
}

function all(list, command) {
  const moving = list.filter((view) => view.rollout);
  const fixed = list.filter((view) => !view.rollout);
  const none = h("section", { class: "card" }, empty("rollouts", "No rollouts", "A rollout leads users to a version in steps, and takes it back when it is worse.",
    '[colors.next]\nversions = { shop = "v2" }\nshare = { percent = "0%" }\n\n[rollouts.next]\nsteps = ["1%", "5%", "25%", "100%"]\nevery = "5m"\nguard = { max_error_rate = "2%" }'));
  return [moving.length ? moving.map((view) => one(view, command)) : none, fixed.length ? shares(fixed) : null];
}

/** Kind of tag, and the word, by phase. */
const PHASES = {
  idle: ["", "not started"],
  running: ["accent", "running"],
  paused: ["warn", "paused"],
  done: ["good", "done"],
  aborted: ["bad", "aborted"],
};

const size = (share) => parseFloat(share);

/** The step after this share, if there is one. */
const after = (rollout, share) => rollout.steps.find((step) => size(step) > size(share));

function one(view, command) {
  const { color, rollout } = view;
  const [kind, word] = PHASES[rollout.phase];
  return h("section", { class: "card", "data-key": color, "data-testid": `rollout-${color}` },
    h("header", {}, h("div", { class: "row" }, h("i", { class: "dot", style: { "--hue": hue(color) } }), h("h2", {}, color), h("span", { class: `tag ${kind}`, "data-testid": "phase" }, word), rollout.dry_run && tag("warn", "dry run")),
      buttons(view, command)),
    h("div", { class: "body stack" },
      verdict(view),
      facts(view),
      ladder(view),
      h("div", { class: "grid judged" }, guard(color, rollout), events(color, rollout))));
}

/** All that an operator may say; what does not fit the phase is off. */
function buttons(view, command) {
  const { phase } = view.rollout;
  const moving = phase === "running" || phase === "paused";
  const first = { idle: ["start", "Start"], aborted: ["start", "Start again"], running: ["pause", "Pause"], paused: ["resume", "Resume"], done: ["start", "Start"] }[phase];
  const button = ([action, words], fits, why, kind = "") => act({ class: kind, disabled: !fits, title: fits ? null : why, onclick: command(view, action) }, words);
  return h("div", { class: "row", role: "group", "aria-label": `Rollout ${view.color}` },
    button(first, phase !== "done", "It is done already.", first[0] === "start" ? "primary" : ""),
    button(["promote", "Promote"], moving, "It is not under way."),
    button(["abort", "Abort"], phase !== "aborted", "It is aborted already.", "danger"));
}

/** What a command leads to, before it is given. */
function question({ color, share, rollout }, action) {
  const first = rollout.steps.find((step) => size(step) >= size(share)) ?? rollout.steps.at(-1);
  const next = after(rollout, rollout.share);
  const dry = rollout.dry_run ? " It is a dry run: no user is moved." : "";
  const words = {
    start: ["Start", `The share goes from ${share} to ${first}, and on by itself every ${lasting(rollout.every_s)}.`],
    pause: ["Pause", `The share stays at ${rollout.share}. While it is paused the guard takes nothing back.`],
    resume: ["Resume", `It goes on at ${rollout.share}, and this step begins anew.`],
    promote: ["Promote", next ? `The share goes from ${rollout.share} to ${next} now, whatever the guard has seen so far.` : `It ends at ${rollout.share}, and the guard takes nothing back any more.`],
    abort: ["Abort", `The share goes from ${share} to 0% at once: every user meets the default version again.`],
  }[action];
  return { title: `${words[0]} rollout ${color}?`, text: words[1] + dry, verb: words[0], danger: action === "abort" };
}

/** Why it is where it is: the last verdict, in words and numbers. */
function verdict({ rollout }) {
  const { phase, reason, since, waiting, finding } = rollout;
  const last = rollout.events.at(-1);
  const from = last && last.from !== last.to ? `, ${last.from} to ${last.to}` : "";
  // Read out when the verdict changes, not each time the clock moves on.
  const time = h("span", { class: "soft num", "aria-live": "off" }, when(since), `, ${ago(since)}`);
  const line = (kind, words, ...more) => h("div", { class: `verdict ${kind}`, role: "status", "data-testid": "verdict" }, icon(kind === "good" ? "check" : kind ? "alert" : "rollouts"), h("div", {}, h("div", { class: "row" }, h("b", {}, words), time), more));
  const why = h("div", {}, reason);
  if (phase === "idle") return h("div", { class: "verdict", "data-testid": "verdict" }, icon("rollouts"), h("div", {}, h("b", {}, "Waits to be started. "), h("span", { class: "soft" }, "No user meets the color by share until then.")));
  if (phase === "aborted") return line("bad", `Aborted${from}`, why);
  if (phase === "paused") return line(finding ? "bad" : "warn", `Paused at ${rollout.share}`, why);
  if (phase === "done") return line("good", `Done at ${rollout.share}`, why, h("div", { class: "soft" }, "Write this share into the file, and the two agree."));
  const words = { started: `Started at ${rollout.share}`, resumed: `Resumed at ${rollout.share}` }[last?.kind] ?? `Step to ${rollout.share}`;
  return line("", words, why, waiting ? h("div", { class: "warn-text" }, "It waits: ", waiting, ".") : null);
}

function facts({ share, file, drift, set, rollout }) {
  const { phase, met, next_at } = rollout;
  const fact = (title, ...shown) => h("div", {}, h("dt", {}, title), h("dd", {}, shown));
  const now = state.frame?.t ?? Date.now();
  const left = next_at ? (new Date(next_at) - now) / 1000 : null;
  const next = after(rollout, rollout.share);
  const due = left === null ? "–" : left > 0 ? `in ${lasting(Math.ceil(left))}` : "due";
  const where = set?.by === "operator" ? "set by hand" : drift ? "not the file's" : "as in the file";
  return h("dl", { class: "facts rollout-facts" },
    h("div", { class: "share" }, h("dt", {}, "Share now"), h("dd", { "data-testid": "share" }, share)),
    rollout.dry_run ? fact("It would be", rollout.share) : null,
    fact("File", file, " ", h("span", { class: "soft small" }, where)),
    fact(phase === "running" && !next ? "Ends" : "Next step", phase === "running" ? [next ? `${next} ` : "", h("span", { class: next ? "soft small" : "" }, due)] : "–"),
    fact("Met it at most", met.share, " ", h("span", { class: "soft small" }, "of users")),
    fact("Requests", short(met.requests), " ", h("span", { class: met.failures ? "bad-text small" : "soft small" }, `${short(met.failures)} failed`)),
    fact("On a breach", rollout.on_breach === "abort" ? "back to 0%" : "pause"));
}

/** The steps as stairs. */
function ladder({ color, rollout }) {
  const { steps, phase, share, met } = rollout;
  const upcoming = phase === "running" || phase === "paused" ? after(rollout, share) : null;
  const how = (step) => {
    if (phase === "done") return ["past", "done"];
    if (phase === "aborted") return size(step) <= size(met.share) ? ["back", "taken back"] : ["", ""];
    if (phase === "idle" || size(step) > size(share)) return ["", step === upcoming ? "next" : ""];
    return step === share ? [`here ${phase}`, phase === "paused" ? "paused" : "now"] : ["past", "done"];
  };
  return h("div", { class: "stairs", tabindex: "0", role: "region", "aria-label": `Steps of rollout ${color}` },
    h("ol", { class: "ladder", style: { "--hue": hue(color) } }, steps.map((step, at) => {
      const [kind, words] = how(step);
      return h("li", { class: kind, "data-key": step, "aria-current": kind.startsWith("here") ? "step" : null },
        h("i", { style: { height: `${10 + (38 * (at + 1)) / steps.length}px` }, "aria-hidden": "true" }), h("b", { class: "num" }, step), h("span", {}, words || "\u00a0"));
    })));
}

function events(color, rollout) {
  const kinds = { aborted: "bad", paused: "warn", done: "good", step: "accent", started: "accent", resumed: "accent" };
  const line = (event, at) => h("li", { "data-key": `${event.time} ${at}` },
    h("span", { class: "num soft", title: event.time }, when(event.time)),
    h("span", {}, tag(kinds[event.kind] ?? "", event.kind), " ", h("b", { class: "num" }, event.from === event.to ? event.to : `${event.from} → ${event.to}`), h("div", { class: "soft small" }, event.reason)));
  const list = rollout.events.length
    ? h("div", { class: "events", tabindex: "0", role: "region", "aria-label": `Events of rollout ${color}, the newest first` }, h("ol", {}, [...rollout.events].reverse().map(line)))
    : h("p", { class: "soft" }, "Nothing yet.");
  return h("div", { class: "part" }, h("div", { class: "row spread" }, h("h3", {}, "What happened"), h("span", { class: "soft small" }, plural(rollout.events.length, "event"))), list);
}

/** Colors whose share nothing moves. */
function shares(list) {
  const line = (view) => h("tr", { "data-key": view.color },
    h("td", {}, h("span", { class: "hue" }, h("i", { class: "dot", style: { "--hue": hue(view.color) } }), h("b", {}, view.color))),
    h("td", { class: "right num" }, view.share),
    h("td", { class: "right num" }, view.file),
    h("td", {}, view.set ? [view.set.by === "operator" ? "by hand" : "by a rollout", h("div", { class: "sub num" }, when(view.set.since))] : h("span", { class: "soft" }, "as in the file")));
  return h("section", { class: "card flush" }, h("header", {}, h("h2", {}, "Shares without a rollout")),
    h("div", { class: "scroll" }, h("table", {}, h("caption", { class: "sr" }, "Colors with a share and no rollout"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Color"), ["Share", "File"].map((t) => h("th", { scope: "col", class: "right" }, t)), h("th", { scope: "col" }, "Set"))), h("tbody", {}, list.map(line)))));
}
