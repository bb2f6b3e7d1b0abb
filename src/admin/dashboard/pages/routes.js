// Which request goes where: an explanation on top, all routes below.

import { get, post } from "../api.js";
import { card, empty, h, head, notice, tag } from "../dom.js";
import { ms, percent, place, rate } from "../format.js";
import { hue, state } from "../state.js";

export function routes({ redraw }) {
  const here = { list: null, problem: null, filter: "", asked: null, answer: null, wrong: null, copied: false };
  get("/v1/routes").then(({ routes }) => (here.list = routes), (problem) => (here.problem = problem)).finally(redraw);
  const explain = async (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    here.copied = false;
    try {
      here.asked = question(form.get("request"), form.get("headers"), form.get("from"));
      here.answer = await post("/v1/explain", here.asked);
      here.wrong = null;
    } catch (problem) {
      [here.answer, here.wrong] = [null, problem.message];
    }
    redraw();
  };
  const copy = async () => {
    await navigator.clipboard?.writeText(asTest(here.asked, here.answer)).catch(() => {});
    here.copied = true;
    redraw();
  };
  const seek = (event) => ((here.filter = event.target.value.toLowerCase()), redraw());
  return () => [
    head("Routes", "Ask where a request would go and why. The code that answers is the code that serves."),
    h("div", { class: "stack" }, box(here, explain, copy), table(here, seek)),
  ];
}

/** A request in words, from a URL with or without a method, or a line of curl. */
export function question(text, fields, from) {
  const asked = { method: "GET", url: "", headers: {} };
  const words = [...text.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3]);
  if (words[0] === "curl") words.shift();
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (word === "-H" || word === "--header") header(asked, words[++at] ?? "");
    else if (word === "-X" || word === "--request") asked.method = words[++at] ?? "GET";
    else if (word.startsWith("-")) continue;
    else if (/^[A-Z]+$/.test(word)) asked.method = word;
    else asked.url = word;
  }
  fields.split("\n").forEach((line) => header(asked, line));
  if (from.trim()) asked.from = from.trim();
  if (!asked.url) throw new Error("Write a URL, such as GET https://api.example.com/cart/7.");
  return asked;
}

function header(asked, line) {
  const at = line.indexOf(":");
  if (at > 0) asked.headers[line.slice(0, at).trim().toLowerCase()] = line.slice(at + 1).trim();
}

/** The same request as a test that the configuration can hold. */
export function asTest(asked, answer) {
  const quote = (text) => JSON.stringify(text);
  const lines = ["[[tests]]", `request = ${quote(`${asked.method} ${asked.url}`)}`];
  const headers = Object.entries(asked.headers).map(([name, value]) => `${quote(name)} = ${quote(value)}`);
  if (headers.length) lines.push(`headers = { ${headers.join(", ")} }`);
  if (asked.from) lines.push(`from = ${quote(asked.from)}`);
  const expect = [];
  if (answer.route) expect.push(`route = ${quote(answer.route.name)}`);
  if (answer.service) expect.push(`service = ${quote(answer.service)}`, `version = ${quote(answer.version)}`);
  const color = answer.color?.requested;
  if (answer.route && color) expect.push(`color = ${quote(color)}`);
  if (answer.status) expect.push(`status = ${answer.status}`);
  if (answer.refusal) expect.push(`status = ${answer.refusal.status}`, `reason = ${quote(answer.refusal.reason)}`);
  return [...lines, `expect = { ${expect.join(", ")} }`, ""].join("\n");
}

function box(here, explain, copy) {
  const form = h("form", { onsubmit: explain, class: "stack", style: { gap: "12px" } },
    h("div", { class: "row", style: { "flex-wrap": "nowrap", "align-items": "end" } },
      h("label", { style: { flex: "1" } }, "Request, or a line of curl", h("input", { name: "request", class: "mono", required: true, spellcheck: "false", autocapitalize: "off", placeholder: "GET https://api.example.com/cart/7", "data-testid": "explain-request" })),
      h("button", { class: "primary", "data-testid": "explain" }, "Explain")),
    h("div", { class: "grid half", style: { gap: "12px" } },
      h("label", {}, "Headers, one a line", h("textarea", { name: "headers", class: "mono", rows: "2", spellcheck: "false", placeholder: "x-user-group: beta" })),
      h("label", {}, "Client address", h("input", { name: "from", class: "mono", placeholder: "127.0.0.1" }))));
  const actions = here.answer && h("button", { class: "tiny", onclick: copy }, here.copied ? "Copied" : "Copy as test");
  return card("Explain", actions, h("div", { class: "stack" }, form, here.wrong && notice("bad", here.wrong), here.answer && steps(here.answer)));
}

