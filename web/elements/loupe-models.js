/** A project's models: all versions with what became of them, or the one that the address names. */

import { isExpected } from "../core/api.js";
import { legend, lineChart } from "../core/charts.js";
import { h, plural, stateView } from "../core/dom.js";
import { pausedNote, pausedText } from "../core/releases.js";
import { sectionLink } from "../core/sections.js";
import { moment, percent } from "../core/words.js";
import { ReleaseView } from "./release-view.js";

const OUTCOMES = {
  promoted: "promoted",
  awaiting_approval: "waits for approval",
  approved: "approved",
  rejected: "rejected",
  failed: "failed",
  running: "in training",
  lost: "lost",
};

/** What became of a model, as a mark. */
export function outcomeMark({ version, outcome, is_champion: isChampion, release_failed: failed }, { releasing }) {
  if (releasing?.version === version) return h("span", { class: "outcome outcome-running" }, "being released");
  if (isChampion) return h("span", { class: "mark-champion" }, "champion");
  if (failed) return h("span", { class: "outcome outcome-failed" }, "release failed");
  return h("span", { class: `outcome outcome-${outcome}` }, OUTCOMES[outcome] ?? outcome);
}

class LoupeModels extends ReleaseView {
  /** @type {URLSearchParams} */
  query;

  connectedCallback() {
    const version = this.query.get("version");
    if (version === null) {
      super.connectedCallback();
      return;
    }
    const behindCell = this.query.has("truth") || this.query.has("predicted");
    const view = document.createElement(behindCell ? "loupe-judged-images" : "loupe-model");
    const { api, project, notices, query } = this;
    this.replaceChildren(Object.assign(view, { api, project, notices, version, query }));
  }

  ask() {
    return this.api.models(this.project);
  }

  show(answer) {
    const { champion, models, more, waiting_for: waitingFor } = answer;
    const page = h("div", { class: "console-page" }, h("h1", { tabindex: -1, "data-focus": "title" }, "Models"));
    if (answer.promotion_paused) page.append(this.#paused(answer));
    if (models.length === 0) {
      const jobs = h("a", { class: "button", href: sectionLink(this.project, "") }, "Label images");
      const why = waitingFor ? ` The next training waits: ${waitingFor}.` : "";
      const text = `The first finished labeling job starts a training.${why}`;
      page.append(stateView("hourglass", "No models yet", text, jobs));
      return [page];
    }
    const scored = models.filter((model) => typeof model.score === "number").reverse();
    if (scored.length > 1) page.append(scores(scored));
    const items = models.map((model) => h("li", {}, this.#card(model, answer)));
    page.append(h("section", {}, h("h2", {}, plural(models.length + more, "version")), h("ol", { class: "model-list" }, ...items)));
    if (more) page.append(h("p", { class: "muted" }, `${plural(more, "older version")} not shown.`));
    if (champion === null) page.append(h("p", { class: "muted" }, "None of them is in service."));
    if (waitingFor) page.append(h("p", { class: "muted" }, `The next training waits: ${waitingFor}.`));
    if (!answer.may_release && (answer.promotion_paused || models.some(({ choices }) => choices.length))) page.append(whoDecides());
    return [page];
  }

  #paused({ promotion_paused: paused, may_release: mayRelease }) {
    const heading = h("h2", {}, "Promotion is stopped");
    if (!mayRelease) return h("section", { class: "panel" }, heading, pausedNote(this.project, paused));
    const button = h("button", { class: "button primary", type: "button", "data-focus": "resume" }, "Resume");
    const problem = h("span", { class: "form-problem", role: "alert" });
    button.addEventListener("click", () => this.#resume(button, problem));
    return h("section", { class: "panel" }, heading, h("p", {}, pausedText(paused)), h("div", { class: "action" }, button, problem));
  }

  async #resume(button, problem) {
    problem.textContent = "";
    button.disabled = true;
    try {
      const { told } = await this.api.resumePromotion(this.project);
      await this.decided(told, "title");
    } catch (error) {
      if (!isExpected(error)) throw error;
      problem.textContent = error.message;
    }
    button.disabled = false;
  }

  #card(model, answer) {
    const link = { href: sectionLink(this.project, "models", { version: model.version }), "data-focus": `model ${model.version}` };
    // A rejected one is released from its own page alone: this list is for what is likely to be done.
    const decidable = model.outcome === "rejected" ? { ...model, choices: [] } : model;
    const facts = `dataset ${model.dataset_version}, trained by ${model.trainer}, ${moment(model.ended_at ?? model.started_at)}`;
    return h(
      "article",
      { class: "model-card" },
      h("div", { class: "model-card-head" }, h("h3", {}, h("a", link, `Model ${model.version}`)), outcomeMark(model, answer)),
      typeof model.score === "number"
        ? h("p", { class: "model-score" }, h("b", {}, percent(model.score)), ` ${model.measure}`)
        : null,
      h("p", {}, model.reason || "No reason was given."),
      this.toDecide(decidable, answer),
      h("p", { class: "muted small" }, facts),
    );
  }
}

function whoDecides() {
  return h("p", { class: "muted" }, "Which model answers is decided by others than you: ", h("code", {}, "loupe worker role NAME releaser"), " makes somebody one of them.");
}

/** How scores went from version to version. A champion is measured again on each new test set. */
function scores(models) {
  const values = models.map((model) => model.score);
  const champions = models.map((model) => model.champion_score ?? null);
  const least = Math.min(...values, ...champions.filter((value) => value !== null));
  const from = Math.max(0, Math.floor((least - 0.02) * 20) / 20);
  const chart = lineChart({
    label: `Scores of versions ${models[0].version} to ${models.at(-1).version}: from ${percent(values[0])} to ${percent(values.at(-1))}`,
    x: models.map((_, number) => number),
    xText: (number) => models[number].version,
    xTitle: "version",
    yRange: [from, 1],
    yText: (value) => percent(value, from > 0.5 ? 1 : 0),
    series: [
      { name: "candidate", values },
      { name: "champion", values: champions },
    ],
  });
  const names = ["the model itself", "the champion then, on the same test images"];
  return h("section", { class: "panel" }, h("h2", {}, "Scores"), chart, legend(names));
}

customElements.define("loupe-models", LoupeModels);
