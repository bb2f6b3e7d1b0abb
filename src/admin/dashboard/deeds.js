// Buttons that change something: off for tokens that may only look, and asked about once more.

import { h, icon } from "./dom.js";
import { state } from "./state.js";

const WHY = "This token may look, but change nothing.";

const mayWrite = () => state.status?.role !== "read";

/** A button that changes something. */
export function act(props, ...children) {
  const off = { disabled: true, title: WHY, "aria-describedby": "only-looking" };
  return h("button", mayWrite() ? props : { ...props, ...off }, children);
}

/** Says at the head of a page why its buttons are off. */
export function onlyLooking() {
  return mayWrite() ? null : h("p", { class: "looking", id: "only-looking" }, icon("tap"), WHY);
}

/** Asks whether to go on; what follows from it stands in `text`. */
export function confirmed({ title, text, verb, danger }) {
  const dialog = h("dialog", { class: "ask", "aria-labelledby": "ask-title", "aria-describedby": "ask-text" },
    h("div", { class: "body" },
      h("h2", { id: "ask-title" }, title),
      h("div", { id: "ask-text", class: "soft" }, text),
      h("div", { class: "row end" },
        h("button", { onclick: () => dialog.close(), autofocus: danger }, "Cancel"),
        h("button", { class: danger ? "fatal" : "primary", onclick: () => dialog.close("yes"), autofocus: !danger, "data-testid": "confirm" }, verb))));
  const left = () => dialog.close();
  addEventListener("hashchange", left);
  return new Promise((answer) => {
    dialog.onclose = () => {
      removeEventListener("hashchange", left);
      dialog.remove();
      answer(dialog.returnValue === "yes");
    };
    document.body.append(dialog);
    dialog.showModal();
  });
}
