/** The test images behind a cell of a model's confusion matrix, those first of which the model was surest. */

import { isExpected } from "../core/api.js";
import { svg } from "../core/charts.js";
import { h, plural } from "../core/dom.js";
import { load } from "../core/loading.js";
import { sectionLink } from "../core/sections.js";
import { Thumbnails } from "../core/thumbnails.js";
import { percent } from "../core/words.js";

class LoupeJudgedImages extends HTMLElement {
  /** @type {import("../core/api.js").PortalApi} */
  api;
  /** @type {string} */
  project;
  /** @type {string} */
  version;
  /** @type {URLSearchParams} */
  query;

  #thumbnails;
  #dialog = h("dialog", { class: "dialog picture-dialog", "aria-label": "Image" });

  connectedCallback() {
    this.#thumbnails = new Thumbnails(this.api, this.project);
    load(this, () => this.#page(0), (page) => this.#show(page));
  }

  #page(after) {
    const cell = Object.fromEntries([...this.query].filter(([name]) => name === "truth" || name === "predicted"));
    return this.api.judgedImages(this.project, this.version, { ...cell, after });
  }

  #show(page) {
    const [truth, predicted] = [this.query.get("truth"), this.query.get("predicted")];
    const trail = h(
      "nav",
      { class: "trail", "aria-label": "Where you are" },
      h("a", { href: sectionLink(this.project, "models") }, "All models"),
      h("a", { href: sectionLink(this.project, "models", { version: this.version }) }, `Model ${this.version}`),
    );
    const said = truth === null ? ["Not labeled"] : ["Labeled ", quoted(truth)];
    const found = predicted === null ? ["not found"] : ["predicted ", quoted(predicted)];
    const title = h("h1", {}, ...said, ", ", ...found);
    const list = h("ul", { class: "pictures" });
    const more = h("button", { class: "button", type: "button" }, "More images");
    const add = ({ images, next }) => {
      list.append(...images.map((image) => h("li", {}, this.#picture(image, page))));
      more.hidden = next === null;
      more.value = next ?? "";
    };
    more.addEventListener("click", () => this.#more(more, add));
    add(page);
    const key =
      page.task === "bounding-box"
        ? h("p", { class: "muted" }, "Solid boxes were drawn by people, dashed ones are the model's.")
        : null;
    const view = h("div", { class: "console-page" }, trail, title, h("p", { class: "muted" }, plural(page.total, "test image"), ", the model's firmest answers first"), key, list, more, this.#dialog);
    return [view];
  }

  async #more(button, add) {
    button.disabled = true;
    try {
      const found = await this.#page(Number(button.value));
      if (this.isConnected) add(found);
    } catch (error) {
      if (!isExpected(error)) throw error;
      button.textContent = "That did not work. Try again";
    } finally {
      button.disabled = false;
    }
  }

  #picture(image, page) {
    const thumbnail = this.#thumbnails.element(image, "");
    const open = h("button", { class: "picture", type: "button", "aria-label": `Enlarge ${image.name}` }, thumbnail);
    if (page.task === "bounding-box" && image.width) open.append(drawn(image));
    open.addEventListener("click", () => this.#enlarge(image, page));
    return h("figure", {}, open, h("figcaption", {}, h("span", { class: "file-name", dir: "auto" }, image.name), h("span", { class: "muted" }, answer(image))));
  }

  async #enlarge(image, { task, dataset_version: version }) {
    const picture = h("img", { alt: `Image ${image.name}` });
    const frame = h("div", { class: "picture large" }, picture);
    if (task === "bounding-box" && image.width) frame.append(drawn(image));
    const close = h("button", { class: "button", type: "button", on: { click: () => this.#dialog.close() } }, "Close");
    const correct = h("a", { class: "button", href: sectionLink(this.project, "dataset", { version, image: image.sha256 }) }, "See or correct its label");
    const caption = h("p", {}, h("b", { dir: "auto" }, image.name), h("br"), answer(image));
    this.#dialog.replaceChildren(h("div", { class: "dialog-body" }, frame, caption, h("div", { class: "dialog-actions" }, correct, close)));
    this.#dialog.showModal();
    picture.addEventListener("error", () => frame.classList.add("missing"), { once: true });
    picture.src = await this.#large(image);
  }

  /**
   * A smaller copy where one can be made; else the image itself. That one is turned as EXIF says, and boxes
   * are not.
   */
  async #large({ sha256, url, thumbnail, truth }) {
    try {
      const { previews } = await this.api.previews(this.project, "preview", [sha256]);
      if (previews.length) return previews[0].url;
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
    return truth.boxes || url === null ? thumbnail : url;
  }
}

function quoted(label) {
  return h("q", { dir: "auto" }, label);
}

/** What people and the model say of the whole image, in words. */
function answer({ truth, predicted, confidence, confidences }) {
  if (Array.isArray(truth.boxes)) return `${plural(truth.boxes.length, "box").replace("boxs", "boxes")} drawn, ${predicted.length} found`;
  if (Array.isArray(truth.labels)) {
    const told = predicted.map((label) => `${label} ${percent(confidences?.[label], 0)}`);
    return `labeled ${truth.labels.join(", ") || "nothing"}; predicted ${told.join(", ") || "nothing"}`;
  }
  return `labeled ${truth.label}; predicted ${predicted ?? "nothing"} (${percent(confidence)})`;
}

/** The boxes of people and model over a picture. */
function drawn({ width, height, truth, predicted }) {
  const overlay = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "boxes", "aria-hidden": "true" });
  for (const box of truth.boxes) overlay.append(rectangle(box, box.label, "truth"));
  for (const { box, label, confidence } of predicted) overlay.append(rectangle(box, `${label} ${percent(confidence, 0)}`, "predicted"));
  return overlay;
}

function rectangle({ left, top, width, height }, name, kind) {
  return svg("rect", { x: left, y: top, width, height, class: `box-${kind}` }, svg("title", {}, name));
}

customElements.define("loupe-judged-images", LoupeJudgedImages);
