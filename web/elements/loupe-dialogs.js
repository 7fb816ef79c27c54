/** The dialogs of the labeling view: why an image is skipped, which keys there are, an example enlarged. */

import { h } from "../core/dom.js";
import { LoupeDialog } from "./dialog.js";

const REASONS = [
  "Blurred or too dark",
  "Nothing to label in it",
  "More than one label fits",
  "No label fits",
  "Image does not load",
];
const LONGEST_REASON = 500;

/** Dispatches "skip" with the reason as detail. */
class LoupeSkip extends LoupeDialog {
  #text = h("textarea", {
    class: "input",
    id: "skip-text",
    rows: "2",
    maxlength: LONGEST_REASON,
    "aria-describedby": "skip-hint",
  });

  constructor() {
    super();
    const reasons = REASONS.map((reason, index) =>
      h(
        "button",
        { class: "reason", type: "button", on: { click: () => this.#skip(reason) } },
        h("kbd", {}, String(index + 1)),
        h("span", {}, reason),
      ),
    );
    const cancel = h("button", { class: "button", type: "button", on: { click: () => this.close() } }, "Cancel");
    const submit = h("button", { class: "button primary", type: "submit" }, "Skip image");
    const form = h(
      "form",
      {},
      h("label", { for: "skip-text" }, "Another reason"),
      this.#text,
      h("p", { class: "hint", id: "skip-hint" }, "Enter skips the image, Escape goes back to it."),
      h("div", { class: "dialog-actions" }, cancel, submit),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#skipWithText();
    });
    this.fill("Why skip this image?", h("div", { class: "reasons" }, ...reasons), form);
    this.dialog.addEventListener("keydown", (event) => this.#key(event, reasons));
  }

  show() {
    this.dialog.showModal();
    this.dialog.querySelector(".reason").focus();
  }

  #key(event, reasons) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const inText = event.target === this.#text;
    if (inText && event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#skipWithText();
    } else if (!inText && reasons[Number(event.key) - 1]) {
      event.preventDefault();
      reasons[Number(event.key) - 1].click();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = reasons.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1);
      if (!inText && reasons[next]) {
        event.preventDefault();
        reasons[next].focus();
      }
    }
  }

  #skipWithText() {
    const reason = this.#text.value.trim();
    if (reason) this.#skip(reason);
    else this.#text.focus();
  }

  #skip(reason) {
    this.#text.value = "";
    this.close();
    this.dispatchEvent(new CustomEvent("skip", { detail: reason }));
  }
}

class LoupeHelp extends LoupeDialog {
  /** @param {[string[], string][]} keys the keys of each action, and what it does */
  show(keys) {
    const rows = keys.flatMap(([names, text]) => [
      h("dt", {}, ...names.map((name) => h("kbd", {}, name))),
      h("dd", {}, text),
    ]);
    const close = h("button", { class: "button primary", type: "button", on: { click: () => this.close() } }, "Close");
    this.fill("Keys", h("dl", { class: "keys" }, ...rows), h("div", { class: "dialog-actions" }, close));
    this.dialog.showModal();
    close.focus();
  }
}

/** An example image of the instructions, as large as the window allows. */
class LoupeExample extends LoupeDialog {
  /** @param {{url: string, label: string | null, caption: string | null}} example */
  show({ url, label, caption }) {
    const close = h("button", { class: "button primary", type: "button", on: { click: () => this.close() } }, "Close");
    const text = h("p", { class: "example-caption", dir: "auto" }, caption ?? "");
    const image = h("img", { class: "example-large", src: url, alt: caption ?? `Example${label ? ` of ${label}` : ""}` });
    this.dialog.classList.add("wide");
    this.fill(label ?? "Example", image, text, h("div", { class: "dialog-actions" }, close));
    this.dialog.showModal();
    close.focus();
  }
}

customElements.define("loupe-example", LoupeExample);
customElements.define("loupe-skip", LoupeSkip);
customElements.define("loupe-help", LoupeHelp);
