/** A dataset version in figures: images by label and split, sizes of boxes and images, what was left out. */

import { h } from "../core/dom.js";
import { percent } from "../core/said.js";

const SPLITS = ["train", "validation", "test"];

/** Dispatches "filter" with the filter of the images behind a figure. */
class LoupeDatasetCounts extends HTMLElement {
  /** Set before it is put into the page: a version as the API tells it. */
  version;

  connectedCallback() {
    const { statistics, task } = this.version;
    const cards = [this.#labels()];
    if (statistics.box_sizes.length) cards.push(this.#boxSizes());
    if (task !== "image-classification") cards.push(this.#partsAnImage());
    cards.push(this.#dimensions());
    if (Object.keys(this.version.left_out).length) cards.push(this.#leftOut());
    this.replaceChildren(h("div", { class: "counts" }, ...cards));
  }

  #labels() {
    const { labels, splits, task } = this.version;
    const rows = labels.map((label) => ({ name: label, filter: label, counts: SPLITS.map((s) => splits[s].labels[label] ?? 0) }));
    if (task !== "image-classification") {
      rows.push({ name: "None of them", filter: "", counts: SPLITS.map((split) => splits[split].without) });
    }
    const most = Math.max(1, ...rows.map(({ counts }) => sum(counts)));
    const body = rows.map(({ name, filter, counts }) => {
      const all = sum(counts);
      const button = h("button", { class: "link", type: "button", dir: "auto" }, name);
      button.addEventListener("click", () => this.#filter({ label: filter }));
      const cells = counts.map((count, index) => h("td", {}, this.#cell(count, { label: filter, split: SPLITS[index] }, name)));
      return h("tr", {}, h("th", { scope: "row" }, button), h("td", { class: "bar-cell" }, bar(counts, most)), h("td", {}, figure(all)), ...cells);
    });
    const head = ["Label", "", "Images", ...SPLITS].map((name) => (name ? h("th", { scope: "col" }, name) : h("td", {})));
    const key = SPLITS.map((split) => h("span", { class: `key ${split}` }, split));
    return card("Images by label and split", "wide", h("p", { class: "keys-line" }, ...key), scrolling("Images by label and split", h("table", { class: "figures-table" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...body))));
  }

  #cell(count, filter, name) {
    if (count === 0) return "0";
    const text = count.toLocaleString("en");
    const button = h("button", { class: "link figure", type: "button", "aria-label": `${text}, ${name}, ${filter.split}` }, text);
    button.addEventListener("click", () => this.#filter(filter));
    return button;
  }

  #boxSizes() {
    const { box_sizes: sizes } = this.version.statistics;
    const rows = sizes.map(({ from, to, boxes }) => [to === null ? `${from} px and more` : `${from} to ${to} px`, boxes]);
    return card("Sizes of boxes", "", h("p", { class: "hint" }, "Square root of a box's area."), bars("Sizes of boxes", "Boxes", rows));
  }

  #partsAnImage() {
    const [noun, many, title] = this.version.task === "bounding-box" ? ["box", "boxes", "Boxes an image"] : ["label", "labels", "Labels an image"];
    const parts = Object.entries(this.version.statistics.parts_an_image).map(([count, images]) => [Number(count), images]);
    const few = parts.filter(([count]) => count <= 8).map(([count, images]) => [`${count} ${count === 1 ? noun : many}`, images]);
    const others = sum(parts.filter(([count]) => count > 8).map(([, images]) => images));
    if (others) few.push(["more than 8", others]);
    return card(title, "", bars(title, "Images", few));
  }

  #dimensions() {
    const { dimensions, other_dimensions: others, widths, heights } = this.version.statistics;
    const rows = dimensions.map(({ width, height, images }) => [`${width} × ${height}`, images]);
    if (others) rows.push(["other sizes", others]);
    const range = `${widths[0]} to ${widths[1]} px wide, ${heights[0]} to ${heights[1]} px high.`;
    return card("Image dimensions", "", h("p", { class: "hint" }, range), bars("Image dimensions", "Images", rows));
  }

  #leftOut() {
    const rows = Object.entries(this.version.left_out);
    return card("Left out", "", h("p", { class: "hint" }, "Labeled images that are in no split, and why."), bars("Left out", "Images", rows));
  }

  #filter(filter) {
    this.dispatchEvent(new CustomEvent("filter", { detail: filter }));
  }
}

function card(title, more, ...content) {
  return h("section", { class: `figures-card ${more}`.trim() }, h("h2", {}, title), ...content);
}

function scrolling(name, table) {
  return h("div", { class: "scrolling", role: "region", "aria-label": name, tabindex: "0" }, table);
}

/** A table of names and counts, with a bar each. */
function bars(name, noun, rows) {
  const all = sum(rows.map(([, count]) => count));
  const most = Math.max(1, ...rows.map(([, count]) => count));
  const body = rows.map(([title, count]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, title),
      h("td", { class: "bar-cell" }, bar([count], most)),
      h("td", {}, figure(count)),
      h("td", { class: "part-share" }, all ? percent(count / all) : ""),
    ),
  );
  const head = h("tr", {}, h("th", { scope: "col" }, "What"), h("td", {}), h("th", { scope: "col" }, noun), h("th", { scope: "col" }, "Share"));
  return h("table", { class: "figures-table", "aria-label": name }, h("thead", { class: "visually-hidden" }, head), h("tbody", {}, ...body));
}

function bar(counts, most) {
  const parts = counts.map((count, index) => {
    const part = h("span", { class: `bar-part ${SPLITS[index]}` });
    part.style.width = `${(count / most) * 100}%`;
    return part;
  });
  return h("span", { class: "bar", "aria-hidden": "true" }, ...parts);
}

function figure(count) {
  return h("span", { class: "figures" }, count.toLocaleString("en"));
}

function sum(counts) {
  return counts.reduce((total, count) => total + count, 0);
}

customElements.define("loupe-dataset-counts", LoupeDatasetCounts);
