// Elements from descriptions, and one tree made like another without losing focus or scroll.

const SVG = new Set(["svg", "path", "circle", "line", "g", "text", "rect", "polyline"]);

/** An element: `h("p", { class: "soft", onclick }, "text", child, [more], null)`. */
export function h(tag, props = {}, ...children) {
  const el = SVG.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) el[name] = value;
    else if (name === "style") for (const [key, v] of Object.entries(value)) el.style.setProperty(key, v);
    else if (name === "value") [el.value, el.steered] = [value, true];
    else el.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    el.append(child.nodeType ? child : document.createTextNode(child));
  }
  return el;
}

const HANDLERS = ["onclick", "onsubmit", "oninput", "onchange", "onkeydown", "onmousemove", "onmouseleave", "onscroll", "onclose"];

/** Makes `old` look like `wanted`, keeping every node that can stay. Returns what stands there now. */
export function patch(old, wanted) {
  if (old.nodeType !== wanted.nodeType || old.nodeName !== wanted.nodeName || old.dataset?.key !== wanted.dataset?.key) {
    old.replaceWith(wanted);
    return wanted;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== wanted.data) old.data = wanted.data;
    return old;
  }
  if (old.dataset?.own !== undefined) return old; // looks after itself
  for (const { name } of [...old.attributes]) {
    if (name !== "style" && name !== "open" && !wanted.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (name !== "style" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (old.style.cssText !== wanted.style.cssText) old.style.cssText = wanted.style.cssText;
  for (const name of HANDLERS) if (old[name] !== wanted[name]) old[name] = wanted[name];
  const typed = old.nodeName === "INPUT" || old.nodeName === "TEXTAREA" || old.nodeName === "SELECT";
  if (typed && wanted.steered && old !== document.activeElement && old.value !== wanted.value) old.value = wanted.value;
  if (old.nodeName === "TEXTAREA") return old;
  const [before, after] = [[...old.childNodes], [...wanted.childNodes]];
  after.forEach((child, at) => (before[at] ? patch(before[at], child) : old.append(child)));
  before.slice(after.length).forEach((child) => child.remove());
  return old;
}

/** Makes the children of `root` these. */
export function render(root, ...children) {
  const wanted = root.cloneNode(false);
  wanted.append(...children.flat(Infinity).filter(Boolean));
  for (const name of HANDLERS) wanted[name] = root[name];
  patch(root, wanted);
}

const PATHS = {
  now: "M2 9h3l2-5 4 10 2-5h3",
  routes: "M4 3v6a3 3 0 0 0 3 3h7m-3-3 3 3-3 3M4 3h7",
  services: "M3 3h12v5H3zM3 10h12v5H3zM6 5.500v.01M6 12.500v.01",
  colors: "M9 2c3 3.800 5 6.300 5 9a5 5 0 0 1-10 0c0-2.700 2-5.200 5-9Z",
  rollouts: "M2 15.500h14M2.500 15v-3.500h3.500M6 11.500V8h3.500M9.500 8V4.500H15V15",
  listeners: "M6 2v4m6-4v4M4 6h10v3a5 5 0 0 1-10 0zM9 14v3",
  audit: "M4 2h10v14l-2.500-1.500L9 16l-2.500-1.500L4 16zM7 6h4M7 9.500h4",
  limits: "M9 2 3 4.500v4c0 4 2.600 6.500 6 7.500 3.400-1 6-3.500 6-7.500v-4zM6.500 9l2 2 3-3.500",
  tap: "M2 9s2.500-5 7-5 7 5 7 5-2.500 5-7 5-7-5-7-5Zm7 2a2 2 0 1 0 0-4 2 2 0 0 0 0 4Z",
  config: "M4 2h7l3 3v11H4zM11 2v3h3M7 9h4M7 12h4",
  alert: "M9 2 1.500 15.500h15zM9 7v4m0 2v.01",
  check: "m3.500 9.500 3.500 3.500 7.500-8",
  search: "M8 13A5 5 0 1 0 8 3a5 5 0 0 0 0 10Zm3.600-1.400L15.500 15.500",
};

export function icon(name) {
  return h("svg", { viewBox: "0 0 18 18", fill: "none", stroke: "currentColor", "stroke-width": "1.5", "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true" },
    h("path", { d: PATHS[name] }));
}

/** A page's title, what it is for, and what can be done on it. */
export function head(title, about, ...actions) {
  return h("div", { class: "head" }, h("div", {}, h("h1", {}, title), h("p", {}, about)), h("div", { class: "row" }, actions));
}

export function card(title, more, ...body) {
  return h("section", { class: "card" }, h("header", {}, h("h2", {}, title), more), h("div", { class: "body" }, body));
}

export function empty(sign, title, text, code) {
  return h("div", { class: "empty" }, icon(sign), h("b", {}, title), h("span", {}, text), code && h("code", { tabindex: "0" }, code));
}

export function notice(kind, ...content) {
  return h("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, icon(kind === "good" ? "check" : "alert"), h("div", {}, content));
}

export function tag(kind, text) {
  return h("span", { class: `tag ${kind}` }, text);
}
