// The configuration: what is live, what was, what would be.

import { get, post, text } from "../api.js";
import { act, confirmed, onlyLooking } from "../deeds.js";
import { diff } from "../diff.js";
import { empty, h, head, notice, tag } from "../dom.js";
import { ago, plural } from "../format.js";
import { refresh, state } from "../state.js";

export function config({ redraw }) {
  const here = { tab: "edit", history: null, problem: null, chosen: null, texts: new Map(), live: "", draft: null, verdict: null, done: null, busy: false };
  const guard = (work) => async (...args) => {
    here.busy = true;
    redraw();
    try {
      await work(...args);
      here.problem = null;
    } catch (problem) {
      here.problem = problem.message;
    }
    here.busy = false;
    redraw();
  };
  const texts = async (generation) => {
    if (!here.texts.has(generation)) here.texts.set(generation, (await get(`/v1/config/history/${generation}`)).files);
    return here.texts.get(generation);
  };
  const load = guard(async () => {
    const [history, live] = await Promise.all([get("/v1/config/history"), text("/v1/config")]);
    Object.assign(here, { history, live });
    const files = await texts(history.current).catch(() => []);
    here.draft ??= files[0]?.text ?? "";
    here.chosen ??= history.current;
  });
  const choose = guard(async (generation) => {
    here.chosen = generation;
    here.tab = "diff";
    await Promise.all([texts(generation), texts(before(here, generation) ?? generation)]);
  });
  const check = guard(async () => {
    here.verdict = await post("/v1/config/check?verdict", { text: here.draft });
    here.done = null;
  });
  const apply = guard(async () => {
    const text = "The file stays as it is, and rules again after a restart.";
    if (!(await confirmed({ title: "Put this text to work?", text, verb: "Apply" }))) return;
    const put = (how) => post(`/v1/config/apply?verdict${how}`, { text: here.draft });
    let verdict = await put("");
    // Sound, but guarded: why is read before it is forced.
    const guarded = verdict.outcome === "rejected" && !verdict.diagnostics.length;
    const why = () => h("pre", { tabindex: "0" }, verdict.rendered);
    if (guarded && (await confirmed({ title: "Put it to work all the same?", text: why(), verb: "Force", danger: true }))) verdict = await put("&force");
    await said(verdict);
    here.verdict = null;
  });
  const reload = guard(async () => said(await post("/v1/config/reload?verdict", {})));
  const rollback = guard(async (generation) => {
    const text = "The file stays as it is, and rules again after a restart.";
    if (!(await confirmed({ title: `Put generation ${generation} back to work?`, text, verb: "Roll back" }))) return;
    await said(await post("/v1/config/rollback?verdict", { generation }));
  });
  const said = async (verdict) => {
    here.done = verdict;
    await refresh();
    here.history = await get("/v1/config/history");
    here.live = await text("/v1/config");
  };
  load();
  return () => {
    if (here.history && state.frame && state.frame.generation !== here.history.current && !here.busy) load();
    return [
      head("Config", "What is live, what was, and what a change would do. A broken file never takes over.", act({ onclick: reload, disabled: here.busy }, "Reload from file")),
      h("div", { class: "stack" }, onlyLooking(), rejected(), here.problem && notice("bad", here.problem), here.done && outcome(here.done),
        here.history && h("div", { class: "grid listed" },
          h("section", { class: "card flush" }, h("header", {}, h("h2", {}, "History"), h("span", { class: "soft small" }, plural(here.history.generations.length, "generation"))), list(here, choose)),
          h("section", { class: "card" }, tabs(here, redraw), { edit: () => edit(here, check, apply, redraw), diff: () => difference(here, rollback), live: () => lines(here.live.split("\n").map((line, at) => ["", at + 1, line])) }[here.tab]()))),
    ];
  };
}

/** The generation before this one, if it is still kept. */
const before = (here, generation) => here.history.generations.find((entry) => entry.generation < generation)?.generation;

