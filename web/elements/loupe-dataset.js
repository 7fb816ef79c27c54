/** The dataset page of a project: its versions, their images, counts, comparisons, and corrections. */

import { isExpected } from "../core/api.js";
import { DatasetView } from "../core/dataset-view.js";
import { h, icon, plural, stateView } from "../core/dom.js";
import { GalleryPages } from "../core/gallery-pages.js";
import { dayText, percent } from "../core/said.js";
import { sectionLink } from "../core/sections.js";
import { Thumbnails } from "../core/thumbnails.js";
import "./loupe-dataset-compare.js";
import "./loupe-dataset-counts.js";
import { countText, noImages } from "./loupe-gallery.js";
import "./loupe-image-detail.js";

const SHOWS = [
  ["images", "Images"],
  ["counts", "Counts"],
  ["compare", "Compare"],
];
const SPLITS = ["train", "validation", "test"];
const CHANGES = { added: "Added", removed: "Removed", relabeled: "Relabeled", moved: "Moved to another split" };
const MOST_CHOSEN = 60;
const LOOK_MS = 4_000;
const MOST_LOOKS = 15;

class LoupeDataset extends HTMLElement {
  /** Set before it is put into the page. */
  api;
  notices;
  project;
  query;

  #view;
  #dataset = null;
  #version = null;
  #pages = null;
  #thumbnails;
  #leaving = new AbortController();
  #versions = h("select", { class: "select", "aria-label": "Dataset version" });
  #summary = h("p", { class: "dataset-summary" });
  #shows = h("div", { class: "segments", role: "group", "aria-label": "Show" });
  #pending = h("div", { class: "pending", hidden: true });
  #body = h("div", { class: "dataset-body" });
  #filters = h("div", { class: "filter-list" });
  #count = h("p", { class: "image-count", role: "status" });
  #tools = h("div", { class: "gallery-tools" });
  #space = h("div", { class: "gallery-space" });
  #gallery = h("loupe-gallery");
  #detail = h("loupe-image-detail");

  async connectedCallback() {
    this.#view = new DatasetView(this.query);
    this.#thumbnails = new Thumbnails(this.api, this.project);
    this.#gallery.thumbnails = this.#thumbnails;
    this.#gallery.note = (image) => this.#noteOf(image);
    this.#gallery.addEventListener("open", ({ detail }) => this.#open(detail));
    this.#gallery.addEventListener("choose", () => this.#showTools());
    this.#detail.addEventListener("close", ({ detail }) => this.#closed(detail));
    this.#detail.addEventListener("corrected", ({ detail }) => this.#corrected(detail));
    this.#versions.addEventListener("change", () => this.#go("version", this.#versions.value));
    this.replaceChildren(loading("Loading the dataset"));
    await this.#load();
  }

  disconnectedCallback() {
    this.leave();
  }

  leave() {
    this.#leaving.abort();
  }

  /** Somebody is signed in again. */
  resume() {
    this.#load();
  }

  async #load() {
    const asked = this.#view.get("version") ?? "latest";
    const first = this.#startImages(asked);
    try {
      this.#dataset = await this.api.datasets(this.project);
      if (this.#left) return;
      if (this.#dataset.versions.length === 0) {
        this.#showNone();
        return;
      }
      const version = asked === "latest" ? this.#dataset.versions[0].version : asked;
      this.#frame(version);
      this.#show(first);
      this.#version = await this.api.dataset(this.project, version);
      if (this.#left) return;
      this.#versionArrived();
    } catch (error) {
      if (!isExpected(error)) throw error;
      if (!this.#left) this.#showTrouble(error);
    }
  }

  get #left() {
    return this.#leaving.signal.aborted;
  }

  /** Asks for the first images before anything else is known. */
  #startImages(version) {
    const wanted = this.#view.toWanted();
    const pages = new GalleryPages((offset, limit) =>
      this.api.datasetImages(this.project, version, { ...wanted, offset, limit }),
    );
    pages.want(0, 1);
    return pages;
  }

