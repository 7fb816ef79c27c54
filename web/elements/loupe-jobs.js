/** A project's jobs: what waits, what is worked on, what failed and why, with the button that mends it. */

import { isExpected } from "../core/api.js";
import { h, plural, stateView } from "../core/dom.js";
import { failedNote, failedText, pausedNote, waitingNote } from "../core/releases.js";
import { sectionLink } from "../core/sections.js";
import { moment } from "../core/words.js";

const BUSY_MS = 5_000;
const QUIET_MS = 15_000;
/** So long after a request its button stays busy, unless something is seen of it before. */
const PATIENCE_MS = 60_000;

const ACTIONS = {
  labeling: { text: "Cut a job now", asked: "A labeling job was asked for." },
  training: { text: "Train now", asked: "A training was asked for." },
  reconciliation: { text: "Reconcile now", asked: "A reconciliation was asked for." },
};

class LoupeJobs extends HTMLElement {
  /** @type {import("../core/api.js").PortalApi} */
  api;
  /** @type {string} */
  project;

  #timer = 0;
  #shown = "";
  #leaving;
  /** @type {Map<string, {at: number, text: string}>} what was asked for, or why it was refused */
  #asked = new Map();
  #view = h("div", { class: "panels" });
  #rejected = h("div", { class: "panels" });
  #said = h("p", { class: "visually-hidden", role: "status" });

