/**
 * Several labels an image, each on or off, or none of them as an answer of its own. Dispatches "answer" with
 * {labels}, in the project's order. loupe-classify says what the labeling view asks of this element.
 */

import { h } from "../core/dom.js";
import { Edits } from "../core/edits.js";
import { labelOfKey, numberKeys } from "../core/labels.js";

class LoupeSeveral extends HTMLElement {
  /** Set before it is put into the page. @type {import("../core/drafts.js").Drafts} */
  drafts;

  #labels = [];
  #enabled = true;
  #question = null;
  #edits = new Edits(new Set());
  #touched = false;
  #palette = h("loupe-palette");
  #suggested = h("div", { class: "suggested-note", hidden: true });
  #none = h("button", { class: "button", type: "button" });
  #submit = h("button", { class: "button primary", type: "button" }, "Submit", h("kbd", { "aria-hidden": "true" }, "⏎"));

  constructor() {
    super();
    this.#palette.addEventListener("choose", ({ detail }) => this.#toggle(detail));
    this.#palette.addEventListener("submit", () => this.#answer());
    this.#none.addEventListener("click", () => this.#answerNone());
    this.#submit.addEventListener("click", () => this.#answer());
    // A click leaves the focus where it was, so that Enter still submits.
    this.addEventListener("mousedown", (event) => event.target.matches("input") || event.preventDefault());
  }

  connectedCallback() {
    this.replaceChildren(this.#palette, this.#suggested, h("div", { class: "submit" }, this.#none, this.#submit));
  }

  /** @param {string[]} labels */
  set labels(labels) {
    if (JSON.stringify(labels) === JSON.stringify(this.#labels)) return;
    this.#labels = labels;
    this.#palette.show(labels, { name: "Labels: all that apply", marks: false });
    if (this.#question) this.#open();
  }

  set enabled(enabled) {
    this.#enabled = enabled;
    this.classList.toggle("waiting", !enabled);
    this.#palette.enabled = enabled;
    this.#submit.setAttribute("aria-disabled", String(!enabled));
    this.#none.setAttribute("aria-disabled", String(!enabled));
  }

  get tools() {
    return [];
  }

  /** @param {{key: string, earlier: object | null, suggestion: object | null}} question */
  show(question) {
    const before = this.#question;
    this.#question = question;
    if (before?.key !== question.key) this.#open();
    else if (before.suggestion !== question.suggestion) this.#suggest();
  }

  /** The keys of this task type, for the help. */
  get keys() {
    const toggle = this.#palette.hasFinder
      ? [
          [numberKeys(this.#labels), "Switch one of the first ten labels on or off"],
          [["/"], "Find a label by typing; Enter switches it, Esc leaves the box"],
        ]
      : [[numberKeys(this.#labels), "Switch that label on or off"]];
    return [
      ...toggle,
      [["Enter"], "Submit the labels that are on"],
      [["N"], "None of these; where labels are on, clear them first"],
      [["Ctrl Z"], "Undo; Ctrl Y or Ctrl Shift Z redoes"],
    ];
  }

  focusFirst() {
    if (this.#palette.hasFinder && matchMedia("(hover: hover)").matches) this.#palette.focusFinder();
  }

  undo() {
    return this.#stepped(this.#edits.undo());
  }

  redo() {
    return this.#stepped(this.#edits.redo());
  }

  /** @param {KeyboardEvent} event @returns {boolean} */
  handleKey(event) {
    if (!this.#question || !this.#enabled) return false;
    if (event.key === "/" && this.#palette.hasFinder) {
      this.#palette.focusFinder();
      return true;
    }
    if (event.key === "Enter" && (!event.target.closest("button, a, summary") || this.contains(event.target))) {
      if (event.target === this.#none) return false;
      if (!event.repeat) this.#answer();
      return true;
    }
    if (event.key.toLowerCase() === "n") {
      if (!event.repeat) this.#answerNone();
      return true;
    }
    const index = labelOfKey(this.#labels, event);
    if (index >= 0 && !event.repeat) this.#toggle(index);
    return index >= 0;
  }

  #open() {
    const { key, earlier } = this.#question;
    const draft = this.drafts.read(key)?.labels;
    this.#touched = Boolean(draft ?? earlier?.labels);
    const on = (draft ?? earlier?.labels ?? []).filter((label) => this.#labels.includes(label));
    this.#edits = new Edits(new Set(on));
    this.#suggest();
  }

  /** What the model suggests is switched on, unless somebody has begun to answer. */
  #suggest() {
    const { suggestion } = this.#question;
    if (suggestion && !this.#touched) {
      this.#edits.replace(new Set(suggestion.labels.filter((label) => this.#labels.includes(label))));
      const names = suggestion.labels.join(", ") || "none of the labels";
      this.#say(`The model suggests ${names}. Enter accepts.`);
    }
    this.#render();
  }

  #toggle(index) {
    if (!this.#enabled || !this.#question) return;
    const label = this.#labels[index];
    const on = new Set(this.#edits.now);
    if (!on.delete(label)) on.add(label);
    this.#change(on);
    this.#say(`${label} ${on.has(label) ? "on" : "off"}`);
  }

  #change(on) {
    this.#touched = true;
    this.#edits.do(on);
    this.#keep();
  }

  #keep() {
    this.drafts.write(this.#question.key, { labels: [...this.#edits.now] });
    this.#render();
  }

  #stepped(done) {
    if (!done) return false;
    this.#keep();
    this.#say(this.#ordered().join(", ") || "No label on");
    return true;
  }

  #answer() {
    if (!this.#enabled || !this.#question) return;
    if (this.#edits.now.size > 0) this.#send();
    else this.dispatchEvent(new CustomEvent("hint", { detail: "Switch labels on, or answer None of these with N." }));
  }

  /** Never at once with labels on: those are cleared first, which Undo brings back. */
  #answerNone() {
    if (!this.#enabled || !this.#question) return;
    if (this.#edits.now.size === 0) {
      this.#send();
      return;
    }
    this.#change(new Set());
    this.#say("All labels off. N again answers none of these.");
  }

  #send() {
    const { suggestion, key } = this.#question;
    const labels = this.#ordered();
    const answer = { labels };
    if (suggestion) {
      const accepted = JSON.stringify(labels) === JSON.stringify(this.#inOrder(new Set(suggestion.labels)));
      answer.suggestion = { model_version: suggestion.model_version, accepted };
    }
    this.drafts.forget(key);
    this.dispatchEvent(new CustomEvent("answer", { detail: answer }));
  }

  #ordered() {
    return this.#inOrder(this.#edits.now);
  }

  #inOrder(labels) {
    return this.#labels.filter((label) => labels.has(label));
  }

  #render() {
    const { suggestion } = this.#question;
    const on = this.#edits.now;
    this.#palette.mark(on, new Set(suggestion?.labels ?? []));
    this.#none.replaceChildren(on.size ? "Clear all" : "None of these", h("kbd", { "aria-hidden": "true" }, "N"));
    this.#submit.classList.toggle("primary", on.size > 0);
    this.#suggested.hidden = !suggestion;
    const none = suggestion?.labels.length === 0;
    if (suggestion) {
      const text = none ? "The model suggests none of these." : "The model suggests the labels marked with a dashed line.";
      this.#suggested.replaceChildren(h("p", {}, text));
    }
  }

  #say(text) {
    this.dispatchEvent(new CustomEvent("say", { detail: text }));
  }
}

customElements.define("loupe-several", LoupeSeveral);
