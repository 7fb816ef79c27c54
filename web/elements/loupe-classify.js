/**
 * One label an image. Up to ten labels are buttons with number keys; more are a list that typing
 * narrows. Dispatches "answer" with {label}.
 *
 * What the labeling view asks of a task's element, and any further task type provides:
 * the properties labels, enabled and earlier; focusFirst(); handleKey(event) → handled; keys.
 */

import { h } from "../core/dom.js";

const MOST_BUTTONS = 10;
const FLASH_MS = 180;

class LoupeClassify extends HTMLElement {
  #labels = [];
  #enabled = true;
  #earlier = null;
  #controls = [];
  #box = null;
  #active = -1;

  /** @param {string[]} labels */
  set labels(labels) {
    if (JSON.stringify(labels) === JSON.stringify(this.#labels)) return;
    this.#labels = labels;
    this.#box = null;
    if (labels.length > MOST_BUTTONS) this.#showList();
    else this.#showButtons();
    this.#mark();
  }

  /** False while there is no image to answer for. Focus stays where it is. */
  set enabled(enabled) {
    this.#enabled = enabled;
    this.classList.toggle("waiting", !enabled);
    for (const control of this.#controls) control.setAttribute("aria-disabled", String(!enabled));
  }

  /** @param {{label: string} | {skip: string} | null} answer the one being corrected */
  set earlier(answer) {
    this.#earlier = answer?.label ?? null;
    this.#mark();
  }

  /** The keys of this task type, for the help. */
  get keys() {
    if (this.#box) {
      return [
        [["A", "…", "Z"], "Type to find a label"],
        [["↑", "↓"], "Choose among those found"],
        [["Enter"], "Answer with the label chosen"],
        [["Esc"], "Leave the box, so that the single keys below work"],
        [["/"], "Back to the box"],
      ];
    }
    const names = this.#labels.map((label, index) => keyFor(this.#labels, index));
    return [[names.length > 4 ? [names[0], "…", names.at(-1)] : names, "Answer with that label"]];
  }

  /** Where typing belongs after an answer. On touch screens nothing, or the keyboard would cover the image. */
  focusFirst() {
    if (this.#box && matchMedia("(hover: hover)").matches) this.#box.focus();
  }

  /** @param {KeyboardEvent} event @returns {boolean} */
  handleKey(event) {
    if (this.#box) {
      if (event.key !== "/") return false;
      this.#box.focus();
      return true;
    }
    const key = digitOf(event);
    const index = this.#labels.findIndex((_, position) => keyFor(this.#labels, position) === key);
    if (index < 0) return false;
    if (!event.repeat) this.#answer(index);
    return true;
  }

  #showButtons() {
    this.#controls = this.#labels.map((label, index) =>
      h(
        "button",
        { class: "label", type: "button", on: { click: () => this.#answer(index) } },
        h("kbd", { "aria-hidden": "true" }, keyFor(this.#labels, index)),
        h("span", { class: "label-name", dir: "auto" }, label),
      ),
    );
    const short = this.#labels.every((label) => label.length <= 3);
    this.replaceChildren(
      h("div", { class: short ? "labels short" : "labels", role: "group", "aria-label": "Labels" }, ...this.#controls),
    );
  }

  #showList() {
    this.#controls = this.#labels.map((label, index) =>
      h(
        "div",
        { class: "label", role: "option", id: `label-${index}`, on: { click: () => this.#answer(index) } },
        h("span", { class: "label-name", dir: "auto" }, label),
      ),
    );
    this.#box = h("input", {
      class: "input filter",
      type: "text",
      role: "combobox",
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "false",
      enterkeyhint: "done",
      placeholder: `Type to find one of ${this.#labels.length} labels`,
      "aria-label": "Find a label",
      "aria-controls": "label-list",
      "aria-expanded": "true",
      "aria-autocomplete": "list",
    });
    this.#box.addEventListener("input", () => this.#filter());
    this.#box.addEventListener("keydown", (event) => this.#boxKey(event));
    const none = h("p", { class: "none-found" }, "No label has these letters.");
    const list = h(
      "div",
      { class: "labels list", id: "label-list", role: "listbox", "aria-label": "Labels", tabindex: "-1" },
      ...this.#controls,
    );
    this.replaceChildren(this.#box, list, none);
    this.#filter();
  }

  #boxKey(event) {
    if (event.isComposing) return;
    if (event.key === "Enter") {
      event.preventDefault();
      if (this.#active >= 0 && !event.repeat) this.#answer(this.#active);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const found = this.#found();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const at = found.indexOf(this.#active);
      this.#activate(found.at((at < 0 && step < 0 ? -1 : at + step) % found.length) ?? -1);
    }
  }

  /** Labels that begin with the letters come first, then those with a word that does, then the rest. */
  #filter() {
    const letters = plain(this.#box.value.trim());
    const ranked = this.#labels
      .map((label, index) => ({ index, rank: rankOf(plain(label), letters) }))
      .sort((one, other) => one.rank - other.rank || one.index - other.index);
    for (const { index, rank } of ranked) this.#controls[index].hidden = rank === Infinity;
    this.#controls[0].parentElement.append(...ranked.map(({ index }) => this.#controls[index]));
    const best = ranked[0];
    this.classList.toggle("none", best.rank === Infinity);
    this.#activate(letters && best.rank < Infinity ? best.index : -1);
  }

  #found() {
    return [...this.#controls[0].parentElement.children]
      .filter((option) => !option.hidden)
      .map((option) => this.#controls.indexOf(option));
  }

  #activate(index) {
    this.#active = index;
    this.#controls.forEach((option, position) => {
      option.setAttribute("aria-selected", String(position === index));
    });
    if (index < 0) {
      this.#box.removeAttribute("aria-activedescendant");
    } else {
      this.#box.setAttribute("aria-activedescendant", `label-${index}`);
      this.#controls[index].scrollIntoView({ block: "nearest" });
    }
  }

  #answer(index) {
    if (!this.#enabled) return;
    const control = this.#controls[index];
    control.classList.add("picked");
    setTimeout(() => control.classList.remove("picked"), FLASH_MS);
    if (this.#box) {
      this.#box.value = "";
      this.#filter();
    }
    this.dispatchEvent(new CustomEvent("answer", { detail: { label: this.#labels[index] } }));
  }

  #mark() {
    this.#controls.forEach((control, index) => {
      const earlier = this.#labels[index] === this.#earlier;
      control.classList.toggle("earlier", earlier);
      if (!this.#box) control.setAttribute("aria-pressed", String(earlier));
    });
  }
}

/**
 * The number key of a label: 1 to 9 and 0 for the tenth. Labels that are digits themselves keep their
 * own, as anything else would lead to wrong answers.
 */
function keyFor(labels, index) {
  return labels.every((label) => /^[0-9]$/.test(label)) ? labels[index] : String((index + 1) % 10);
}

/** The digit of a key press: the character, or else the key's place (layouts that need Shift for digits). */
function digitOf(event) {
  if (/^[0-9]$/.test(event.key)) return event.key;
  return event.shiftKey ? null : (/^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1] ?? null);
}

function plain(text) {
  return text.normalize("NFD").replace(/\p{Diacritic}/gu, "").toLowerCase();
}

function rankOf(label, letters) {
  if (label.startsWith(letters)) return 0;
  const at = label.indexOf(letters);
  if (at < 0) return Infinity;
  return /[^\p{L}\p{N}]/u.test(label[at - 1]) ? 1 : 2;
}

customElements.define("loupe-classify", LoupeClassify);
