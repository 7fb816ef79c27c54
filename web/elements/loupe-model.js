/** One model: what became of it and why, its figures beside the champion's, what it mixes up, and what another
 * threshold would do. */

import { legend, lineChart } from "../core/charts.js";
import { h, plural } from "../core/dom.js";
import { bar, factList, FIGURES, measured, panel, scrolling, table } from "../core/figures.js";
import { load } from "../core/loading.js";
import { sectionLink } from "../core/sections.js";
import { difference, duration, moment, percent } from "../core/words.js";
import { outcomeMark } from "./loupe-models.js";
import { ReleaseView } from "./release-view.js";

const MOST_LABELS_IN_MATRIX = 40;
const MISTAKES_SHOWN = 20;
const NOTHING = "nothing";

/** Figures of a label, as they are shown. */
const LABEL_FIGURES = {
  precision: "Precision",
  recall: "Recall",
  f1: "F1",
  average_precision: "AP",
  ap_50: "AP@0.5",
  ap_50_95: "AP@[.5:.95]",
};

class LoupeModel extends ReleaseView {
  /** @type {string} */
  version;

  /** What the model says of each test image: that stays as it is, and is asked for once. */
  #judged = null;

  ask() {
    return this.api.model(this.project, this.version);
  }

  show(model) {
    const back = h("a", { href: sectionLink(this.project, "models") }, "All models");
    const page = h(
      "div",
      { class: "console-page" },
      h("nav", { class: "trail", "aria-label": "Where you are" }, back),
      h("div", { class: "page-head" }, h("h1", { tabindex: -1, "data-focus": `model ${model.version}` }, `Model ${model.version}`), outcomeMark(model, model), this.#actions(model)),
      this.#outcome(model),
    );
    const { evaluation } = model;
    if (evaluation === null) {
      const why = model.outcome === "running" ? "It is measured when its training is done." : "It was not measured.";
      page.append(panel("Figures", h("p", { class: "muted" }, why)));
    } else {
      page.append(comparison(evaluation), perLabel(model, evaluation));
    }
    this.#judged ??= this.#answers(model);
    page.append(this.#judged, training(model));
    return [page];
  }

  /** Everything that can be done with a model. */
  #actions(model) {
    const actions = [];
    if (model.is_champion) {
      actions.push(h("a", { class: "button", href: sectionLink(this.project, "try") }, "Try it"));
    }
    return h("div", { class: "page-actions" }, ...actions);
  }

  #outcome(model) {
    const facts = [
      ["Score", typeof model.score === "number" ? `${percent(model.score)} ${model.measure}` : "–"],
      ["Champion then", typeof model.champion_score === "number" ? percent(model.champion_score) : "none to compare with"],
      ["Test images", model.evaluation?.test_images?.toLocaleString("en") ?? "–"],
      ["Dataset", model.dataset_version],
      ["Trainer", model.trainer],
      ["Concluded", moment(model.ended_at)],
    ];
    const told = h("p", { class: "reason-text" }, model.reason || "No reason was given.");
    const report = h("a", { href: model.report_url, target: "_blank", rel: "noopener" }, `Report of dataset ${model.dataset_version}`);
    return panel("What became of it", told, this.toDecide(model, model), factList(facts), model.report_url ? h("p", {}, report) : null);
  }