function rejected() {
  const found = state.status?.config.rejected;
  return found && notice("bad", h("b", {}, "Refused "), `${ago(found.time)} (${found.trigger}). Generation ${state.status.generation} goes on serving.`, h("pre", { tabindex: "0", style: { overflow: "auto", margin: "8px 0 0" } }, found.rendered));
}

function outcome(verdict) {
  const words = { applied: ["good", `Generation ${verdict.generation} is live.`], unchanged: ["good", "Nothing has changed."], rejected: ["bad", `Refused; generation ${verdict.generation} goes on serving.`] }[verdict.outcome] ?? ["warn", verdict.outcome];
  const why = verdict.outcome === "rejected" && h("pre", { tabindex: "0", style: { overflow: "auto", margin: "8px 0 0" } }, verdict.rendered);
  return notice(words[0], words[1], why, verdict.changes?.length ? changes(verdict.changes) : null);
}

function changes(list) {
  const words = (change) => (change.before === null ? ["+ ", change.key, "  ", change.after] : change.after === null ? ["− ", change.key] : ["~ ", change.key, "  ", change.before, " → ", change.after]);
  return h("ul", { class: "small", style: { "margin-top": "6px" } }, list.slice(0, 30).map((change) => h("li", {}, h("code", {}, words(change).join("")), change.restart && [" ", tag("warn", "needs a restart")])), list.length > 30 && h("li", { class: "soft" }, `and ${list.length - 30} more`));
}

function list(here, choose) {
  const line = (entry) => h("li", { "data-key": entry.generation }, h("button", { "aria-pressed": String(here.tab === "diff" && here.chosen === entry.generation), onclick: () => choose(entry.generation) },
    h("span", { class: "row" }, h("b", { class: "num" }, `Generation ${entry.generation}`), entry.generation === here.history.current && tag("good", "live")),
    h("span", { class: "soft small" }, `${ago(entry.time)} · ${entry.trigger.replace("-", " ")} · ${entry.changes.length ? plural(entry.changes.length, "change") : "as it was"}`)));
  return h("ul", { class: "history" }, here.history.generations.map(line));
}

function tabs(here, redraw) {
  const names = [["edit", "Edit and check"], ["diff", "Difference"], ["live", "In effect"]];
  return h("div", { class: "tabs", role: "tablist" }, names.map(([name, title]) => h("button", { role: "tab", "aria-selected": String(here.tab === name), onclick: () => ((here.tab = name), redraw()) }, title)));
}

/** Errors first, notes last. */
const rank = (one) => ["error", "warning", "note"].indexOf(one.severity);

function edit(here, check, apply, redraw) {
  const found = [...(here.verdict?.diagnostics ?? [])].sort((a, b) => rank(a) - rank(b));
  const marked = new Map(found.filter((one) => one.severity !== "note").flatMap((one) => one.labels.slice(0, 1).map((label) => [label.line, one.severity === "error" ? "wrong" : "risky"])));
  const count = (here.draft ?? "").split("\n").length;
  const gutter = h("div", { class: "gutter", "aria-hidden": "true" }, Array.from({ length: count }, (_, at) => h("span", { class: marked.get(at + 1) ?? "" }, at + 1)));
  const typed = (event) => {
    const grown = event.target.value.split("\n").length !== (here.draft ?? "").split("\n").length;
    here.draft = event.target.value;
    here.verdict = null;
    if (grown || marked.size) redraw();
  };
  const scrolled = (event) => (event.target.previousSibling.scrollTop = event.target.scrollTop);
  const keys = (event) => (event.ctrlKey || event.metaKey) && event.key === "Enter" && check();
  const sound = here.verdict && here.verdict.outcome !== "rejected";
  return h("div", {},
    h("div", { class: "editor", style: { "border-top": "0" } }, gutter, h("textarea", { class: "mono", spellcheck: "false", autocapitalize: "off", wrap: "off", "aria-label": "Configuration to check", "data-testid": "editor", value: here.draft ?? "", oninput: typed, onscroll: scrolled, onkeydown: keys })),
    h("div", { class: "body stack", style: { padding: "14px 18px 18px" } },
      h("div", { class: "row spread" }, h("span", { class: "soft small" }, "Checked as the gateway would, tests of the file included."), h("div", { class: "row" }, act({ onclick: apply, disabled: here.busy || !sound || !here.verdict.changes.length, "data-testid": "apply" }, "Apply"), h("button", { class: "primary", onclick: check, disabled: here.busy, "data-testid": "check" }, "Check"))),
      sound && notice(found.length ? "warn" : "good", h("b", {}, "Sound. "), here.verdict.changes.length ? `${plural(here.verdict.changes.length, "change")} to what is live:` : "It says what is live already.", changes(here.verdict.changes)),
      here.verdict && !found.length && !sound && notice("bad", h("pre", {}, here.verdict.rendered)),
      found.length > 0 && h("div", { "data-testid": "diagnostics", "aria-live": "polite" }, found.map((one) => diagnostic(one, here.draft)))));
}