function steps(answer) {
  const { color, route, refusal, request } = answer;
  const step = (kind, what, value, at, why) => h("li", { class: kind }, h("span", { class: "sign", "aria-label": { yes: "yes", no: "no", "skip-step": "skipped" }[kind] }, { yes: "✓", no: "✗", "skip-step": "·" }[kind]), h("span", { class: "what" }, what), h("span", { class: "value" }, value), at ? place(at) : null, why ? h("span", { class: "why" }, why) : null);
  const found = [step("yes", "request", h("code", {}, `${request.method} ${request.host}${request.path}`), null, request.trusted ? "the client is trusted" : null)];
  found.push(route ? step("yes", "route", h("b", {}, route.name), `${route.file}:${route.line}`, `matches ${route.matched}`) : step("no", "route", "none matches"));
  answer.rejected.slice(0, 8).forEach((other) => found.push(step("skip-step", "not", other.name, `${other.file}:${other.line}`, other.why)));
  if (answer.rejected_more) found.push(step("skip-step", "", `and ${answer.rejected_more} more`));
  if (route) {
    const name = color.served ?? color.requested;
    found.push(step("yes", "color", h("span", { class: "hue" }, h("i", { class: "dot", style: { "--hue": hue(name) } }), name ?? "uncolored"), null, color.reason ? `${color.origin}; not served: ${color.reason}` : color.origin));
  }
  answer.policies.forEach((policy) => found.push(step("yes", policy.name, policy.value)));
  if (answer.service) {
    found.push(step("yes", "served by", h("b", {}, `${answer.service} ${answer.version}`), null, answer.upstream_path && answer.upstream_path !== request.path ? `as ${answer.upstream_path}` : null));
    answer.endpoints.forEach((endpoint) => found.push(step(endpoint.healthy ? "yes" : "no", "endpoint", h("code", {}, endpoint.address), null, endpoint.healthy ? null : "is out")));
  }
  if (answer.status) found.push(step("yes", "answer", `${answer.status}`));
  if (refusal) found.push(step("no", "refused", h("span", {}, h("b", {}, refusal.status), " ", h("code", {}, refusal.reason))));
  return h("ol", { class: "steps", "data-testid": "explained", "aria-live": "polite" }, found);
}

function table(here, seek) {
  if (here.problem) return notice("bad", here.problem.message);
  if (!here.list) return null;
  const list = here.list.filter((route) => `${route.name} ${route.match} ${route.target}`.toLowerCase().includes(here.filter));
  const line = (route) => {
    const seen = state.frame?.routes[route.name]?.window;
    return h("tr", { "data-key": route.name }, h("td", {}, h("b", {}, route.name), route.priority ? [" ", tag("", `priority ${route.priority}`)] : null, h("div", { class: "sub" }, place(route.at))),
      h("td", { class: "wrap" }, h("code", {}, route.match)), h("td", { class: "wide-only" }, route.target),
      h("td", { class: "right" }, seen ? rate(seen.rps) : h("span", { class: "soft" }, "–")),
      h("td", { class: `right ${seen?.errors ? "bad-text" : ""}` }, seen ? percent(seen.errors, seen.rps) : h("span", { class: "soft" }, "–")),
      h("td", { class: "right wide-only" }, seen ? ms(seen.p99_ms) : h("span", { class: "soft" }, "–")));
  };
  return h("section", { class: "card flush" },
    h("header", {}, h("h2", {}, `Routes`, h("span", { class: "unit" }, here.list.length)), h("input", { type: "search", placeholder: "Filter", "aria-label": "Filter routes", oninput: seek, style: { width: "220px" } })),
    list.length
      ? h("div", { class: "scroll" }, h("table", {}, h("caption", { class: "sr" }, "All routes"), h("thead", {}, h("tr", {}, ["Route", "Matches"].map((t) => h("th", { scope: "col" }, t)), h("th", { scope: "col", class: "wide-only" }, "Target"), ["Rate", "Errors"].map((t) => h("th", { scope: "col", class: "right" }, t)), h("th", { scope: "col", class: "right wide-only" }, "p99"))), h("tbody", {}, list.map(line))))
      : here.list.length ? empty("search", "No route like that", "The filter looks at names, matches and targets.") : empty("routes", "No routes", "Every request is refused until the configuration has one.", '[routes.all]\nmatch = { path = "/*" }\nservice = "shop"'));
}
