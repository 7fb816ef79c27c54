/**
 * The part of an image's view where its label is corrected. Dispatches "save" with what the label is to be, as
 * the API takes it: {label}, {labels}, {boxes} or {withdrawn: true}.
 */

import { h, icon } from "../core/dom.js";

const FINDER_FROM = 12;

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

  connectedCallback() {
    const { current } = this.image;
    this.classList.add("correction");
    const fields = current.boxes || this.image.boxes ? null : this.#labelFields(current);
    const again = h("button", { class: "button quiet", type: "button" }, "Withdraw the label");
    again.title = "The image has no label then, leaves the dataset, and is asked about again";
    again.addEventListener("click", () => this.#dispatch({ withdrawn: true }));
    again.disabled = Boolean(current.withdrawn);
    const actions = h("div", { class: "correction-actions" }, fields && this.#save, again);
    const form = h("form", {}, fields, this.#problem, actions);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#dispatch(this.#chosen());
    });
    form.addEventListener("change", () => this.#judge());
    this.replaceChildren(h("h3", {}, "Correct"), form);
    this.#judge();
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
