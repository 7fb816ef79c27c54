/**
 * Labels to choose from: buttons with a number key each up to ten, and a box that finds them by typing
 * where there are more. Dispatches "choose" with a label's index, and "submit" on Enter in the empty box.
 */

import { h } from "../core/dom.js";
import { findLabels, keyFor, markOf } from "../core/labels.js";

const MOST_KEYS = 10;

class LoupePalette extends HTMLElement {
  #labels = [];
  #buttons = [];
  #list = h("div", { class: "labels", role: "group" });
  #find = null;
  #revealed = null;
  #noneFound = h("p", { class: "none-found" }, "No label has these letters.");

  /**
   * @param {string[]} labels
   * @param {{name: string, marks: boolean}} options the group's name, and whether labels have a colour
   */
  show(labels, { name, marks }) {
    this.#labels = labels;
    this.#list.setAttribute("aria-label", name);
    this.#buttons = labels.map((label, index) => this.#button(label, index, marks));
    this.#list.replaceChildren(...this.#buttons);
    const short = labels.every((label) => label.length <= 3);
    this.#list.classList.toggle("short", short);
    this.#find = labels.length > MOST_KEYS ? this.#finder() : null;
    this.replaceChildren(...(this.#find ? [this.#find, this.#noneFound] : []), this.#list);
  }

  /** @param {Set<string>} chosen @param {Set<string>} [suggested] */
  mark(chosen, suggested = new Set()) {
    this.#buttons.forEach((button, index) => {
      button.setAttribute("aria-pressed", String(chosen.has(this.#labels[index])));
      button.classList.toggle("suggested", suggested.has(this.#labels[index]));
    });
  }

  /** Scrolls to a label that is out of view, once each time that it is another one. */
  reveal(label) {
    if (label === this.#revealed) return;
    this.#revealed = label;
    this.#buttons[this.#labels.indexOf(label)]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  set enabled(enabled) {
    for (const button of this.#buttons) button.setAttribute("aria-disabled", String(!enabled));
  }

  /** Whether labels are found by typing. */
  get hasFinder() {
    return this.#find !== null;
  }

  focusFinder() {
    this.#find?.focus();
  }

  #button(label, index, marks) {
    const key = keyFor(this.#labels, index);
    const { colour, line } = markOf(index);
    const swatch = marks ? h("span", { class: "swatch", "data-line": line }) : null;
    swatch?.style.setProperty("--mark", colour);
    return h(
      "button",
      { class: "label", type: "button", "aria-pressed": "false", on: { click: () => this.#choose(index) } },
      key === null ? null : h("kbd", { "aria-hidden": "true" }, key),
      swatch,
      h("span", { class: "label-name", dir: "auto" }, label),
    );
  }

  #finder() {
    const find = h("input", {
      class: "input filter",
      type: "text",
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "false",
      enterkeyhint: "done",
      placeholder: `Type to find one of ${this.#labels.length} labels`,
      "aria-label": "Find a label",
    });
    find.addEventListener("input", () => this.#filter());
    find.addEventListener("keydown", (event) => this.#key(event));
    return find;
  }

  #key(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter") {
      event.preventDefault();
      if (event.repeat) return;
      const typed = this.#find.value.trim();
      const [best] = findLabels(this.#labels, typed);
      if (!typed) this.dispatchEvent(new Event("submit"));
      else if (best !== undefined) this.#choose(best);
    } else if (event.key === "Backspace" && !this.#find.value) {
      // In the box it is for letters; going back to an earlier image would be a surprise.
      event.preventDefault();
    }
  }

  #filter() {
    const found = findLabels(this.#labels, this.#find.value);
    this.#buttons.forEach((button, index) => {
      button.hidden = !found.includes(index);
    });
    this.#list.append(...found.map((index) => this.#buttons[index]));
    this.classList.toggle("none", found.length === 0);
  }

  #choose(index) {
    if (this.#find?.value) {
      this.#find.value = "";
      this.#filter();
    }
    this.dispatchEvent(new CustomEvent("choose", { detail: index }));
  }
}

customElements.define("loupe-palette", LoupePalette);
