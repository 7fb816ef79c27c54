/** What all dialogs have in common. */

import { h } from "../core/dom.js";

/** A modal dialog with a heading; it closes on Escape and on a click beside it. */
export class LoupeDialog extends HTMLElement {
  dialog = h("dialog", { class: "dialog" });

  constructor() {
    super();
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  connectedCallback() {
    this.replaceChildren(this.dialog);
  }

  close() {
    this.dialog.close();
  }

  fill(title, ...content) {
    const heading = h("h2", { id: `${this.localName}-title` }, title);
    this.dialog.setAttribute("aria-labelledby", heading.id);
    this.dialog.replaceChildren(h("div", { class: "dialog-body" }, heading, ...content));
  }
}
