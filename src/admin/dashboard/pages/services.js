// Services: versions side by side, who is healthy, and what an operator may do by hand.

import { get, polled, put } from "../api.js";
import { act as deed, onlyLooking } from "../deeds.js";
import { empty, h, head, notice, tag } from "../dom.js";
import { ago, ms, percent, place, plural, rate, short, when } from "../format.js";
import { hue, state } from "../state.js";

/** Between two looks. */
const PACE_MS = 1000;

export function services(page) {
  const here = { list: null, colors: [], mirrors: [], problem: null, done: null };
  const load = polled(async () => {
    const [{ services }, { colors }, { mirrors }] = await Promise.all([get("/v1/services"), get("/v1/colors"), get("/v1/mirrors")]);
    [here.list, here.colors, here.mirrors] = [services, colors, mirrors];
  }, PACE_MS, here, page);
  const act = (path, body, words) => async () => {
    try {
      await put(path, body);
      here.done = { kind: "good", words };
    } catch (problem) {
      here.done = { kind: "bad", words: problem.message };
    }
    await load();
  };
  return () => [
    head("Services", "Versions side by side: what they carry, how they are, and which of them is left alone."),
    h("div", { class: "stack" },
      onlyLooking(),
      here.problem && notice("bad", here.problem.message),
      here.done && notice(here.done.kind, here.done.words),
      here.list?.length === 0 && h("section", { class: "card" }, empty("services", "No services", "A service is what routes send traffic to.", '[services.shop.versions.v1]\nendpoints = ["127.0.0.1:9001"]')),
      here.list?.map((service) => one(service, here.colors, act)),
      here.mirrors.map(mirror)),
  ];
}

function one(service, colors, act) {
  const path = `/v1/services/${encodeURIComponent(service.name)}`;
  const facts = [];
  if (service.retries) facts.push(tag("", service.retries === 1 ? "1 retry" : `${short(service.retries)} retries`));
  if (service.retries_refused) facts.push(tag("warn", `${short(service.retries_refused)} retries over budget`));
  if (service.in_flight) facts.push(tag(service.in_flight.refused ? "warn" : "", `${service.in_flight.taken} of ${service.in_flight.max} places`));
  if (service.adaptive) facts.push(tag("", `adaptive limit ${service.adaptive.limit}`));
  return h("section", { class: "card", "data-key": service.name, "data-testid": `service-${service.name}` },
    h("header", { style: { "padding-bottom": "14px" } }, h("div", { class: "row" }, h("h2", {}, service.name), facts), place(service.at)),
    h("div", { class: "versions" }, service.versions.map((version) => half(service, version, colors, `${path}/${encodeURIComponent(version.name)}`, act))));
}

function half(service, version, colors, path, act) {
  const seen = state.frame?.versions[`${service.name}/${version.name}`]?.window;
  const met = colors.filter((color) => color.versions[service.name] === version.name);
  const value = (title, shown, bad) => h("div", {}, h("dt", {}, title), h("dd", { class: bad ? "bad-text" : "" }, shown));
  return h("div", { class: "version", "data-key": version.name },
    h("div", { class: "row spread" },
      h("div", { class: "row" }, h("h3", {}, version.name), service.default === version.name && tag("accent", "default"), met.map((color) => h("span", { class: "tag" }, h("i", { class: "dot", style: { "--hue": hue(color.name) } }), color.name))),
      version.available ? tag("good", "available") : tag("bad", "not available")),
    h("dl", { class: "facts" }, value("Rate", seen ? rate(seen.rps) : "–"), value("Errors", seen ? percent(seen.errors, seen.rps) : "–", seen?.errors > 0), value("p50", ms(seen?.p50_ms)), value("p99", ms(seen?.p99_ms))),
    version.breaker && automaton(`${service.name} ${version.name}`, version.breaker, `${path}/breaker`, act),
    h("div", {}, version.endpoints.length ? version.endpoints.map((endpoint) => line(endpoint, path, act)) : h("p", { class: "soft" }, "No endpoints: requests fall back to the default version, or are refused.")));
}

const WORDS = { closed: "Requests pass.", "half-open": "A few requests find out whether it is well again.", open: "Requests are turned away." };

/** The breaker as what it is: three states and the ways between them. */
function automaton(name, breaker, path, act) {
  const node = (state, x, label) => h("g", { class: `${state} ${breaker.state === state ? "on" : ""}` }, h("circle", { cx: x, cy: 30, r: 9 }), h("text", { x, y: 58 }, label));
  const hold = (state, label, words) => deed({ class: "tiny", "aria-pressed": String(breaker.held && breaker.state === state), onclick: act(path, { state }, words) }, label);
  const left = breaker.retry_in_ms;
  const countdown = breaker.held ? " Held by hand." : breaker.state === "open" && left !== null ? ` Tried again in ${Math.ceil(left / 1000)} s.` : "";
  return h("div", { class: "automaton" },
    h("svg", { viewBox: "0 0 214 64", role: "img", "aria-label": `Breaker of ${name}: ${breaker.state}` },
      h("path", { d: "M44 30h48m-5-4 5 4-5 4" }), h("path", { d: "M121 26h48m-5-4 5 4-5 4" }), h("path", { d: "M171 35h-48m5-4-5 4 5 4" }), h("path", { d: "M180 18C150 1 65 1 36 18m1-6-1 6 6 .5" }),
      node("closed", 30, "closed"), node("open", 107, "open"), node("half-open", 185, "half-open")),
    h("div", { style: { flex: "1", "min-width": "160px" } },
      h("div", {}, h("b", { "data-testid": "breaker-state" }, `Breaker ${breaker.state}. `), h("span", { class: "soft" }, WORDS[breaker.state], countdown)),
      h("div", { class: "soft small num" }, `${short(breaker.refused)} refused · opened ${breaker.transitions.open}×`, breaker.mode === "enforce" ? "" : ` · mode ${breaker.mode}`), changed(breaker)),
    h("div", { class: "group", role: "group", "aria-label": `Hold the breaker of ${name}` },
      hold("open", "Open", `The breaker of ${name} is held open.`), hold("closed", "Close", `The breaker of ${name} is held closed.`),
      deed({ class: "tiny", onclick: act(path, { state: "half-open" }, `The breaker of ${name} finds out by itself.`) }, "Let it decide")));
}

