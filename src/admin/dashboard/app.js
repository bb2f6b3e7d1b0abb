// The frame around the pages: the door, navigation, and what keeps the page that is open fresh.

import { get, onRefused, token } from "./api.js";
import { h, icon, render } from "./dom.js";
import { lasting } from "./format.js";
import { changed, onChange, start, state, troubled } from "./state.js";
import { now } from "./pages/now.js";
import { routes } from "./pages/routes.js";
import { services } from "./pages/services.js";
import { colors } from "./pages/colors.js";
import { rollouts } from "./pages/rollouts.js";
import { limits } from "./pages/limits.js";
import { listeners } from "./pages/listeners.js";
import { tap } from "./pages/tap.js";
import { config } from "./pages/config.js";
import { audit } from "./pages/audit.js";

const PAGES = [
  ["now", "Now", now],
  ["routes", "Routes", routes],
  ["services", "Services", services],
  ["colors", "Colors", colors],
  ["rollouts", "Rollouts", rollouts],
  ["limits", "Limits & JWT", limits],
  ["listeners", "Listeners & TLS", listeners],
  ["tap", "Tap", tap],
  ["config", "Config", config],
  ["audit", "Audit", audit],
];

const app = document.getElementById("app");
let [page, life] = [null, null];

/** The token is asked for once; the tab keeps it. */
function door(message) {
  life?.abort();
  [page, life] = [null, null];
  const field = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true, class: "mono", "aria-describedby": "hint" });
  const enter = async (event) => {
    event.preventDefault();
    token.set(field.value.trim());
    try {
      await get("/v1/status");
      inside();
    } catch (problem) {
      token.forget();
      door(problem.message);
    }
  };
  app.replaceChildren(h("main", { class: "door", id: "main" }, h("form", { class: "card", onsubmit: enter },
    h("img", { src: "/assets/icon.svg", alt: "" }),
    h("div", {}, h("h1", {}, "Tyrian"), h("p", { class: "soft" }, "Enter the admin token to look inside.")),
    message && h("div", { class: "bad-text", role: "alert" }, message),
    h("label", { for: "token" }, "Token", field),
    h("p", { class: "soft small", id: "hint" }, "It is in ", h("code", {}, "admin.token"), " of the state directory, and stays in this tab only."),
    h("button", { class: "primary" }, "Enter"))));
  field.focus();
}

function navigation(current) {
  const open = state.frame?.breakers.filter((breaker) => breaker.state !== "closed").length;
  const count = (name) => {
    if (name === "services" && open) return h("span", { class: "count", title: "breakers not closed" }, open);
    if (name === "config" && state.status?.config.rejected) return h("span", { class: "count" }, "!");
    const stopped = troubled().length;
    if (name === "rollouts" && stopped) return h("span", { class: "count", title: "rollouts that their guard has stopped" }, stopped);
    return null;
  };
  return h("nav", { class: "nav", "aria-label": "Pages" }, PAGES.map(([name, title]) =>
    h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, icon(name), title, count(name))));
}

function foot() {
  const { status, link } = state;
  const words = { up: "live", wait: "connecting", down: "connection lost" }[link];
  return h("footer", {},
    h("span", { class: `live ${link === "up" ? "" : link === "down" ? "off" : "wait"}`, role: "status", "data-testid": "link" }, status?.draining ? "draining" : words),
    status && h("span", {}, "Generation ", h("b", { "data-testid": "generation" }, status.generation)),
    status && h("span", {}, `Up ${lasting(status.uptime_s)} · ${status.version}`));
}

function inside() {
  life?.abort();
  life = new AbortController();
  start(life.signal);
  const [side, main] = [h("aside", { class: "side" }), h("main", { id: "main", tabindex: "-1" })];
  app.replaceChildren(h("div", { class: "frame" }, side, main));
  const show = () => {
    const name = location.hash.slice(2).split("?")[0];
    const [id, title, make] = PAGES.find(([known]) => known === name) ?? PAGES[0];
    page?.life.abort();
    const own = new AbortController();
    life.signal.addEventListener("abort", () => own.abort());
    document.title = `${title} · Tyrian`;
    main.replaceChildren();
    page = { id, life: own, view: null };
    page.view = make({ signal: own.signal, redraw: changed });
    changed();
  };
  const draw = () => {
    render(side, h("div", {}, h("div", { class: "brand" }, h("img", { src: "/assets/icon.svg", alt: "" }), "Tyrian"), navigation(page?.id), foot()));
    if (page?.view) render(main, page.view());
  };
  const stop = onChange(draw);
  const moved = () => (show(), main.focus(), scrollTo(0, 0));
  addEventListener("hashchange", moved);
  life.signal.addEventListener("abort", () => (stop(), removeEventListener("hashchange", moved), page?.life.abort()));
  show();
}

onRefused(() => {
  if (life) {
    token.forget();
    door("The token is not accepted any more.");
  }
});
if (token.get()) inside();
else door();
