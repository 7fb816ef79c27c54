/**
 * The part of an image's view where its label is corrected. Dispatches "save" with what the label is to be, as
 * the API takes it: {label}, {labels}, {boxes} or {withdrawn: true}. Boxes are drawn as on the labeling page:
 * "draw" has the stage that is to show the image, and "look" says that the drawing is over.
 */

import { h, icon } from "../core/dom.js";

const FINDER_FROM = 12;
/** A correction that is not sent is given up with its view. */
const NO_DRAFTS = { read: () => null, write: () => undefined, forget: () => undefined };

/** @param {object} image as the API tells it @param {string[]} labels */
export function correctionForm(image, labels) {
  const form = document.createElement("loupe-correction");
  form.image = image;
  form.labels = labels;
  return form;
}

class LoupeCorrection extends HTMLElement {
  image;
  labels;

  #problem = h("p", { class: "form-problem", role: "alert" });
  #save = h("button", { class: "button primary", type: "submit" }, "Correct");
  #drawing = null;

  connectedCallback() {
    this.classList.add("correction");
    this.#look();
  }

  get isDrawing() {
    return this.#drawing !== null;
  }

  /** Keys while boxes are drawn. @returns {boolean} whether the key did something */
  handleKey(event) {
    if (!this.#drawing) return false;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") {
      return event.shiftKey ? this.#drawing.redo() : this.#drawing.undo();
    }
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "y") return this.#drawing.redo();
    return this.#drawing.handleKey(event);
  }

  #look() {
    const { current } = this.image;
    const hasBoxes = (current.boxes ?? this.image.boxes) !== undefined;
    const again = h("button", { class: "button quiet", type: "button" }, "Withdraw the label");
    again.title = "The image has no label then, leaves the dataset, and is asked about again";
    again.addEventListener("click", () => this.#dispatch({ withdrawn: true }));
    again.disabled = Boolean(current.withdrawn);
    const draw = h("button", { class: "button primary", type: "button" }, "Correct the boxes");
    draw.addEventListener("click", () => this.#draw());
    const actions = h("div", { class: "correction-actions" }, hasBoxes ? draw : this.#save, again);
    const form = h("form", {}, hasBoxes ? null : this.#labelFields(current), this.#problem, actions);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#dispatch(this.#chosen());
    });
    form.addEventListener("change", () => this.#judge());
    this.replaceChildren(h("h3", {}, "Correct"), form);
    if (!hasBoxes) this.#judge();
  }

  #draw() {
    const { sha256, width, height, current } = this.image;
    const stage = h("loupe-stage");
    this.#drawing = Object.assign(h("loupe-boxes"), { stage, drafts: NO_DRAFTS });
    this.#drawing.labels = this.labels;
    this.#drawing.addEventListener("answer", ({ detail }) => this.#dispatch({ boxes: detail.boxes }));
    for (const type of ["say", "hint"]) {
      this.#drawing.addEventListener(type, ({ detail }) => this.dispatchEvent(new CustomEvent(type, { detail })));
    }
    const drawing = this.#drawing;
    stage.addEventListener("shown", () => {
      drawing.enabled = true;
    });
    stage.addEventListener("failed", () => {
      this.#stopDrawing();
      this.fail("The image does not load, so its boxes can't be drawn now.");
    });
    const cancel = h("button", { class: "button", type: "button" }, "Cancel");
    cancel.addEventListener("click", () => this.#stopDrawing());
    const tools = h("div", { class: "correction-tools" }, ...this.#drawing.tools);
    this.replaceChildren(h("h3", {}, "Correct the boxes"), tools, this.#drawing, this.#problem, cancel);
    this.dispatchEvent(new CustomEvent("draw", { detail: stage }));
    const earlier = { boxes: current.boxes ?? [] };
    this.#drawing.show({ key: sha256, picture: { width, height }, earlier, suggestion: null });
    drawing.enabled = stage.ready;
    // On a button Enter would be that button's, and not the drawing's.
    this.#drawing.querySelector(".marks-list").focus();
  }

  #stopDrawing() {
    this.#drawing = null;
    this.#look();
    this.dispatchEvent(new Event("look"));
    this.querySelector("button").focus();
  }

  /** Shows why a correction was not taken. */
  fail(message) {
    this.#problem.textContent = message;
  }

  get #isSeveral() {
    return this.image.labels !== undefined || this.image.current.labels !== undefined;
  }

  #labelFields(current) {
    const type = this.#isSeveral ? "checkbox" : "radio";
    const now = new Set(current.labels ?? (current.label === undefined ? [] : [current.label]));
    const choices = this.labels.map((label) => {
      const input = h("input", { type, name: "correct-label", value: label, checked: now.has(label) });
      return h("label", { class: "choice" }, input, h("span", { dir: "auto" }, label));
    });
    const legend = this.#isSeveral ? "Labels that apply" : "Label";
    const field = h("fieldset", { class: "choices" }, h("legend", { class: "visually-hidden" }, legend), ...choices);
    return h("div", {}, choices.length > FINDER_FROM ? finder(choices) : null, field);
  }

  #chosen() {
    const checked = [...this.querySelectorAll("input[name=correct-label]:checked")].map(({ value }) => value);
    return this.#isSeveral ? { labels: checked } : { label: checked[0] };
  }

  /** Only another label than the one of now is a correction. */
  #judge() {
    const { current } = this.image;
    const chosen = this.#chosen();
    const before = current.labels ? [...current.labels].sort() : current.label;
    const after = chosen.labels ? [...chosen.labels].sort() : chosen.label;
    this.#save.disabled = JSON.stringify(before) === JSON.stringify(after);
    this.#problem.textContent = "";
  }

  #dispatch(said) {
    this.dispatchEvent(new CustomEvent("save", { detail: said }));
  }
}

/** A field that leaves the choices whose label has the letters typed. */
function finder(choices) {
  const field = h("input", { class: "input", type: "search", placeholder: "Find a label", "aria-label": "Find a label" });
  field.addEventListener("input", () => {
    const typed = field.value.trim().toLowerCase();
    for (const choice of choices) choice.hidden = !choice.textContent.toLowerCase().includes(typed);
  });
  return h("div", { class: "finder" }, icon("glass"), field);
}

customElements.define("loupe-correction", LoupeCorrection);
