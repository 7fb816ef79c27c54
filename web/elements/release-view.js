/** What the pages about models share: decisions of people, and releases that are followed to their end. */

import { isExpected } from "../core/api.js";
import { h } from "../core/dom.js";
import { load } from "../core/loading.js";
import { choiceText, failedNote, failedText, releasingText, waitingNote } from "../core/releases.js";
import "./loupe-decision.js";

const LOOK_MS = 5_000;

/** A view that shows one answer of the API about models, and shows it anew when something was decided. */
export class ReleaseView extends HTMLElement {
  /** @type {import("../core/api.js").PortalApi} */
  api;
  /** @type {string} */
  project;
  /** @type {{show(text: string): void}} */
  notices;

  #body = h("div");
  #decision = document.createElement("loupe-decision");
  #answer = null;
  #timer = 0;
  #leaving;

  /** @returns {Promise<{champion: string | null, releasing: object | null, may_release: boolean}>} */
  ask() {
    throw new Error("to be told by each view");
  }

  /** @returns {Node[]} */
  show(_answer) {
    throw new Error("to be told by each view");
  }

  connectedCallback() {
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    document.addEventListener("visibilitychange", () => !document.hidden && this.#look(), { signal });
    Object.assign(this.#decision, { api: this.api, project: this.project });
    this.#decision.addEventListener("decided", ({ detail }) => this.decided(detail.told, `model ${detail.version}`), { signal });
    this.replaceChildren(this.#body, this.#decision);
    load(this.#body, () => this.ask(), (answer) => this.#shown(answer));
  }

  disconnectedCallback() {
    this.#leaving?.abort();
    clearTimeout(this.#timer);
  }

  #shown(answer) {
    this.#answer = answer;
    this.#follow();
    return this.show(answer);
  }

  /** Tells what came of a decision, and shows how things stand then. */
  async decided(told, focus) {
    this.notices.show(`${told[0].toUpperCase()}${told.slice(1)}.`);
    try {
      await this.#refresh(focus);
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.notices.show(`How it stands now could not be loaded: ${error.message}`);
    }
  }

  async #refresh(focus = null) {
    const before = this.#answer;
    const answer = await this.ask();
    if (!this.isConnected) return;
    const focused = document.activeElement?.getAttribute("data-focus") ?? focus;
    this.#body.replaceChildren(...this.#shown(answer));
    this.#focus(focused, focus);
    const ended = before?.releasing?.version;
    if (ended && ended !== answer.releasing?.version) {
      const failed = `The release of model ${ended} did not come to its end.`;
      this.notices.show(answer.champion === ended ? `Model ${ended} answers now.` : failed);
    }
  }

  /** What had the focus may be gone; then it is beside it. */
  #focus(...keys) {
    const places = keys.filter(Boolean).flatMap((key) => [key, `model ${key.split(" ").at(-1)}`, "title"]);
    for (const place of places) {
      const found = this.querySelector(`[data-focus="${CSS.escape(place)}"]`);
      if (!found) continue;
      found.focus({ preventScroll: true });
      return;
    }
  }

  /** Looks again and again while a model is released. */
  #follow() {
    clearTimeout(this.#timer);
    if (this.#answer?.releasing) this.#timer = setTimeout(() => document.hidden || this.#look(), LOOK_MS);
  }

  async #look() {
    if (!this.#answer?.releasing) return;
    try {
      // What jobs there are is cheap to ask for, all models are not.
      const { releasing } = await this.api.jobs(this.project);
      if (this.isConnected && JSON.stringify(releasing) !== JSON.stringify(this.#answer.releasing)) await this.#refresh();
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
    if (this.isConnected) this.#follow();
  }

  /** What is to be decided of a model, and the buttons for it. Others read how it is done. */
  toDecide(model, { champion, releasing, may_release: mayRelease }) {
    const { version, outcome, release_failed: failed, choices } = model;
    if (releasing?.version === version) {
      return h("p", { class: "releasing" }, h("span", { class: "spinner", "aria-hidden": "true" }), releasingText(releasing, champion));
    }
    if (!mayRelease) return this.#told(model);
    const buttons = choices.map((choice) => {
      const kind = choice === "approve" ? "button primary" : "button";
      const button = h("button", { class: kind, type: "button", "data-focus": `${choice} ${version}` }, choiceText(choice, model));
      button.append(h("span", { class: "visually-hidden" }, ` ${version}`));
      button.addEventListener("click", () => this.#decision.show(choice, model, champion));
      return button;
    });
    const problem = failed && !model.is_champion ? h("p", { class: "form-problem" }, `${failedText(version, failed)}.`) : null;
    const waits = outcome === "awaiting_approval" && !choices.includes("approve") ? h("p", { class: "muted" }, whyNoApproval(model, champion, releasing)) : null;
    if (!problem && !waits && buttons.length === 0) return null;
    return h("div", { class: "to-decide" }, problem, waits, buttons.length ? h("div", { class: "decisions" }, ...buttons) : null);
  }

  #told({ version, outcome, is_champion: isChampion, release_failed: failed }) {
    if (isChampion) return null;
    if (failed) return failedNote(this.project, version, failed, outcome === "approved");
    return outcome === "awaiting_approval" ? waitingNote(this.project, version) : null;
  }
}

function whyNoApproval({ compared_with: compared }, champion, releasing) {
  if (releasing) return `It can be approved when the release of model ${releasing.version} is done.`;
  return `It was compared with ${compared ?? "no other model"}, and ${champion ?? "none"} answers now: no approval can release it. The next training compares again.`;
}
