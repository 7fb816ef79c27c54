/** Short messages that come and go, and the line that only screen readers hear. */

import { h } from "../core/dom.js";

const SHOWN_MS = 7_000;
const MOST_SHOWN = 3;

class LoupeNotices extends HTMLElement {
  #list = h("div", { class: "notices", role: "status", "aria-live": "polite" });
  #spoken = h("div", { class: "visually-hidden", "aria-live": "polite", "aria-atomic": "true" });

  connectedCallback() {
    this.replaceChildren(this.#list, this.#spoken);
  }

  /** Shows and speaks a message. */
  show(text) {
    const close = h("button", { class: "notice-close", type: "button", "aria-label": "Dismiss" }, "✕");
    const notice = h("div", { class: "notice" }, h("p", {}, text), close);
    close.addEventListener("click", () => notice.remove());
    this.#list.append(notice);
    while (this.#list.children.length > MOST_SHOWN) this.#list.firstElementChild.remove();
    setTimeout(() => notice.remove(), SHOWN_MS);
  }

  /** Says something to screen readers only. */
  say(text) {
    this.#spoken.textContent = text;
  }
}

customElements.define("loupe-notices", LoupeNotices);