  connectedCallback() {
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    document.addEventListener("visibilitychange", () => !document.hidden && this.#refresh(), { signal });
    addEventListener("online", () => this.#refresh(), { signal });
    this.#view.replaceChildren(h("div", { class: "page-loading" }, h("span", { class: "spinner" }), "Loading"));
    this.replaceChildren(h("div", { class: "console-page" }, h("h1", {}, "Jobs"), this.#said, this.#view, this.#rejected));
    this.#refresh();
  }

  disconnectedCallback() {
    this.#leaving.abort();
    clearTimeout(this.#timer);
  }

  async #refresh() {
    clearTimeout(this.#timer);
    let wait = QUIET_MS;
    try {
      const status = await this.api.jobs(this.project);
      if (!this.isConnected) return;
      this.#settle(status);
      this.#show(status);
      if (isBusy(status) || this.#asked.size) wait = BUSY_MS;
    } catch (error) {
      if (!isExpected(error)) throw error;
      if (!this.isConnected) return;
      if (!this.#shown) this.#fail(error);
    }
    if (this.isConnected) this.#timer = setTimeout(() => !document.hidden && this.#refresh(), wait);
  }

  #fail(error) {
    const again = h("button", { class: "button primary", type: "button", on: { click: () => this.#refresh() } }, "Try again");
    const gone = error.status === 404;
    this.#view.replaceChildren(stateView(gone ? "image" : "cloud", gone ? "Not there" : "This could not be loaded", error.message, gone ? "" : again));
  }

  /** Forgets what was asked for once it is seen, or when nothing is seen of it for long. */
  #settle(status) {
    const seen = {
      labeling: openJob(status) !== null,
      training: status.training_since !== null,
      reconciliation: Date.parse(status.reconciliation?.at ?? "") > (this.#asked.get("reconciliation")?.at ?? Infinity),
    };
    for (const [action, { since }] of this.#asked) {
      if (seen[action] || Date.now() - since > PATIENCE_MS) this.#asked.delete(action);
    }
  }

  #show(status) {
    const { now: _now, ...rest } = status;
    const state = JSON.stringify([rest, [...this.#asked]]);
    if (state === this.#shown) return;
    this.#shown = state;
    const focused = document.activeElement?.getAttribute("data-action");
    this.#view.replaceChildren(
      ...this.#troubles(status),
      this.#images(status),
      this.#labeling(status),
      this.#training(status),
      this.#upkeep(status),
    );
    if (focused) this.#view.querySelector(`[data-action="${CSS.escape(focused)}"]`)?.focus();
    if (status.images.rejected === 0) this.#rejected.replaceChildren();
  }

  /** What keeps the project from going on, and what mends it. */
  #troubles(status) {
    const found = [];
    if (status.config_error) {
      found.push(trouble("project.yaml is not valid", `${status.config_error}. Images wait until it is put right.`));
    }
    const [newest] = status.jobs;
    if (newest?.state === "failed" && status.images.pending && !openJob(status)) {
      const text = `${newest.job}: ${newest.reason ?? "no reason was given"}. Its images wait; the next job is tried by itself after a while, and at once when project.yaml changes.`;
      found.push(trouble("The last labeling job failed", text, this.#button("labeling", "Try again now")));
    }
    const training = status.last_training;
    if (training?.status === "failed" && !status.training_since) {
      const text = `${training.reason ?? "No reason was given"}. The next finished labeling job tries again.`;
      found.push(trouble("The last training failed", text, this.#button("training", "Try again now")));
    }
    if (training?.status === "running" && !status.training_since) {
      const text = `Model ${training.version} is said to be in training, but nobody works on it. Reconciliation settles it.`;
      found.push(trouble("A training was lost", text, this.#button("reconciliation")));
    }
    const { failed_release: failed, releasing, promotion_paused: paused } = status;
    const decide = h("a", { class: "button", href: sectionLink(this.project, "models") }, "Decide among the models");
    if (failed) {
      const told = failedNote(this.project, failed.version, failed.reason, failed.kind === "approval");
      found.push(panel("The last release failed", told, answering(status), decide));
    } else if (training?.status === "release_failed" && !status.training_since && !releasing) {
      const told = h("p", {}, `${failedText(training.version, training.reason)}.`);
      found.push(panel("The last release failed", told, answering(status), this.#button("training", "Try again now")));
    } else if (training?.status === "awaiting_approval" && !releasing) {
      found.push(panel("A model waits for approval", waitingNote(this.project, training.version), decide));
    }
    if (paused) found.push(panel("Promotion is stopped", pausedNote(this.project, paused), found.some((each) => each.contains(decide)) ? null : decide));
    return found;
  }

  #images({ images, labeling, jobs }) {
    const tiles = ["pending", "labeling", "labeled", "rejected"].map((state) =>
      h("div", { class: `tile tile-${state}` }, h("dt", {}, state), h("dd", {}, images[state].toLocaleString("en"))),
    );
    const parts = [h("dl", { class: "tiles" }, ...tiles)];
    if (images.pending && labeling && !openJob({ jobs })) {
      const when = `A job is cut when ${plural(labeling.batch_size, "image")} wait, or ${plural(labeling.max_wait_minutes, "minute")} after the first one came.`;
      parts.push(h("p", {}, when), this.#button("labeling"));
    }
    if (images.rejected) {
      const show = h("button", { class: "button", type: "button", "data-action": "rejected", on: { click: () => this.#showRejected() } });
      show.textContent = `Show why (${plural(images.rejected, "image")} rejected)`;
      parts.push(show);
    }
    return h("section", { class: "panel" }, h("h2", {}, "Images"), ...parts);
  }

  #labeling({ jobs, several_workers: several }) {
    if (jobs.length === 0) return h("section", { class: "panel" }, h("h2", {}, "Labeling jobs"), h("p", { class: "muted" }, "None yet."));
    const head = ["Job", "State", "Answered", "Cut", "Ended"].map((text) => h("th", { scope: "col" }, text));
    const rows = jobs.map((job) => {
      const state = h("td", {}, h("span", { class: `outcome outcome-${job.state}` }, job.state));
      if (job.reason) state.append(h("p", { class: "small" }, job.reason));
      return h(
        "tr",
        {},
        h("th", { scope: "row", class: "job-name" }, job.job, job.provider === "portal" ? null : h("span", { class: "muted small" }, ` ${job.provider}`)),
        state,
        h("td", {}, this.#progress(job)),
        h("td", {}, moment(job.created_at)),
        h("td", {}, moment(job.finished_at)),
      );
    });
    const table = h("table", { class: "table" }, h("caption", { class: "visually-hidden" }, "Labeling jobs"), h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows));
    const scrolling = h("div", { class: "scrolling", tabindex: 0, role: "region", "aria-label": "Labeling jobs" }, table);
    return h("section", { class: "panel" }, h("h2", {}, "Labeling jobs"), scrolling, several?.waiting ? furtherWorkers(several) : null);
  }

  #progress({ job, state, tasks, answered, skipped }) {
    const skips = skipped ? `, ${skipped.toLocaleString("en")} skipped` : "";
    const words = h("span", { class: "figures" }, `${answered.toLocaleString("en")} of ${tasks.toLocaleString("en")}${skips}`);
    if (state === "finished" || state === "failed" || tasks === 0) return words;
    return h("div", { class: "meter" }, h("progress", { value: answered, max: tasks, "aria-label": `Answered of ${job}` }), words);
  }

  #training(status) {
    const { training_since: since, last_training: last, waiting_for: waitingFor, champion } = status;
    const parts = [];
    if (since) parts.push(h("p", {}, h("span", { class: "outcome outcome-running" }, "under way"), ` since ${moment(since)}`));
    for (const attempt of last?.failed_attempts ?? []) parts.push(h("p", { class: "small" }, `${attempt}. It was tried again.`));
    if (last && !(since && last.status === "running")) {
      const version = last.version ? h("a", { href: sectionLink(this.project, "models", { version: last.version }) }, `Model ${last.version}`) : "The last training";
      parts.push(h("p", {}, version, ` ${last.status.replaceAll("_", " ")}: ${last.reason ?? "no reason was given"} (${moment(last.ended_at ?? last.started_at)})`));
    }
    if (!since && !last) parts.push(h("p", { class: "muted" }, "None yet: the first finished labeling job starts one."));
    if (status.releasing) parts.push(h("p", {}, `The release of model ${status.releasing.version} is under way since ${moment(status.releasing.at)}.`));
    if (waitingFor) parts.push(h("p", {}, `The next one waits: ${waitingFor}.`));
    parts.push(h("p", { class: "muted" }, champion ? `In service: model ${champion.version}.` : "No model is in service."));
    if (status.hosting) parts.push(h("p", {}, hosted(status.hosting)));
    if (!since && status.config_error === null) parts.push(this.#button("training"));
    return h("section", { class: "panel" }, h("h2", {}, "Training"), ...parts);
  }

  #upkeep({ reconciliation, config_error: configError }) {
    const explained = "Compares what is stored with the index, and mends what a lost event or a crash left behind. It runs every hour by itself and does no harm.";
    return h(
      "section",
      { class: "panel" },
      h("h2", {}, "Reconciliation"),
      h("p", { class: "muted" }, explained),
      h("p", {}, reconciliation ? `Last ${moment(reconciliation.at)}: ${mended(reconciliation.mended)}.` : "It has not run here yet."),
      configError === null ? this.#button("reconciliation") : null,
    );
  }

  /** The one place from which anything is asked for. */
  #button(action, text = ACTIONS[action].text) {
    const asked = this.#asked.get(action);
    const button = h("button", { class: "button", type: "button", "data-action": action }, asked?.waits ? "Asked for…" : text);
    button.disabled = Boolean(asked?.waits);
    button.addEventListener("click", () => this.#ask(action));
    const row = h("div", { class: "action" }, button);
    if (asked) row.append(h("span", { class: asked.waits ? "muted" : "form-problem" }, asked.text));
    return row;
  }

  async #ask(action) {
    try {
      const { requested_at: requestedAt } = await this.api.requestJob(this.project, action);
      this.#asked.set(action, { at: Date.parse(requestedAt), since: Date.now(), text: ACTIONS[action].asked, waits: true });
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.#asked.set(action, { at: Infinity, since: Date.now(), text: error.message, waits: false });
    }
    this.#said.textContent = this.#asked.get(action).text;
    this.#refresh();
  }

  async #showRejected() {
    const list = h("ul", { class: "rejected" });
    const more = h("button", { class: "button", type: "button" }, "More");
    const title = h("h2", { tabindex: -1 }, "Rejected images");
    const add = async (after) => {
      more.disabled = true;
      try {
        const page = await this.api.rejected(this.project, after);
        list.append(...page.rejected.map(rejectedItem));
        more.hidden = page.next === null;
        more.value = page.next ?? "";
      } catch (error) {
        if (!isExpected(error)) throw error;
        this.#said.textContent = error.message;
      }
      more.disabled = false;
    };
    more.addEventListener("click", () => add(more.value || null));
    this.#rejected.replaceChildren(h("section", { class: "panel" }, title, list, h("div", {}, more)));
    await add(null);
    title.focus();
  }
}

function rejectedItem({ key, reason, detail, at }) {
  return h("li", {}, h("b", { class: "file-name", dir: "auto" }, key), h("span", {}, detail || reason), h("span", { class: "muted small" }, `${reason}, ${moment(at)}`));
}

/** What a failed release left as it was. */
function answering({ champion }) {
  return h("p", {}, champion ? `Model ${champion.version} still answers.` : "No model is in service yet.");
}

function trouble(title, text, action = null) {
  return panel(title, h("p", {}, text), action);
}

function panel(title, ...content) {
  return h("section", { class: "panel trouble" }, h("h2", {}, title), ...content);
}

/** Nobody gets an image twice, so that a job with fewer people than it asks for stays open. */
function furtherWorkers({ job, waiting, workers, max_workers: most, min_accuracy: accuracy }) {
  const doubt = most > workers ? `, up to ${most} where they disagree` : "";
  const below = accuracy ? ", and one more for each whose accuracy is too low" : "";
  const asked = `${plural(waiting, "task")} of ${job} ${waiting === 1 ? "needs" : "need"} somebody who has not answered them yet: each takes ${plural(workers, "worker")}${doubt}${below}. `;
  return h("p", {}, asked, "If there are not so many people, ", h("code", {}, "loupe worker create NAME"), " adds one.");
}

function openJob({ jobs }) {
  return jobs.find((job) => job.finished_at === null) ?? null;
}

function isBusy(status) {
  return openJob(status) !== null || status.training_since !== null;
}

function hosted({ state, since, cost_per_hour: hourly, stops_at: stops }) {
  const cost = hourly ? `, at least $${hourly.toFixed(2)} an hour` : "";
  const end = stops ? `; stops ${moment(stops)} unless somebody calls it` : "";
  return `Its hosting: ${state} since ${moment(since)}${cost}${end}.`;
}

function mended(counts) {
  const told = Object.entries(counts).filter(([, count]) => count).map(([what, count]) => `${what.replaceAll("_", " ")}: ${count.toLocaleString("en")}`);
  return told.join(", ") || "all in order";
}

customElements.define("loupe-jobs", LoupeJobs);