/** One problem: what, where with a caret under it, and what would mend it. */
function diagnostic(one, draft) {
  const label = one.labels[0];
  const line = label && draft.split("\n")[label.line - 1];
  const bytes = label ? Math.max(1, label.end - label.start) : 1;
  const caret = label && line !== undefined && `${" ".repeat(Math.max(0, label.column - 1))}${"^".repeat(Math.min(bytes, Math.max(1, line.length - label.column + 1)))} ${label.text}`;
  return h("div", { class: `diagnostic ${one.severity}` },
    h("div", { class: "row" }, tag({ error: "bad", warning: "warn" }[one.severity] ?? "", one.severity), h("code", { class: "soft" }, one.code), h("span", {}, one.message)),
    caret && h("pre", { tabindex: "0" }, h("span", { class: "soft" }, `${String(label.line).padStart(4)} │ `), line, "\n", h("span", { class: "soft" }, "     │ "), h("span", { class: "caret", "data-testid": "caret" }, caret)),
    one.help && h("p", { class: "small", style: { "margin-top": "8px" } }, h("b", {}, "Help: "), one.help));
}

function difference(here, rollback) {
  const { chosen } = here;
  const older = before(here, chosen);
  const [now, then] = [here.texts.get(chosen), here.texts.get(older)];
  const entry = here.history.generations.find((entry) => entry.generation === chosen);
  if (!now || !entry) return empty("config", "Choose a generation", "Its difference to the one before shows up here.");
  const back = chosen !== here.history.current && act({ class: "danger", onclick: () => rollback(chosen), disabled: here.busy }, "Roll back to this");
  const about = h("div", { class: "body row spread", style: { padding: "14px 18px" } }, h("span", {}, h("b", {}, `Generation ${chosen}`), h("span", { class: "soft" }, older ? ` against ${older}` : ", the first that is kept")), back);
  const files = now.map((file) => [file, (then ?? []).find((other) => other.name === file.name)]);
  const parts = files.map(([file, other]) => diff(other?.text ?? (then ? "" : file.text), file.text));
  const same = parts.every((part) => part.every(([sign]) => sign === " " || sign === "…"));
  return h("div", {}, about, entry.changes.length > 0 && h("div", { style: { padding: "0 18px 14px" } }, changes(entry.changes)), same ? empty("check", "The same text", older ? "Nothing but the trigger differs." : "There is nothing older to compare with.") : parts.map((part) => lines(part)));
}

function lines(all) {
  const kinds = { "+": "plus", "-": "minus" };
  return h("div", { class: "code", tabindex: "0", role: "region", "aria-label": "Text of the configuration" }, all.map(([sign, number, line]) => (sign === "…" ? h("div", { class: "gap" }, "⋯") : h("div", { class: `line ${kinds[sign] ?? ""}` }, h("span", {}, number ?? ""), h("span", {}, sign), h("span", {}, line)))));
}