function line(endpoint, path, act) {
  const way = endpoint.drained ? ["warn", "drained"] : endpoint.ejected ? ["bad", "ejected"] : endpoint.down ? ["bad", "down"] : endpoint.healthy ? ["good", "healthy"] : endpoint.health === "awaited" ? ["warn", "not checked yet"] : ["bad", "unhealthy"];
  const words = [`${endpoint.in_flight} in flight`];
  if (endpoint.latency_ms > 0) words.push(`${endpoint.latency_ms.toFixed(1)} ms`);
  if (endpoint.weight !== 1) words.push(`weight ${endpoint.weight}`);
  if (endpoint.connect_failures) words.push(plural(endpoint.connect_failures, "failed connect"));
  const ink = { good: "var(--good)", warn: "var(--warn)", bad: "var(--bad)" }[way[0]];
  const drain = { drained: !endpoint.drained };
  return h("div", { class: "endpoint", "data-key": endpoint.address },
    h("i", { class: "dot", style: { "--hue": ink }, "aria-hidden": "true" }),
    h("div", {}, h("code", {}, endpoint.address), h("div", { class: "soft small num" }, words.join(" · ")), why(endpoint)),
    h("span", { class: `tag ${way[0]}` }, way[1]),
    deed({ class: "tiny", onclick: act(`${path}/endpoints/${encodeURIComponent(endpoint.address)}`, drain, endpoint.drained ? `${endpoint.address} takes requests again.` : `${endpoint.address} gets no new requests.`), "aria-label": `${endpoint.drained ? "Undrain" : "Drain"} ${endpoint.address}` }, endpoint.drained ? "Undrain" : "Drain"));
}

/** The latest change of a breaker: when, why, and by which numbers. */
function changed({ cause, since, requests, failed, slow }) {
  if (!since) return null;
  const numbers = { error_rate: [failed, "failed"], slow_rate: [slow, "slow"], probes_failed: [failed, "failed"] }[cause];
  const seen = numbers && requests ? `, ${short(numbers[0])} of ${short(requests)} ${numbers[1]}` : "";
  return h("div", { class: "soft small num", title: since }, `since ${when(since)} (${(cause ?? "").replaceAll("_", " ")}${seen})`);
}

/** What may keep requests from an endpoint; several may hold at once. */
const TROUBLES = [["down", "unreachable"], ["unhealthy", "unhealthy"], ["ejected", "ejected"], ["drained", "drained"]];

/** Since when an endpoint is out, and why, as far as the gateway knows. */
function why(endpoint) {
  const known = TROUBLES.filter(([name]) => endpoint[`${name}_since`] || endpoint[`${name}_cause`]);
  return known.map(([name, words]) => {
    const [since, cause, until] = ["since", "cause", "until"].map((what) => endpoint[`${name}_${what}`]);
    const ends = until && new Date(until) > Date.now() ? `, until ${when(until)}` : "";
    return h("div", { class: `small ${name === "drained" ? "warn-text" : "bad-text"}`, "data-testid": "why" },
      cause ? `${words}: ${cause}` : words, since ? h("span", { class: "num", title: since }, `, since ${when(since)} (${ago(since)})`) : null, ends);
  });
}

/** What a mirror's copies were answered, beside what the originals were. */
function mirror(one) {
  const found = one.compared;
  const right = (...children) => h("td", { class: "right" }, children);
  const differ = found?.differ.map((row) => h("tr", { "data-key": row.what }, h("td", {}, row.what), right(percent(row.copies, found.copies)), right(percent(row.noise, found.noise)),
    right(row.beyond_noise ? tag("bad", "beyond noise") : row.beyond_noise === null ? tag("", "noise unknown") : null)));
  const took = ["p50_ms", "p99_ms"].map((q) => h("tr", { "data-key": q }, h("td", {}, { p50_ms: "median", p99_ms: "p99" }[q]), right(ms(found?.latency.copy[q])), right(ms(found?.latency.noise[q])), right("original ", ms(found?.latency.original[q]))));
  return h("section", { class: "card flush", "data-key": `mirror ${one.route}`, "data-testid": `mirror-${one.route}` },
    h("header", {}, h("div", { class: "row" }, h("h2", {}, `Mirror of ${one.route}`), tag("", [one.service, one.version].filter(Boolean).join(" ")), tag("", `${one.percent} of requests`), one.failed ? tag("warn", `${short(one.failed)} failed`) : null, one.dropped ? tag("warn", `${short(one.dropped)} dropped`) : null),
      found && h("span", { class: "soft" }, `${short(found.copies)} compared, ${short(found.noise)} asked twice`)),
    found
      ? h("div", { class: "scroll" }, h("table", {}, h("caption", { class: "sr" }, `How copies of ${one.route} are answered`), h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Differ in"), ["Copies", "Noise", "Verdict"].map((title) => h("th", { scope: "col", class: "right" }, title)))), h("tbody", {}, differ, took)))
      : h("p", { class: "soft", style: { padding: "0 18px 14px" } }, "Not compared: add compare = {} to its table."));
}
