/** Asks the project's champion about a picture that one drops, chooses or takes. */

import { isExpected } from "../core/api.js";
import { svg } from "../core/charts.js";
import { h, icon } from "../core/dom.js";
import { markOf } from "../core/labels.js";
import { MOST_BYTES, prepare, Unusable } from "../core/photo.js";
import { sectionLink } from "../core/sections.js";
import { percent } from "../core/words.js";

const LABELS_SHOWN = 10;
const MOST_DRAWN = 1600;

class LoupeTry extends HTMLElement {
  /** @type {import("../core/api.js").PortalApi} */
  api;
  /** @type {string} */
  project;

  #picture = h("div", { class: "try-picture", hidden: true });
  #answer = h("div", { class: "try-answer", role: "status" });
  #turn = 0;

  connectedCallback() {
    const choose = chooser("Choose a picture", {});
    const take = chooser("Take a photo", { capture: "environment" });
    take.classList.add("on-phones");
    for (const label of [choose, take]) {
      const input = label.querySelector("input");
      input.addEventListener("change", () => {
        if (input.files.length) this.#try(input.files[0]);
        input.value = ""; // so that the same picture can be chosen again
      });
    }
    const words = h("p", {}, h("span", { class: "on-desks" }, "Drop a picture here, or paste one."));
    const limits = `JPEG or PNG; other pictures and those above ${MOST_BYTES.toLocaleString("en")} bytes are made into a JPEG that the API takes.`;
    const zone = h("div", { class: "drop" }, icon("image"), words, h("div", { class: "state-actions" }, choose, take), h("p", { class: "muted small" }, limits));
    this.#listen(zone);
    this.replaceChildren(
      h("div", { class: "console-page" }, h("h1", {}, "Try it"), zone, h("div", { class: "try-result" }, this.#picture, this.#answer)),
    );
  }

  #listen(zone) {
    let inside = 0;
    const over = (by) => {
      inside = by === 0 ? 0 : inside + by;
      zone.classList.toggle("over", inside > 0);
    };
    this.addEventListener("dragenter", () => over(1));
    this.addEventListener("dragleave", () => over(-1));
    this.addEventListener("dragover", (event) => event.preventDefault());
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      over(0);
      if (event.dataTransfer.files.length) this.#try(event.dataTransfer.files[0]);
    });
    this.#pasting = new AbortController();
    document.addEventListener(
      "paste",
      (event) => {
        const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
        if (file) this.#try(file);
      },
      { signal: this.#pasting.signal },
    );
  }

  #pasting;

  disconnectedCallback() {
    this.#pasting?.abort();
  }

