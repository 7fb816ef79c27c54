/** The projects, those with open work first. */

import { isExpected } from "../core/api.js";
import { h, plural, stateView } from "../core/dom.js";
import { sectionLink, SECTIONS } from "../core/sections.js";

const REFRESH_MS = 30_000;

class LoupeProjects extends HTMLElement {
  /** @type {import("../core/api.js").PortalApi} */
  api;

  #timer = 0;
  #shown = "";
  #leaving;

  connectedCallback() {
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    document.addEventListener("visibilitychange", () => !document.hidden && this.#refresh(), { signal });
    addEventListener("online", () => this.#refresh(), { signal });
    this.replaceChildren(h("div", { class: "page-loading" }, h("span", { class: "spinner" }), "Loading projects"));
    this.#refresh();
  }

  disconnectedCallback() {
    this.#leaving.abort();
    clearTimeout(this.#timer);
  }

  async #refresh() {
    clearTimeout(this.#timer);
    try {
      const projects = await this.api.projects();
      if (!this.isConnected) return;
      this.#show(projects);
    } catch (error) {
      if (!isExpected(error)) throw error;
      if (!this.#shown) this.#showUnreachable();
    }
    if (this.isConnected) this.#timer = setTimeout(() => !document.hidden && this.#refresh(), REFRESH_MS);
  }

  #show(projects) {
    const state = JSON.stringify(projects);
    if (state === this.#shown) return;
    this.#shown = state;
    const focused = document.activeElement?.getAttribute("href");
    const open = projects.filter(hasWork);
    const others = projects.filter((project) => !hasWork(project));
    const page = h("div", { class: "projects" }, h("h1", {}, "Projects"));
    if (projects.length === 0) {
      page.append(stateView("image", "No projects yet", "Projects show up here as soon as they are made."));
    }
    if (open.length) page.append(list("Open work", open));
    if (others.length) page.append(list("No work now", others));
    this.replaceChildren(page);
    if (focused) this.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  }

  #showUnreachable() {
    const retry = h("button", { class: "button primary", on: { click: () => this.#refresh() } }, "Try again");
    const text = "The projects could not be loaded. This page tries again by itself.";
    const page = h("div", { class: "projects" }, h("h1", {}, "Projects"));
    page.append(stateView("cloud", "No connection", text, retry));
    this.replaceChildren(page);
  }
}

function hasWork({ job }) {
  return job !== null && job.answered < job.tasks;
}

function list(title, projects) {
  return h(
    "section",
    {},
    h("h2", {}, title),
    h("ul", { class: "cards" }, ...projects.map((project) => h("li", {}, card(project)))),
  );
}

function card({ project, labels, instructions, job }) {
  const open = hasWork({ job });
  const name = h("h3", {}, project);
  const facts = h("p", { class: "muted" }, `${plural(labels.length, "label")}`);
  const about = h("p", { class: "excerpt" }, instructions);
  if (!open) {
    const none = h("p", { class: "none-now" }, "No work now");
    return h("article", { class: "card quiet" }, name, facts, about, none, sectionLinks(project));
  }
  const start = h("a", { class: "button primary", href: sectionLink(project, "") }, "Start");
  start.setAttribute("aria-label", `Start labeling ${project}`);
  facts.append(`, ${plural(job.tasks - job.answered, "image")} to go`);
  return h(
    "article",
    { class: "card" },
    name,
    facts,
    about,
    h("div", { class: "card-foot" }, progressBar(job.answered, job.tasks), start),
    sectionLinks(project),
  );
}

/** Links to the project's views other than labeling, null while there are none. */
function sectionLinks(project) {
  const views = SECTIONS.filter(({ name }) => name !== "");
  if (views.length === 0) return null;
  const links = views.map(({ name, title }) => {
    const link = h("a", { href: sectionLink(project, name) }, title);
    link.setAttribute("aria-label", `${title}, ${project}`);
    return link;
  });
  return h("p", { class: "card-sections" }, ...links);
}

/** A bar with its figures beside it. */
function progressBar(value, max) {
  return h(
    "div",
    { class: "meter" },
    h("progress", { value, max, "aria-label": "Answered" }),
    h("span", { class: "figures" }, `${value.toLocaleString("en")} of ${max.toLocaleString("en")}`),
  );
}

customElements.define("loupe-projects", LoupeProjects);
