/** How well and how fast each worker of a project labels. */

import { h, plural, stateView } from "../core/dom.js";
import { load } from "../core/loading.js";
import { sectionLink } from "../core/sections.js";
import { duration, percent } from "../core/words.js";

const COLUMNS = ["Worker", "Answers", "Skipped", "Agreement", "Time an answer", "Known answers", "Accuracy"];

class LoupeWorkers extends HTMLElement {
  /** @type {import("../core/api.js").PortalApi} */
  api;
  /** @type {string} */
  project;

  connectedCallback() {
    load(this, () => this.api.workers(this.project), (answer) => this.#show(answer));
  }

  #show(answer) {
    const page = h("div", { class: "console-page" }, h("h1", {}, "Workers"));
    if (answer.workers.length === 0) {
      const label = h("a", { class: "button", href: sectionLink(this.project, "") }, "Label images");
      page.append(stateView("hourglass", "No answers yet", "Nobody has answered anything here so far.", label));
      return [page];
    }
    const below = answer.workers.filter((worker) => worker.below_min_accuracy).length;
    if (below) {
      const least = percent(answer.min_accuracy, 0);
      const text = `${plural(below, "worker")} below the accuracy of ${least} that project.yaml asks for: what they answered is asked again from others.`;
      page.append(h("p", {}, text));
    }
    page.append(h("section", {}, h("h2", {}, plural(answer.workers.length, "worker")), table(answer)));
    page.append(h("p", { class: "muted small" }, explanation(answer)));
    return [page];
  }
}

function table({ workers, min_accuracy: least }) {
  const head = COLUMNS.map((text) => h("th", { scope: "col" }, text));
  const rows = workers.map((worker) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", dir: "auto" }, worker.name),
      number(worker.answers.toLocaleString("en")),
      number(worker.skips.toLocaleString("en")),
      number(percent(worker.agreement)),
      number(worker.median_seconds === null ? "–" : seconds(worker.median_seconds)),
      number(worker.checks.toLocaleString("en")),
      worker.below_min_accuracy
        ? h("td", { class: "number" }, percent(worker.accuracy), " ", h("span", { class: "outcome outcome-rejected" }, `below ${percent(least, 0)}`))
        : number(percent(worker.accuracy)),
    ),
  );
  const caption = h("caption", { class: "visually-hidden" }, "What each worker did");
  const content = h("table", { class: "table" }, caption, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows));
  // Wider than a phone: scrolled by itself, by keyboard, too.
  return h("div", { class: "scrolling", tabindex: 0, role: "region", "aria-label": "What each worker did" }, content);
}

function number(text) {
  return h("td", { class: "number" }, text);
}

function seconds(value) {
  return value < 10 ? `${value.toFixed(1)} s` : duration(value);
}

function explanation({ check_every: every, open_job: openJob, open_job_counted: isCounted }) {
  const parts = [
    "Agreement is how far a worker's answers say what was concluded from those of all who saw the image; the time is the median from one answer to the next.",
    every
      ? `One task of ${every} has a known answer; accuracy is the share of those that a worker got.`
      : "No task has a known answer here: project.yaml asks for none (labeling.check_every).",
  ];
  if (openJob && !isCounted) parts.push(`Answers of the open job ${openJob} count when it is concluded.`);
  return parts.join(" ");
}

customElements.define("loupe-workers", LoupeWorkers);