  #frame(version) {
    this.#view.set("version", version === this.#dataset.versions[0].version ? null : version);
    const choices = this.#dataset.versions.map((each, index) =>
      h("option", { value: each.version, selected: each.version === version }, versionText(each, index === 0)),
    );
    this.#versions.replaceChildren(...choices);
    const bars = SHOWS.map(([name, title]) =>
      h("button", { type: "button", "data-show": name, on: { click: () => this.#go("show", name) } }, title),
    );
    this.#shows.replaceChildren(...bars);
    const top = h("div", { class: "dataset-top" }, h("h1", {}, "Dataset"), this.#versions, this.#summary, this.#shows);
    this.replaceChildren(h("div", { class: "dataset" }, top, this.#pending, this.#body), this.#detail);
    this.#showSummary(this.#current);
    this.#showPending();
  }

  get #current() {
    return this.#dataset.versions.find(({ version }) => version === this.#shownVersion);
  }

  get #shownVersion() {
    return this.#view.get("version") ?? this.#dataset.versions[0].version;
  }

  #showSummary(version) {
    const splits = this.#version?.splits;
    const parts = splits ? SPLITS.map((split) => `${splits[split].images.toLocaleString("en")} ${split}`) : [];
    const made = version ? `built ${dayText(version.created_at)}` : null;
    const images = version ? plural(version.images, "image") : null;
    this.#summary.textContent = [images, ...parts, made].filter(Boolean).join(" · ");
  }

  #showPending() {
    const { corrected_images: corrected, training, waiting_for: waiting } = this.#dataset;
    this.#pending.hidden = corrected === 0;
    if (corrected === 0) return;
    const text = `${plural(corrected, "image")} corrected since version ${this.#dataset.versions[0].version}. The next version uses what was corrected.`;
    const more = training ? " A model is being trained now." : waiting ? ` Waiting: ${waiting}.` : "";
    const use = h("button", { class: "button", type: "button" }, "Build it now");
    use.addEventListener("click", () => this.#requestVersion(use));
    this.#pending.replaceChildren(h("p", {}, text + more), use);
  }

  async #requestVersion(button) {
    button.disabled = true;
    try {
      await this.api.requestVersion(this.project);
      this.notices.show("A new version is asked for. It shows up here when it is built, or else what it waits for.");
      this.#lookForVersion();
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.notices.show(error.message);
      button.disabled = false;
      this.#refreshPending();
    }
  }

  /** Looks a few times what came of the request: a version, or what it waits for. */
  async #lookForVersion() {
    const { waiting_for: before } = this.#dataset;
    for (let looks = 0; looks < MOST_LOOKS && !this.#left; looks += 1) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      if (!this.#left) await this.#refreshPending();
      const { corrected_images: corrected, waiting_for: waiting } = this.#dataset;
      if (corrected === 0 || waiting !== before) return;
    }
  }

  #show(pages = this.#startImages(this.#shownVersion)) {
    const show = this.#view.get("show") ?? "images";
    for (const button of this.#shows.children) button.setAttribute("aria-pressed", String(button.dataset.show === show));
    if (show === "images") this.#showImages(pages);
    else if (this.#version) this.#showOther(show);
    else this.#body.replaceChildren(loading("Counting"));
  }

  #versionArrived() {
    this.#showSummary(this.#current);
    const show = this.#view.get("show") ?? "images";
    if (show === "images") this.#fillFilters();
    else this.#showOther(show);
  }

  #showOther(show) {
    if (show === "counts") {
      const counts = Object.assign(document.createElement("loupe-dataset-counts"), { version: this.#version });
      counts.addEventListener("filter", ({ detail }) => this.#filter(detail));
      this.#body.replaceChildren(counts);
      return;
    }
    const { api, project } = this;
    const properties = { api, project, versions: this.#dataset.versions, version: this.#shownVersion };
    const compare = Object.assign(document.createElement("loupe-dataset-compare"), properties);
    compare.since = this.#view.get("since");
    compare.addEventListener("since", ({ detail }) => {
      this.#view.set("since", detail);
      this.#address();
    });
    compare.addEventListener("filter", ({ detail }) => this.#filter(detail));
    this.#body.replaceChildren(compare);
  }

  // Images --------------------------------------------------------------------------------------

  #showImages(pages) {
    this.#pages = pages;
    pages.addEventListener("change", () => this.#arrived(pages));
    pages.addEventListener("failed", ({ detail }) => pages === this.#pages && this.#imagesFailed(detail));
    this.#gallery.labels = this.#current?.labels ?? [];
    const narrow = matchMedia("(max-width: 859px)").matches;
    const side = h("details", { class: "filters", open: !narrow }, h("summary", {}, icon("filter"), "Filters"), this.#filters);
    const main = h("div", { class: "gallery-main" }, h("div", { class: "gallery-head" }, this.#count, this.#tools), this.#space);
    this.#body.replaceChildren(side, main);
    this.#fillFilters();
    this.#showTools();
    this.#space.replaceChildren(this.#gallery);
    this.#gallery.pages = pages;
    this.#arrived(pages);
    if (this.#view.get("image")) this.#openFromAddress();
  }

  #arrived(pages) {
    if (pages !== this.#pages) return;
    this.#count.textContent = countText(pages.total);
    if (pages.total === 0) this.#space.replaceChildren(noImages(this.#view.filters > 0, () => this.#filter({})));
  }

  #imagesFailed(error) {
    const retry = h("button", { class: "button primary", type: "button" }, "Try again");
    retry.addEventListener("click", () => this.#show());
    const problem = stateView("cloud", "The images could not be loaded", error.message, retry);
    if (this.#pages.total === null) this.#space.replaceChildren(problem);
    else this.notices.show(`Some images could not be loaded: ${error.message}`);
  }

  #noteOf(image) {
    if (this.#view.get("change") === "moved" && image.before) return `${image.before.split} → ${image.split}`;
    if (this.#view.get("change") === "relabeled" && image.before) return `was ${labelLine(image.before)}`;
    if (this.#view.get("mistakes") && image.champion) return `champion: ${labelLine(image.champion)}`;
    return null;
  }

  #fillFilters() {
    const version = this.#version;
    const labels = this.#current?.labels ?? [];
    const labelChoices = labels.map((label) => [label, label]);
    if (this.#current && this.#current.task !== "image-classification") labelChoices.push(["", "None of the labels"]);
    const fields = [
      this.#choice("label", "Label", labelChoices),
      this.#choice("split", "Split", SPLITS.map((split) => [split, split])),
    ];
    if (version) {
      fields.push(this.#choice("job", "Job", version.jobs.map((job) => [job, job])));
      if (version.workers.length) fields.push(this.#choice("worker", "Worker", version.workers.map((name) => [name, name])));
      fields.push(this.#choice("by", "Labeled by", [["human", "a person"], ["model", "a model"]]));
      if (version.confidences) fields.push(this.#confidence());
      fields.push(
        this.#toggle("disagreement", "Workers disagree", version.disagreements),
        this.#toggle("mistakes", "Likely mistakes", version.mistakes, mistakesText(version)),
      );
      if (version.judged > 0) fields.push(this.#choice("says", `Model ${version.champion} answers`, labelChoices));
      const orders = [["newest", "Newest label first"]];
      if (version.confidences) orders.push(["confidence", "Least confident first"]);
      fields.push(this.#choice("order", "Order", orders, "As in the manifests"));
    }
    const set = this.#view.filters;
    const clear = h("button", { class: "button", type: "button", hidden: set === 0 }, "Clear all filters");
    clear.addEventListener("click", () => this.#filter({}));
    const focused = document.activeElement?.id;
    this.#filters.replaceChildren(...[this.#changeNote(), ...fields, clear].filter(Boolean));
    if (focused) document.getElementById(focused)?.focus();
  }

  #changeNote() {
    const change = this.#view.get("change");
    if (!change) return null;
    return this.#removable(`${CHANGES[change]} since ${this.#view.get("since")}`, ["change", "since"]);
  }

  #removable(text, names) {
    const remove = h("button", { class: "chip-remove", type: "button", "aria-label": `Remove the filter: ${text}` }, "✕");
    remove.addEventListener("click", () => {
      for (const name of names) this.#view.set(name, null);
      this.#reload();
    });
    return h("div", { class: "chip" }, h("span", { dir: "auto" }, text), remove);
  }

  #choice(name, title, choices, none = "Any") {
    const value = this.#view.get(name);
    const select = h("select", { class: "select", id: `filter-${name}` }, h("option", { value: "-" }, none));
    for (const [choice, text] of choices) {
      select.append(h("option", { value: `=${choice}`, selected: choice === value }, text));
    }
    if (value !== null && !choices.some(([choice]) => choice === value)) {
      select.append(h("option", { value: `=${value}`, selected: true }, value));
    }
    select.addEventListener("change", () => {
      this.#view.set(name, select.value === "-" ? null : select.value.slice(1));
      this.#reload();
    });
    return h("div", { class: "filter" }, h("label", { for: select.id }, title), select);
  }

  #toggle(name, title, count, hint = null) {
    const input = h("input", { type: "checkbox", id: `filter-${name}`, checked: this.#view.get(name) === "true" });
    input.disabled = count === 0 && !input.checked;
    input.addEventListener("change", () => {
      this.#view.set(name, input.checked ? "true" : null);
      this.#reload();
    });
    const label = h("label", { for: input.id }, title, h("span", { class: "filter-count" }, count.toLocaleString("en")));
    return h("div", { class: "filter toggle" }, input, label, hint ? h("p", { class: "hint" }, hint) : null);
  }

  #confidence() {
    const field = (name, title, none) => {
      const input = h("input", {
        class: "input number",
        type: "number",
        min: "0",
        max: "1",
        step: "0.01",
        placeholder: none,
        id: `filter-${name}`,
        value: this.#view.get(name),
        "aria-label": title,
      });
      input.addEventListener("change", () => {
        if (!input.validity.valid) return;
        this.#view.set(name, input.value || null);
        this.#reload();
      });
      return input;
    };
    return h(
      "fieldset",
      { class: "filter range" },
      h("legend", {}, "Confidence"),
      field("from", "Confidence from", "0"),
      h("span", { "aria-hidden": "true" }, "to"),
      field("to", "Confidence up to", "1"),
    );
  }

  // Choosing several ----------------------------------------------------------------------------

  #showTools() {
    const { chosen } = this.#gallery;
    const labels = this.#dataset?.labels ?? [];
    if (this.#current?.task !== "image-classification" || labels.length === 0) {
      this.#tools.replaceChildren();
      return;
    }
    if (!this.#choosing) {
      const choose = h("button", { class: "button small", type: "button" }, "Choose several");
      choose.addEventListener("click", () => this.#setChoosing(true));
      this.#tools.replaceChildren(choose);
      return;
    }
    const to = h("select", { class: "select", "aria-label": "Label for the chosen images" });
    for (const label of labels) to.append(h("option", {}, label));
    const correct = h("button", { class: "button primary small", type: "button" }, `Correct ${plural(chosen.size, "image")}`);
    correct.disabled = chosen.size === 0 || chosen.size > MOST_CHOSEN;
    correct.addEventListener("click", () => this.#correctChosen(to.value));
    const done = h("button", { class: "button small", type: "button" }, "Cancel");
    done.addEventListener("click", () => this.#setChoosing(false));
    const kept = this.#tools.querySelector("select")?.value;
    this.#tools.replaceChildren(to, correct, done);
    if (kept) to.value = kept;
    if (chosen.size > MOST_CHOSEN) this.#tools.append(h("p", { class: "hint" }, `At most ${MOST_CHOSEN} at a time.`));
  }

  #choosing = false;

  #setChoosing(choosing) {
    this.#choosing = choosing;
    this.#gallery.chosen.clear();
    this.#gallery.choosing = choosing;
    this.#showTools();
    this.#tools.querySelector("button, select")?.focus();
  }

  async #correctChosen(label) {
    const { chosen } = this.#gallery;
    const corrections = [...chosen].map((sha256) => ({ sha256, label, seen: this.#seen(sha256) }));
    try {
      const told = await this.api.correct(this.project, this.#shownVersionOf(), corrections);
      const changed = told.filter(({ corrected }) => corrected);
      for (const { sha256, corrected } of changed) this.#pages.replace(sha256, { corrected });
      this.#setChoosing(false);
      this.notices.show(`${plural(changed.length, "label")} corrected to ${label}.`);
      const others = told.filter(({ other }) => other);
      if (others.length) this.notices.show(othersText(others));
      this.#refreshPending();
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.notices.show(error.message);
    }
  }

  #seen(sha256) {
    for (let index = 0; index < (this.#pages.total ?? 0); index += 1) {
      const image = this.#pages.at(index);
      if (image?.sha256 === sha256) return image.corrected?.correction ?? null;
    }
    return null;
  }

  // One image -----------------------------------------------------------------------------------

  #open(index) {
    this.#view.set("image", this.#pages.at(index).sha256);
    this.#address();
    const { api, project, notices } = this;
    this.#detail.show({
      api,
      project,
      notices,
      version: this.#shownVersionOf(),
      labels: this.#dataset.labels,
      pages: this.#pages,
      index,
    });
  }

  /** Removed images are those of the version that had them. */
  #shownVersionOf() {
    return this.#view.get("change") === "removed" ? this.#view.get("since") : this.#shownVersion;
  }

  #openFromAddress() {
    const { api, project, notices } = this;
    this.#detail.show({
      api,
      project,
      notices,
      version: this.#shownVersionOf(),
      labels: this.#dataset.labels,
      pages: this.#pages,
      sha256: this.#view.get("image"),
    });
  }

  #closed(index) {
    this.#view.set("image", null);
    this.#address();
    if (index !== null) this.#gallery.focusTile(index);
  }

  #corrected({ sha256, corrected }) {
    this.#pages.replace(sha256, { corrected });
    this.#refreshPending();
  }

  async #refreshPending() {
    try {
      this.#dataset = await this.api.datasets(this.project);
      if (!this.#left) this.#showPending();
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
  }

  // The address ---------------------------------------------------------------------------------

  /** Shows another version or another part of the page. */
  async #go(name, value) {
    this.#view.set(name, value);
    if (name === "version") {
      this.#version = null;
      this.#view.set("image", null);
      this.#address();
      await this.#load();
      return;
    }
    this.#address();
    this.#show();
  }

  /** Shows just the images that a filter finds. */
  #filter(filter) {
    this.#view.clearFilters();
    for (const [name, value] of Object.entries(filter)) this.#view.set(name, value);
    this.#view.set("show", null);
    this.#reload();
  }

  #reload() {
    this.#address();
    scrollTo(0, 0);
    this.#show();
  }

  #address() {
    history.replaceState(null, "", sectionLink(this.project, "dataset", this.#view.toQuery()));
  }

  // Nothing to show -----------------------------------------------------------------------------

  #showNone() {
    const label = h("a", { class: "button primary", href: sectionLink(this.project, "") }, "Label images");
    const text = "The first one is built when a labeling job is finished and each label has an image to learn from.";
    const { waiting_for: waiting } = this.#dataset;
    this.replaceChildren(stateView("image", "No dataset version yet", waiting ? `${text} Now: ${waiting}.` : text, label));
  }

  #showTrouble(error) {
    const retry = h("button", { class: "button primary", type: "button" }, "Try again");
    retry.addEventListener("click", () => this.#load());
    const newest = h("a", { class: "button", href: sectionLink(this.project, "dataset") }, "Latest version");
    const actions = error.status === 404 ? [newest] : [retry];
    this.replaceChildren(stateView("cloud", "The dataset could not be loaded", error.message, ...actions));
  }
}

function versionText({ version, images }, isLatest) {
  return `${version}${isLatest ? " (latest)" : ""}, ${plural(images, "image")}`;
}

function mistakesText({ champion, judged, firm }) {
  if (!champion) return "Known once a model is in service.";
  if (judged === 0) return `Model ${champion} tells no answers to images of this version.`;
  return `Of ${plural(judged, "test image")} that model ${champion} was asked about: it is at least ${percent(firm)} sure of another label.`;
}

function labelLine(said) {
  const [first, ...others] = said.label !== undefined ? [said.label] : (said.labels ?? (said.boxes ?? []).map(({ label }) => label));
  if (first === undefined) return "nothing";
  return others.length ? `${first} and ${others.length} more` : first;
}

function othersText(others) {
  const [{ other }] = others;
  return `${plural(others.length, "image")} had been corrected by ${other.workers[0]} meanwhile. Both corrections are kept; the newest counts.`;
}

function loading(text) {
  return h("div", { class: "page-loading" }, h("span", { class: "spinner" }), text);
}

customElements.define("loupe-dataset", LoupeDataset);
