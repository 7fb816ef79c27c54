/** Figures of models in panels and tables. */

import { h } from "./dom.js";
import { percent } from "./words.js";

/** Figures of the whole test set, as they are shown. */
export const FIGURES = {
  accuracy: "Accuracy",
  f1: "F1",
  macro_f1: "Macro F1",
  micro_f1: "Micro F1",
  precision: "Precision",
  recall: "Recall",
  exact_match: "All labels of an image right",
  mean_average_precision: "Mean average precision",
  map_50: "mAP@0.5",
  map_50_95: "mAP@[.5:.95]",
};

export function panel(title, ...content) {
  return h("section", { class: "panel" }, h("h2", {}, title), ...content);
}

export function factList(facts) {
  return h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { dir: "auto" }, String(value)))));
}

/** A table that is wider than the page is scrolled by itself, by keyboard, too. */
export function scrolling(table) {
  const name = table.querySelector("caption").textContent;
  return h("div", { class: "scrolling", tabindex: 0, role: "region", "aria-label": name }, table);
}

export function table(caption, head, rows) {
  return h(
    "table",
    { class: "table" },
    h("caption", { class: "visually-hidden" }, caption),
    h("thead", {}, h("tr", {}, ...head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, ...rows),
  );
}

/** A share with a bar behind its figure. */
export function bar(value) {
  const cell = h("span", { class: "share" }, percent(value));
  cell.style.setProperty("--share", typeof value === "number" ? value : 0);
  return cell;
}

/** What the champion of then had on the same test images, if it could be measured on them. */
export function measured(evaluation) {
  const champion = evaluation?.champion;
  return champion && !champion.error ? champion : null;
}

/**
 * A model's figures beside those of the model in service: on the same test images where one of them was
 * compared with the other.
 * @param {object} model as the API tells of one
 * @param {object | null} champion the model in service, in the same form
 * @returns {{own: object | null, other: object | null, explained: string}}
 */
export function sideBySide(model, champion) {
  const own = model.evaluation?.candidate ?? null;
  if (champion === null) return { own, other: null, explained: "No model is in service to compare it with." };
  if (model.compared_with === champion.version && measured(model.evaluation)) {
    return { own, other: measured(model.evaluation), explained: "Both were measured on the same test images." };
  }
  const other = champion.evaluation?.candidate ?? null;
  if (champion.compared_with === model.version && measured(champion.evaluation)) {
    return { own: measured(champion.evaluation), other, explained: "Both were measured on the same test images." };
  }
  return { own, other, explained: "Each was measured on the test images of its own dataset version: the figures compare but roughly." };
}

/** Labels whose figure is lower than the other model's, the largest fall first. */
export function fallen(own, other) {
  const falls = Object.entries(own?.per_label ?? {}).map(([label, metrics]) => {
    const compared = typeof metrics.ap_50 === "number" ? "ap_50" : "f1";
    return { label, from: other?.per_label?.[label]?.[compared], to: metrics[compared] };
  });
  const known = falls.filter(({ from, to }) => typeof from === "number" && typeof to === "number");
  return known.filter(({ from, to }) => to < from).sort((a, b) => a.to - a.from - (b.to - b.from));
}
