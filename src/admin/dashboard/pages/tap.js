// Single requests as they end.

import { follow } from "../api.js";
import { empty, h, head, notice, tag } from "../dom.js";
import { clock, ms, plural } from "../format.js";
import { hue } from "../state.js";

/** Requests that are kept on the page. */
const KEPT = 300;
const FIELDS = [["path", "Path begins with", "/cart/"], ["status", "Status", ">=500, 4xx"], ["reason", "Reason", "any"], ["color", "Color", "canary"], ["route", "Route", ""], ["service", "Service", ""], ["version", "Version", ""], ["method", "Method", "GET"]];

export function tap({ signal, redraw }) {
  const here = { running: null, requests: [], lost: 0, problem: null, chosen: null, number: 0, due: false };
  const soon = () => {
    if (here.due) return;
    here.due = true;
    setTimeout(() => ((here.due = false), signal.aborted || redraw()), 120);
  };
  const stop = () => (here.running?.abort(), (here.running = null), redraw());
  const begin = (event) => {
    event?.preventDefault();
    here.running?.abort();
    const query = new URLSearchParams([...new FormData(event.currentTarget)].filter(([, value]) => value.trim()));
    here.running = new AbortController();
    Object.assign(here, { problem: null, lost: 0 });
    follow(`/v1/tap?${query}`, {
      request: (seen) => {
        here.requests.unshift({ ...seen, number: ++here.number });
        here.requests.length = Math.min(here.requests.length, KEPT);
        soon();
      },
      lost: (lost) => ((here.lost = lost.over_pace + lost.queue_full), soon()),
      down: (problem) => {
        here.problem = problem.message;
        if (problem.status) here.running = null;
        soon();
      },
      open: () => ((here.problem = null), soon()),
    }, here.running.signal);
    redraw();
  };
  signal.addEventListener("abort", () => here.running?.abort());
  const choose = (seen) => ((here.chosen = seen), redraw());
  const clear = () => (Object.assign(here, { requests: [], lost: 0 }), redraw());
  return () => [
    head("Tap", "Single requests as they end. Nobody pays for it while nobody looks.", here.running && h("span", { class: "live small" }, "watching"), here.requests.length > 0 && h("button", { onclick: clear }, "Clear"), here.running && h("button", { onclick: stop, "data-testid": "tap-stop" }, "Pause")),
    h("div", { class: "stack" }, filters(here, begin), here.problem && notice("bad", here.problem), here.lost > 0 && notice("warn", `${plural(here.lost, "matching request")} not shown: more than the chosen pace.`), list(here, choose)),
    here.chosen && details(here.chosen, () => choose(null)),
  ];
}

function filters(here, begin) {
  return h("form", { class: "card", onsubmit: begin }, h("div", { class: "body stack" },
    h("div", { class: "fields" }, FIELDS.map(([name, title, example]) => h("label", {}, title, h("input", { name, placeholder: example, spellcheck: "false", autocapitalize: "off" }))),
      h("label", {}, "Most a second", h("input", { name: "max_rps", type: "number", min: "1", max: "2000", placeholder: "100" }))),
    h("div", { class: "row" }, h("button", { class: "primary", "data-testid": "tap-start" }, here.running ? "Apply" : "Watch"), h("span", { class: "soft small" }, "Queries are masked, headers and bodies never shown."))));
}

const kind = (status) => (status >= 500 ? "bad" : status >= 400 ? "warn" : status >= 300 ? "" : "good");

function list(here, choose) {
  const line = (seen) => h("tr", { class: "link", "data-key": seen.number, onclick: () => choose(seen) },
    h("td", { class: "num soft wide-only" }, clock(seen.time)),
    h("td", {}, h("span", { class: `tag ${kind(seen.status)}` }, seen.status)),
    h("td", { class: "wrap" }, h("button", { class: "plain", style: { padding: "0", "white-space": "normal", "text-align": "left", "overflow-wrap": "anywhere" } }, h("code", {}, h("b", {}, seen.method ?? "–"), " ", seen.path ?? "")), h("div", { class: "sub" }, seen.reason ? h("code", { class: "bad-text" }, seen.reason) : seen.route, seen.reason ? ` · ${seen.detail}` : "")),
    h("td", { class: "wide-only" }, seen.service ? h("span", { class: "hue" }, h("i", { class: "dot", style: { "--hue": hue(seen.color_served) } }), `${seen.service} ${seen.version}`) : h("span", { class: "soft" }, "answered here")),
    h("td", { class: "right" }, ms(seen.duration_ms)));
  return h("section", { class: "card flush" }, here.requests.length
    ? h("div", { class: "scroll" }, h("table", {}, h("caption", { class: "sr" }, "Requests, the newest first"), h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "wide-only" }, "Time"), ["Status", "Request"].map((t) => h("th", { scope: "col" }, t)), h("th", { scope: "col", class: "wide-only" }, "Served by"), h("th", { scope: "col", class: "right" }, "Took"))), h("tbody", { "data-testid": "tapped" }, here.requests.slice(0, 100).map(line))))
    : here.running ? empty("tap", "Watching", "The next request that matches shows up here.") : empty("tap", "Nobody looks", "Choose what you want to see, or nothing for everything, and press Watch."));
}

function details(seen, close) {
  const dialog = h("dialog", { "data-own": true, "data-key": `request-${seen.number}`, "aria-label": "One request", onclose: close });
  const upstream = seen.upstream_ms ?? 0;
  const own = Math.max(0, (seen.duration_ms ?? 0) - upstream);
  const hidden = new Set(["number", "upstream_ms", "gateway_ms", "duration_ms"]);
  dialog.append(
    h("header", {}, h("div", {}, h("h2", {}, `${seen.method ?? ""} ${seen.path ?? ""}`), h("p", { class: "soft small" }, seen.host ?? "")), h("button", { onclick: () => dialog.close() }, "Close")),
    h("div", { class: "body" },
      seen.duration_ms !== undefined && h("div", { class: "stack", style: { gap: "8px" } },
        h("div", { class: "phases", role: "img", "aria-label": "Where the time went" }, h("i", { style: { "flex-grow": own || 0.001 } }), upstream > 0 && h("i", { style: { "flex-grow": upstream } })),
        h("div", { class: "legend" }, h("span", { class: "hue" }, h("i", { class: "dot square", style: { "--hue": "var(--accent-solid)" } }), "gateway ", h("b", {}, ms(own))), h("span", { class: "hue" }, h("i", { class: "dot square" }), "upstream ", h("b", {}, ms(upstream))))),
      h("dl", { class: "pairs" }, Object.entries(seen).filter(([name]) => !hidden.has(name)).map(([name, value]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, h("code", {}, String(value)))]))));
  queueMicrotask(() => document.contains(dialog) && !dialog.open && dialog.showModal());
  return dialog;
}