  async #try(file) {
    this.#turn += 1;
    const turn = this.#turn;
    const isLatest = () => turn === this.#turn && this.isConnected;
    this.#picture.hidden = true;
    this.#answer.replaceChildren(h("div", { class: "page-loading" }, h("span", { class: "spinner" }), "Asking the model"));
    try {
      const photo = await prepare(file);
      if (!isLatest()) return;
      this.#show(photo, file.name);
      const answer = await this.api.predict(this.project, photo.blob);
      if (isLatest()) this.#tell(answer, photo);
    } catch (error) {
      if (!(error instanceof Unusable) && !isExpected(error)) throw error;
      if (isLatest()) this.#fail(error, file);
    }
  }

  #show({ bitmap, changed }, name) {
    const scale = Math.min(1, MOST_DRAWN / Math.max(bitmap.width, bitmap.height));
    const size = { width: Math.max(1, Math.round(bitmap.width * scale)), height: Math.max(1, Math.round(bitmap.height * scale)) };
    const canvas = Object.assign(h("canvas", { role: "img", "aria-label": `Picture ${name}` }), size);
    canvas.getContext("2d").drawImage(bitmap, 0, 0, size.width, size.height);
    const frame = h("div", { class: "try-frame" }, canvas);
    this.#picture.replaceChildren(frame, h("p", { class: "muted small", dir: "auto" }, name), changed ? h("p", { class: "muted small" }, changed) : "");
    this.#picture.hidden = false;
  }

  #tell(answer, photo) {
    const version = h("a", { href: sectionLink(this.project, "models", { version: answer.model_version }) }, `Model ${answer.model_version}`);
    const raw = h("details", {}, h("summary", {}, "As the API answers"), h("pre", { tabindex: 0 }, JSON.stringify(answer, null, 2)));
    if (answer.task === "bounding-box") this.#picture.querySelector(".try-frame").append(drawn(answer.predictions, photo));
    const told = answer.task === "bounding-box" ? boxes(answer.predictions) : labels(answer);
    this.#answer.replaceChildren(h("h2", {}, "Answer"), ...told, h("p", { class: "muted small" }, version), raw);
  }

  #fail(error, file) {
    const again = h("button", { class: "button", type: "button", on: { click: () => this.#try(file) } }, "Try again");
    const label = h("a", { class: "button", href: sectionLink(this.project, "") }, "Label images");
    const models = h("a", { class: "button", href: sectionLink(this.project, "models") }, "See the models");
    const cases = {
      "no-model-yet": ["There is no model yet", label],
      "model-stopped": ["The model is stopped", models],
      "not-an-image": ["This is no picture that the model can read", null],
      "image-too-large": ["The picture is too large", null],
    };
    const [title, action] = error instanceof Unusable ? ["This picture can't be used", null] : (cases[error.slug] ?? ["There is no answer", again]);
    this.#answer.replaceChildren(h("h2", {}, title), h("p", {}, error.message), action ? h("p", {}, action) : "");
  }
}

/** A button that opens the chooser of files, or the camera. */
function chooser(text, attributes) {
  const input = h("input", { type: "file", accept: "image/*", class: "visually-hidden", ...attributes });
  return h("label", { class: "button primary" }, text, input);
}

/** Labels with their confidences, best first; of several labels those that apply are marked. */
function labels({ task, predictions }) {
  if (predictions.length === 0) return [h("p", {}, "The model gives it no label.")];
  const several = task === "multi-label-classification";
  const items = predictions.slice(0, LABELS_SHOWN).map(({ label, confidence, threshold }, place) => {
    const applies = several ? confidence >= (threshold ?? 0) : place === 0;
    const bar = h("div", { class: "confidence" });
    bar.style.setProperty("--share", confidence);
    if (typeof threshold === "number") bar.style.setProperty("--threshold", threshold);
    const name = h("span", { class: "answer-label", dir: "auto" }, label);
    const note = several ? h("span", { class: "muted small" }, applies ? "applies" : `below its threshold of ${percent(threshold, 0)}`) : null;
    return h("li", { class: applies ? "applies" : "" }, name, h("span", { class: "figures" }, percent(confidence)), bar, note);
  });
  const rest = predictions.length - items.length;
  const parts = [h("ol", { class: "guesses" }, ...items)];
  if (rest > 0) parts.push(h("p", { class: "muted small" }, `${rest} further ${rest === 1 ? "label" : "labels"} with less.`));
  if (several && !predictions.some(({ confidence, threshold }) => confidence >= (threshold ?? 0))) parts.unshift(h("p", {}, "None of the labels applies."));
  return parts;
}

function boxes(predictions) {
  if (predictions.length === 0) return [h("p", {}, "The model finds nothing in it.")];
  const items = predictions.map(({ label, confidence }) => h("li", {}, h("b", { dir: "auto" }, label), " ", h("span", { class: "figures" }, percent(confidence))));
  return [h("ol", { class: "found" }, ...items)];
}

/** Boxes with the numbers that they have in the list. */
function drawn(predictions, { width, height }) {
  const overlay = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "try-boxes", "aria-hidden": "true" });
  const names = [...new Set(predictions.map(({ label }) => label))];
  const size = Math.max(width, height) / 32;
  predictions.forEach(({ label, confidence, box }, number) => {
    const { colour } = markOf(names.indexOf(label));
    const rectangle = svg("rect", { x: box.left, y: box.top, width: box.width, height: box.height }, svg("title", {}, `${label} ${percent(confidence)}`));
    rectangle.style.stroke = colour;
    const text = `${number + 1} ${label}`;
    const y = Math.max(box.top, size * 1.2);
    const tag = svg("text", { x: box.left + size * 0.2, y: y - size * 0.3, "font-size": size }, text);
    overlay.append(rectangle, tag);
  });
  return overlay;
}

customElements.define("loupe-try", LoupeTry);
