/**
 * One label an image. Up to ten labels are buttons with number keys; more are a list that typing
 * narrows. Dispatches "answer" with {label}.
 *
 * What the labeling view asks of a task's element, and any further task type provides: the properties labels,
 * enabled, keys and tools (buttons beside those of the stage); show(question) each time that anything of the
 * question changes; focusFirst(); handleKey(event), undo() and redo(), which say whether they did something. It
 * dispatches "answer", "say" with what screen readers should hear, and "hint" with what is to be done first. It
 * may use the properties stage and drafts, which it is given.
 */

import { h } from "../core/dom.js";
import { findLabels, keyFor, labelOfKey, numberKeys } from "../core/labels.js";

const MOST_BUTTONS = 10;
const FLASH_MS = 180;

class LoupeClassify extends HTMLElement {
  #labels = [];
  #enabled = true;
  #earlier = null;
  #question = null;
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

  get tools() {
    return [];
  }

  /** @param {{key: string, earlier: object | null, suggestion: object | null}} question */
  show(question) {
    const before = this.#question;
    this.#question = question;
    this.#earlier = question.earlier?.label ?? null;
    this.#mark();
    const { suggestion } = question;
    const isNew = suggestion && (before?.key !== question.key || before.suggestion !== suggestion);
    if (isNew) this.#say(`The model suggests ${suggestion.label}. Enter accepts.`);
  }

  /** Each answer is one step of its own, which the labeling view takes back. */
  undo() {
    return false;
  }

  redo() {
    return false;
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
    return [
      [numberKeys(this.#labels), "Answer with that label"],
      [["Enter"], "Accept the label that the model suggests"],
    ];
  }

  /** Where typing belongs after an answer. On touch screens nothing, or the keyboard would cover the image. */
  focusFirst() {
    if (this.#box && matchMedia("(hover: hover)").matches) this.#box.focus();
  }

  /** @param {KeyboardEvent} event @returns {boolean} */
  handleKey(event) {
    if (event.key === "Enter" && !event.target.closest("button, a, summary")) {
      return !event.repeat && this.#accept();
    }
    if (this.#box) {
      if (event.key !== "/") return false;
      this.#box.focus();
      return true;
    }
    const index = labelOfKey(this.#labels, event);
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
      if (event.repeat) return;
      if (this.#active >= 0) this.#answer(this.#active);
      else if (!this.#box.value.trim()) this.#accept();
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
    const typed = this.#box.value.trim();
    const found = findLabels(this.#labels, typed);
    this.#controls.forEach((control, index) => {
      control.hidden = !found.includes(index);
    });
    this.#controls[0].parentElement.append(...found.map((index) => this.#controls[index]));
    this.classList.toggle("none", found.length === 0);
    this.#activate(typed && found.length > 0 ? found[0] : -1);
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
    const answer = { label: this.#labels[index] };
    const suggestion = this.#question?.suggestion;
    if (suggestion) {
      answer.suggestion = { model_version: suggestion.model_version, accepted: suggestion.label === answer.label };
    }
    this.dispatchEvent(new CustomEvent("answer", { detail: answer }));
  }

  /** @returns {boolean} whether there was a suggestion to answer with */
  #accept() {
    const index = this.#labels.indexOf(this.#question?.suggestion?.label);
    if (index >= 0) this.#answer(index);
    return index >= 0;
  }

  #say(text) {
    this.dispatchEvent(new CustomEvent("say", { detail: text }));
  }

  #mark() {
    this.#controls.forEach((control, index) => {
      const earlier = this.#labels[index] === this.#earlier;
      control.classList.toggle("earlier", earlier);
      control.classList.toggle("suggested", this.#labels[index] === this.#question?.suggestion?.label);
      if (!this.#box) control.setAttribute("aria-pressed", String(earlier));
    });
  }
}

customElements.define("loupe-classify", LoupeClassify);
