/** A project's models: all versions with what became of them, or the one that the address names. */

import { legend, lineChart } from "../core/charts.js";
import { h, plural, stateView } from "../core/dom.js";
import { load } from "../core/loading.js";
import { failedNote, pausedNote, waitingNote } from "../core/releases.js";
import { sectionLink } from "../core/sections.js";
import { moment, percent } from "../core/words.js";

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
export function outcomeMark({ outcome, is_champion: isChampion, release_failed: failed }) {
  if (isChampion) return h("span", { class: "mark-champion" }, "champion");
  if (failed) return h("span", { class: "outcome outcome-failed" }, "release failed");
  return h("span", { class: `outcome outcome-${outcome}` }, OUTCOMES[outcome] ?? outcome);
}

/** What a person has to do about a model, if anything. */
export function toDecide(project, { version, outcome, is_champion: isChampion, release_failed: failed }) {
  if (isChampion) return null;
  if (failed) return failedNote(project, version, failed, outcome === "approved");
  return outcome === "awaiting_approval" ? waitingNote(project, version) : null;
}

class LoupeModels extends HTMLElement {
  /** @type {import("../core/api.js").PortalApi} */
  api;
  /** @type {string} */
  project;
  /** @type {URLSearchParams} */
  query;

  connectedCallback() {
    const version = this.query.get("version");
    if (version === null) {
      load(this, () => this.api.models(this.project), (answer) => this.#list(answer));
      return;
    }
    const behindCell = this.query.has("truth") || this.query.has("predicted");
    const view = document.createElement(behindCell ? "loupe-judged-images" : "loupe-model");
    const { api, project, query } = this;
    this.replaceChildren(Object.assign(view, { api, project, version, query }));
  }

  #list({ champion, models, more, waiting_for: waitingFor, promotion_paused: paused }) {
    const page = h("div", { class: "console-page" }, h("h1", {}, "Models"));
    if (paused) page.append(h("section", { class: "panel" }, h("h2", {}, "Promotion is stopped"), pausedNote(this.project, paused)));
    if (models.length === 0) {
      const jobs = h("a", { class: "button", href: sectionLink(this.project, "") }, "Label images");
      const why = waitingFor ? ` The next training waits: ${waitingFor}.` : "";
      const text = `The first finished labeling job starts a training.${why}`;
      page.append(stateView("hourglass", "No models yet", text, jobs));
      return [page];
    }
    const scored = models.filter((model) => typeof model.score === "number").reverse();
    if (scored.length > 1) page.append(scores(scored));
    const items = models.map((model) => h("li", {}, this.#card(model)));
    page.append(h("section", {}, h("h2", {}, plural(models.length + more, "version")), h("ol", { class: "model-list" }, ...items)));
    if (more) page.append(h("p", { class: "muted" }, `${plural(more, "older version")} not shown.`));
    if (champion === null) page.append(h("p", { class: "muted" }, "None of them is in service."));
    if (waitingFor) page.append(h("p", { class: "muted" }, `The next training waits: ${waitingFor}.`));
    return [page];
  }

  #card(model) {
    const name = h("a", { href: sectionLink(this.project, "models", { version: model.version }) }, `Model ${model.version}`);
    const facts = `dataset ${model.dataset_version}, trained by ${model.trainer}, ${moment(model.ended_at ?? model.started_at)}`;
    return h(
      "article",
      { class: "model-card" },
      h("div", { class: "model-card-head" }, h("h3", {}, name), outcomeMark(model)),
      typeof model.score === "number"
        ? h("p", { class: "model-score" }, h("b", {}, percent(model.score)), ` ${model.measure}`)
        : null,
      h("p", {}, model.reason || "No reason was given."),
      toDecide(this.project, model),
      h("p", { class: "muted small" }, facts),
    );
  }
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
