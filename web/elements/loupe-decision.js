/** Asks once more before something is decided of a model, with its figures beside those of the one in service. */

import { isExpected } from "../core/api.js";
import { h } from "../core/dom.js";
import { fallen, FIGURES, scrolling, sideBySide, table } from "../core/figures.js";
import { asked, choiceText } from "../core/releases.js";
import { difference, percent } from "../core/words.js";
import { LoupeDialog } from "./dialog.js";

const FALLEN_SHOWN = 5;

/** Dispatches "decided" with `{version, told}` as detail. */
class LoupeDecision extends LoupeDialog {
  /** @type {import("../core/api.js").PortalApi} */
  api;
  /** @type {string} */
  project;

  #asking = 0;

  /**
   * @param {import("../core/releases.js").Choice} choice
   * @param {object} model
   * @param {string | null} champion the version in service
   */
  show(choice, model, champion) {
    const { title, text } = asked(choice, model, champion);
    const numbers = h("div", { class: "decision-figures" }, h("p", { class: "muted" }, "Loading its figures …"));
    const problem = h("p", { class: "form-problem", role: "alert" });
    const cancel = h("button", { class: "button", type: "button", on: { click: () => this.close() } }, "Cancel");
    const confirm = h("button", { class: "button primary", type: "button" }, choiceText(choice, model));
    confirm.addEventListener("click", () => this.#decide(choice, model.version, confirm, problem));
    this.dialog.classList.add("decision");
    this.fill(title, h("p", {}, text), numbers, problem, h("div", { class: "dialog-actions" }, cancel, confirm));
    this.dialog.showModal();
    // The button that does nothing, so that Enter pressed once too often decides nothing.
    cancel.focus();
    this.#compare(model.version, champion, numbers);
  }

  /** Nobody is kept from deciding by figures that can't be loaded. */
  async #compare(version, champion, view) {
    const asking = ++this.#asking;
    let parts;
    try {
      const models = [version, champion].map((each) => each && this.api.model(this.project, each));
      parts = compared(...(await Promise.all(models)));
    } catch (error) {
      if (!isExpected(error)) throw error;
      parts = [h("p", { class: "form-problem" }, `Its figures could not be loaded: ${error.message}`)];
    }
    if (asking === this.#asking) view.replaceChildren(...parts);
  }

  async #decide(choice, version, button, problem) {
    const text = button.textContent;
    problem.textContent = "";
    button.disabled = true;
    button.textContent = "Asking …";
    try {
      const { state, told } = await this.api.decide(this.project, version, choice);
      this.close();
      const detail = { version, told: state === "rejected" ? `model ${version}: ${told}` : told };
      this.dispatchEvent(new CustomEvent("decided", { detail }));
    } catch (error) {
      if (!isExpected(error)) throw error;
      problem.textContent = error.message;
      button.disabled = false;
      button.textContent = text;
      button.focus();
    }
  }
}

function compared(model, champion) {
  const { own, other, explained } = sideBySide(model, champion);
  const names = Object.keys(FIGURES).filter((name) => typeof own?.[name] === "number" || typeof other?.[name] === "number");
  if (names.length === 0) return [h("p", { class: "muted" }, "It has no figures.")];
  const head = ["Figure", `Model ${model.version}`, ...(champion ? [`In service: ${champion.version}`, "Change"] : [])];
  const rows = names.map((name) => {
    const cells = [percent(own?.[name]), ...(champion ? [percent(other?.[name]), difference(own?.[name], other?.[name])] : [])];
    return h("tr", {}, h("th", { scope: "row" }, FIGURES[name]), ...cells.map((text) => h("td", { class: "number" }, text)));
  });
  return [scrolling(table("Figures of both models", head, rows)), fallenLabels(own, other), h("p", { class: "muted small" }, explained)].filter(Boolean);
}

/** Labels that the model in service knows better. */
function fallenLabels(own, other) {
  const falls = fallen(own, other);
  if (falls.length === 0) return null;
  const shown = falls.slice(0, FALLEN_SHOWN).flatMap(({ label, from, to }) => [", ", h("span", { dir: "auto" }, label), ` ${difference(to, from)}`]);
  const more = falls.length > FALLEN_SHOWN ? `, and ${falls.length - FALLEN_SHOWN} more` : "";
  return h("p", {}, "Labels that the model in service knows better: ", ...shown.slice(1), `${more}.`);
}

customElements.define("loupe-decision", LoupeDecision);