  #answers(model) {
    if (!model.answers.known) {
      return panel("Single answers", h("p", { class: "muted" }, model.outcome === "running" ? "Not there yet." : model.answers.reason));
    }
    const view = h("div", { class: "panels" });
    const asked = () => this.api.judgements(this.project, this.version);
    // The rest of the page does not wait for it: all answers are read for it.
    queueMicrotask(() => load(view, asked, (judged) => [this.#confusion(model, judged), curves(model, judged)]));
    return view;
  }

  #confusion(model, { task, confusion }) {
    const count = new Map(confusion.cells.map((cell) => [cellKey(cell.truth, cell.predicted), cell.count]));
    const cell = (truth, predicted) => this.#cell(count.get(cellKey(truth, predicted)) ?? 0, truth, predicted);
    const parts = [h("h2", {}, "What it mixes up"), h("p", { class: "muted" }, explained(task))];
    const columns = confusion.labels.length + confusion.others.length;
    if (task === "multi-label-classification") parts.push(scrolling(foundAndMissed(confusion, cell)));
    else if (columns <= MOST_LABELS_IN_MATRIX) parts.push(scrolling(matrix(task, confusion, count, cell)));
    else parts.push(h("p", { class: "muted" }, `A matrix of ${plural(columns, "label")} is too large to be read: here are the most frequent mistakes.`));
    const mistakes = confusion.cells.filter(({ truth, predicted }) => truth !== predicted).slice(0, MISTAKES_SHOWN);
    if (mistakes.length) parts.push(h("h3", {}, "Most frequent mistakes"), this.#mistakes(mistakes));
    else parts.push(h("p", {}, "No mistakes on the test images."));
    return h("section", { class: "panel" }, ...parts);
  }

  #cell(count, truth, predicted) {
    if (count === 0) return h("span", { class: "zero" }, "0");
    const link = h("a", { href: this.#imagesLink(truth, predicted) }, count.toLocaleString("en"));
    link.setAttribute("aria-label", `${count}: labeled ${truth ?? NOTHING}, predicted ${predicted ?? NOTHING}`);
    return link;
  }

  #mistakes(mistakes) {
    const items = mistakes.map(({ truth, predicted, count }) => {
      const words = [h("b", { dir: "auto" }, truth ?? "nothing there"), " taken for ", h("b", { dir: "auto" }, predicted ?? "nothing")];
      return h("li", {}, h("a", { href: this.#imagesLink(truth, predicted) }, ...words), h("span", { class: "figures" }, ` ${count.toLocaleString("en")}`));
    });
    return h("ol", { class: "mistakes" }, ...items);
  }

  #imagesLink(truth, predicted) {
    const query = { version: this.version };
    if (truth !== null) query.truth = truth;
    if (predicted !== null) query.predicted = predicted;
    return sectionLink(this.project, "models", query);
  }
}

// Candidate and champion -----------------------------------------------------------------------------

function comparison(evaluation) {
  const { candidate } = evaluation;
  const champion = measured(evaluation);
  const names = Object.keys(FIGURES).filter((name) => typeof candidate[name] === "number");
  const head = champion ? ["Figure", "This model", "Champion then", "Difference"] : ["Figure", "This model"];
  const rows = names.map((name) => {
    const cells = [h("td", {}, bar(candidate[name]))];
    if (champion) cells.push(h("td", {}, bar(champion[name])), h("td", { class: "number" }, difference(candidate[name], champion[name])));
    return h("tr", {}, h("th", { scope: "row" }, FIGURES[name]), ...cells);
  });
  const notes = [];
  if (evaluation.champion?.error) notes.push(`The champion could not be measured again: ${evaluation.champion.error}.`);
  else if (!champion) notes.push("There was no champion to compare it with.");
  if (candidate.note) notes.push(candidate.note);
  if (candidate.other_predictions) notes.push(`${plural(candidate.other_predictions, "prediction")} of a label that the project does not have.`);
  const left = Object.entries(evaluation.left_out ?? {}).flatMap(([what, number]) =>
    typeof number === "number" ? [`${number} ${what}`] : Object.entries(number).filter(([, n]) => n).map(([why, n]) => `${n} ${why} in ${what}`),
  );
  if (left.length) notes.push(`Left out: ${left.join(", ")}.`);
  return panel(
    "Candidate and champion",
    scrolling(table("Figures of the test set", head, rows)),
    ...notes.map((note) => h("p", { class: "muted" }, note)),
  );
}

function perLabel(model, evaluation) {
  const { candidate } = evaluation;
  const champion = measured(evaluation);
  const known = model.labels.map((label) => candidate.per_label?.[label] ?? {});
  const shown = Object.keys(LABEL_FIGURES).filter((name) => known.some((metrics) => typeof metrics[name] === "number"));
  const hasThreshold = known.some((metrics) => typeof metrics.threshold === "number");
  const compared = shown.includes("ap_50") ? "ap_50" : "f1";
  const head = ["Label", model.task === "bounding-box" ? "Test boxes" : "Test images", ...shown.map((name) => LABEL_FIGURES[name])];
  if (hasThreshold) head.push("Threshold");
  if (champion) head.push(`Champion's ${LABEL_FIGURES[compared]}`, "Difference");
  const rows = model.labels.map((label, index) => {
    const metrics = known[index];
    const cells = [h("td", { class: "number" }, metrics.support?.toLocaleString("en") ?? "–")];
    for (const name of shown) cells.push(h("td", {}, metrics.support === 0 ? "–" : bar(metrics[name])));
    if (hasThreshold) cells.push(h("td", { class: "number" }, metrics.threshold?.toFixed(2) ?? "–"));
    if (champion) {
      const other = champion.per_label?.[label]?.[compared];
      cells.push(h("td", {}, bar(other)), h("td", { class: "number" }, difference(metrics[compared], other)));
    }
    return h("tr", {}, h("th", { scope: "row", dir: "auto" }, label), ...cells);
  });
  return panel("Label by label", scrolling(table("Figures of each label", head, rows)));
}

// What it mixes up -----------------------------------------------------------------------------------

function cellKey(truth, predicted) {
  return JSON.stringify([truth, predicted]);
}

function explained(task) {
  const texts = {
    "image-classification": "Rows are what people said, columns what the model says. Each number opens its images.",
    "multi-label-classification": "How often each label was found, missed, and given in vain. Each number opens its images.",
    "bounding-box":
      "Rows are what people drew, columns what the model found in the same place (an overlap of half). Each number opens its images.",
  };
  return texts[task];
}

function matrix(task, { labels, others }, count, cell) {
  const boxes = task === "bounding-box";
  const missed = boxes || labels.some((label) => count.has(cellKey(label, null)));
  const truths = boxes ? [...labels, null] : labels;
  const columns = [...labels, ...others, ...(missed ? [null] : [])];
  const rows = truths.map((truth) => {
    const total = columns.reduce((sum, predicted) => sum + (count.get(cellKey(truth, predicted)) ?? 0), 0);
    const cells = columns.map((predicted) => {
      if (truth === null && predicted === null) return h("td", {}, h("span", { class: "zero" }, "–"));
      const kind = truth === predicted ? "right" : "wrong";
      const place = h("td", { class: `cell ${kind}` }, cell(truth, predicted));
      place.style.setProperty("--share", (count.get(cellKey(truth, predicted)) ?? 0) / (total || 1));
      return place;
    });
    return h("tr", {}, h("th", { scope: "row", dir: "auto" }, truth ?? "nothing there"), ...cells);
  });
  const found = table("Confusion matrix", ["Label", ...columns.map((label) => label ?? (boxes ? "not found" : "no answer"))], rows);
  found.classList.add("matrix");
  return found;
}

function foundAndMissed({ labels, others }, cell) {
  const rows = [...labels, ...others].map((label) => {
    const cells = [[label, label], [label, null], [null, label]].map(([truth, predicted]) => h("td", { class: "number" }, cell(truth, predicted)));
    return h("tr", {}, h("th", { scope: "row", dir: "auto" }, label), ...cells);
  });
  return table("Found and missed", ["Label", "Found", "Missed", "Given in vain"], rows);
}

// Thresholds -----------------------------------------------------------------------------------------

function curves(model, { curves: found, task }) {
  const all = "\u0000all";
  const choice = h("select", { class: "input", id: "curve-label" }, h("option", { value: all }, "All labels"));
  for (const label of Object.keys(found.labels)) choice.append(h("option", { value: label }, label));
  const slider = h("input", { type: "range", id: "curve-threshold", min: 0, max: found.thresholds.length - 1, step: 1 });
  const told = h("output", { for: "curve-threshold", class: "curve-told" });
  const place = h("div");
  const threshold = (label) => model.evaluation?.candidate?.per_label?.[label]?.threshold;
  const show = () => {
    const label = choice.value;
    const curve = label === all ? found.all : found.labels[label];
    const index = Number(slider.value);
    const at = found.thresholds[index];
    const [precision, recall] = [curve.precision[index], curve.recall[index]];
    place.replaceChildren(
      lineChart({
        label: `Precision and recall of ${label === all ? "all labels" : label} over the threshold`,
        x: found.thresholds,
        xText: (value) => value.toFixed(1),
        xTitle: "threshold of confidence",
        yRange: [0, 1],
        yText: (value) => percent(value, 0),
        series: [
          { name: "precision", values: curve.precision },
          { name: "recall", values: curve.recall },
        ],
        at,
      }),
    );
    const own = typeof threshold(label) === "number" ? ` The model's own threshold for it is ${threshold(label).toFixed(2)}.` : "";
    const right = precision === null ? "the model gives no answer" : `${percent(precision)} of its answers are right (precision)`;
    told.textContent = `From ${at.toFixed(2)} on, ${right}, and it finds ${percent(recall)} of ${curve.support.toLocaleString("en")} (recall).${own}`;
  };
  const choose = () => {
    const own = threshold(choice.value);
    slider.value = Math.round((typeof own === "number" ? own : 0.5) * (found.thresholds.length - 1));
    show();
  };
  choice.addEventListener("change", choose);
  slider.addEventListener("input", show);
  choose();
  const note = {
    "image-classification": "An answer counts if the confidence of the best label reaches the threshold.",
    "multi-label-classification": "A label counts if its confidence reaches the threshold.",
    "bounding-box": "Boxes of which the model is less sure than its own threshold are not among its answers: there the lines are flat.",
  };
  return panel(
    "Precision and recall over the threshold",
    h("div", { class: "curve-controls" }, h("label", { for: "curve-label" }, "Label"), choice, h("label", { for: "curve-threshold" }, "Threshold"), slider),
    place,
    legend(["precision", "recall"]),
    told,
    h("p", { class: "muted small" }, note[task]),
  );
}

// Training -------------------------------------------------------------------------------------------

function training(model) {
  const run = model.evaluation?.training;
  const facts = [["Started", moment(model.started_at)]];
  if (model.requested.instance_type) facts.push(["Instance", model.requested.instance_type]);
  if (run) {
    facts.push(["Took", duration(run.seconds)], ["Epochs", `${run.epochs}, the best was ${run.best_epoch}`], ["Device", run.device]);
    facts.push(["Image size", `${run.image_size} px`]);
    facts.push(["Images", Object.entries(run.images).map(([split, number]) => `${number.toLocaleString("en")} ${split}`).join(", ")]);
  }
  const error = model.evaluation?.candidate?.calibration?.expected_calibration_error;
  if (typeof error === "number") facts.push(["Calibration error", percent(error)]);
  const parts = [factList(facts)];
  const history = (run?.history ?? []).filter((epoch) => typeof epoch.train_loss === "number");
  if (history.length > 1) parts.push(h("h3", {}, "Loss by epoch"), ...losses(history));
  const used = Object.entries(run?.hyperparameters ?? model.requested.hyperparameters);
  if (used.length) {
    parts.push(h("details", {}, h("summary", {}, "Hyperparameters"), factList(used.map(([name, value]) => [name, value ?? "–"]))));
  }
  return panel("Training", ...parts);
}

function losses(history) {
  const values = history.map((epoch) => epoch.train_loss);
  const validation = history.map((epoch) => epoch.validation_loss ?? null);
  const most = Math.max(...values, ...validation.filter((value) => value !== null));
  const chart = lineChart({
    label: `Loss by epoch: training from ${values[0].toFixed(3)} to ${values.at(-1).toFixed(3)}`,
    x: history.map((epoch) => epoch.number),
    xTitle: "epoch",
    yRange: [0, most],
    yText: (value) => value.toFixed(2),
    series: [
      { name: "training", values },
      { name: "validation", values: validation },
    ],
  });
  return [chart, legend(["training", "validation"])];
}

customElements.define("loupe-model", LoupeModel);
