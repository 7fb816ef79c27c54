/**
 * One image of a dataset version: large, with its label, everything that was ever said of it, and the means
 * to correct it. Dispatches "corrected" with {sha256, corrected}, and "close" with the image's place in the
 * gallery, null where that is not known.
 */

import { isExpected } from "../core/api.js";
import { boxesOver } from "../core/box-drawing.js";
import { h, icon, plural } from "../core/dom.js";
import { copyOf } from "../core/images.js";
import { markOf } from "../core/labels.js";
import { partsOf, percent, saidText, sourceText, timeText, valueOf } from "../core/said.js";
import { Thumbnails } from "../core/thumbnails.js";
import { correctionForm } from "./correction-form.js";

class LoupeImageDetail extends HTMLElement {
  #shown = null;
  #image = null;
  #asked = 0;
  #dialog = h("dialog", { class: "detail", "aria-labelledby": "detail-title" });
  #title = h("h2", { id: "detail-title", dir: "auto" });
  #picture = h("div", { class: "detail-picture" });
  #side = h("div", { class: "detail-side" });
  #previous = h("button", { class: "button", type: "button", "aria-label": "Previous image", title: "Previous (←)" }, icon("back"));
  #next = h("button", { class: "button turned", type: "button", "aria-label": "Next image", title: "Next (→)" }, icon("back"));
  #form = null;
  #previews = null;

  connectedCallback() {
    const close = h("button", { class: "button", type: "button" }, "Close");
    close.addEventListener("click", () => this.#dialog.close());
    this.#previous.addEventListener("click", () => this.#step(-1));
    this.#next.addEventListener("click", () => this.#step(1));
    this.#dialog.addEventListener("keydown", (event) => this.#key(event));
    this.#dialog.addEventListener("close", () => this.#closed());
    const head = h("div", { class: "detail-head" }, this.#title, this.#previous, this.#next, close);
    this.#dialog.replaceChildren(head, h("div", { class: "detail-body" }, this.#picture, this.#side));
    this.replaceChildren(this.#dialog);
  }

  /**
   * @param {object} what {api, project, notices, version, labels, pages}, and `index`, the image's place among
   *   the pages, or its `sha256` where the place is not known
   */
  show(what) {
    this.#shown = what;
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#load();
  }

  async #load() {
    const asked = (this.#asked += 1);
    const { api, project, version, pages, index, sha256 } = this.#shown;
    this.#previews ??= new Thumbnails(api, project, "preview");
    const known = index === undefined ? { sha256 } : pages.at(index);
    this.#previous.disabled = index === undefined || index === 0;
    this.#next.disabled = index === undefined || index + 1 >= pages.total;
    this.#title.textContent = known?.name ?? "Image";
    this.#form = null;
    this.#picture.replaceChildren(h("span", { class: "spinner", role: "img", "aria-label": "Loading the image" }));
    this.#side.replaceChildren();
    try {
      const wanted = known ?? (await arrival(pages, index));
      if (asked !== this.#asked) return;
      const image = await api.datasetImage(project, version, wanted.sha256);
      if (asked !== this.#asked) return;
      this.#image = image;
      this.#title.textContent = image.name;
      this.#showImage();
    } catch (error) {
      if (!isExpected(error)) throw error;
      if (asked === this.#asked) this.#picture.replaceChildren(h("p", { class: "detail-problem" }, error.message));
    }
  }

  #showImage() {
    this.#showPicture();
    const image = this.#image;
    const says = image.champion && this.#champion(image.champion);
    this.#side.replaceChildren(...[this.#now(), says, this.#correct(), this.#history(), this.#facts()].filter(Boolean));
  }

  #showPicture() {
    const image = this.#image;
    // Previews are as stored, which boxes are of, too; browsers turn the image itself as its EXIF says.
    const picture = this.#previews.element({ sha256: image.sha256, thumbnail: image.preview }, `Image ${image.name}`);
    picture.loading = "eager";
    picture.classList.add("detail-image");
    const frame = h("div", { class: "detail-frame" }, picture);
    frame.style.setProperty("--ratio", String(image.width / image.height));
    const boxes = boxesOver(image, (image.current ?? image).boxes ?? [], this.#shown.labels);
    const answered = boxesOver(image, image.champion?.boxes ?? [], this.#shown.labels, "boxes answered");
    if (boxes) frame.append(boxes);
    if (answered) frame.append(answered);
    this.#picture.replaceChildren(frame);
  }

  #now() {
    const { current, version, latest_version: latest } = this.#image;
    const label = h("section", { class: "detail-label" }, h("h3", {}, "Label"));
    if (current === null) {
      label.append(h("p", {}, `${saidText(this.#image)} in version ${version}; version ${latest} does not have the image.`));
      return label;
    }
    label.append(h("p", { class: "detail-value", dir: "auto" }, saidText(current)), this.#parts(current));
    label.append(h("p", { class: "muted", dir: "auto" }, `${sourceText(current)} · ${timeText(current.labeled_at)}`));
    if (saidText(current) !== saidText(this.#image)) {
      label.append(h("p", { class: "muted", dir: "auto" }, `In version ${version}: ${saidText(this.#image)}`));
    }
    return label;
  }

  /** Boxes one by one, and confidences where there are any. */
  #parts(said) {
    const parts = partsOf(said).filter(({ box, confidence }) => box || confidence);
    if (parts.length === 0) return h("span", { hidden: true });
    const rows = parts.map(({ name, confidence, box }) => {
      const swatch = box ? h("span", { class: "swatch", "aria-hidden": "true" }) : null;
      swatch?.style.setProperty("--mark", markOf(Math.max(0, this.#shown.labels.indexOf(name))).colour);
      const size = box ? `${Math.round(box.width)} × ${Math.round(box.height)}` : null;
      return h(
        "li",
        {},
        swatch,
        h("span", { class: "part-name", dir: "auto" }, name),
        h("span", { class: "figures" }, [size, confidence ? percent(confidence) : null].filter(Boolean).join(" · ")),
      );
    });
    return h("ul", { class: "parts" }, ...rows);
  }

  #champion(champion) {
    const firm = champion.disagreement > 0 ? ` It is ${percent(champion.disagreement)} sure that the label is wrong about ${champion.about.join(", ")}.` : "";
    return h(
      "section",
      { class: champion.disagreement > 0 ? "detail-champion doubt" : "detail-champion" },
      h("h3", {}, `Model ${champion.version} answers`),
      h("p", { class: "detail-value", dir: "auto" }, saidText(champion)),
      this.#parts(champion),
      firm ? h("p", {}, firm) : null,
    );
  }

  #correct() {
    const { labels } = this.#shown;
    const { current } = this.#image;
    if (labels.length === 0 || current === null) return null;
    this.#form = correctionForm(this.#image, labels);
    this.#form.addEventListener("save", ({ detail }) => this.#save(detail));
    this.#form.addEventListener("draw", ({ detail }) => this.#draw(detail));
    this.#form.addEventListener("look", () => this.#showPicture());
    this.#form.addEventListener("say", ({ detail }) => this.#shown.notices.say(detail));
    this.#form.addEventListener("hint", ({ detail }) => this.#shown.notices.show(detail));
    return this.#form;
  }

  /** Puts the stage on which boxes are drawn in place of the picture; it shows the preview, too. */
  async #draw(stage) {
    const { sha256, name, width, height } = this.#image;
    const picture = this.#picture.querySelector("img");
    this.#picture.replaceChildren(stage);
    const url = picture.naturalWidth > 0 ? picture.src : await this.#previews.address(sha256);
    if (stage.isConnected) stage.show(copyOf({ name, width, height }, url));
  }

  async #save(said) {
    const { api, project, version, notices } = this.#shown;
    const { sha256, seen } = this.#image;
    const asked = this.#asked;
    try {
      const [told] = await api.correct(project, version, [{ sha256, ...said, seen }]);
      if (told.corrected) {
        this.dispatchEvent(new CustomEvent("corrected", { detail: { sha256, corrected: told.corrected } }));
        notices.show(toldText(told));
      } else {
        notices.show("The image has this label already.");
      }
      if (asked === this.#asked) await this.#load();
      this.#side.querySelector(".correction summary, .correction input")?.focus();
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.#form?.fail(error.message);
    }
  }

  #facts() {
    const { width, height, split, version, sha256, agreement } = this.#image;
    const facts = [
      ["Split", `${split} of version ${version}`],
      ["Size", `${width} × ${height}`],
      agreement === undefined ? null : ["Agreement", percent(agreement)],
      ["SHA-256", sha256],
    ].filter(Boolean);
    const list = h("dl", { class: "facts" }, ...facts.flatMap(([name, text]) => [h("dt", {}, name), h("dd", {}, text)]));
    const open = h("a", { href: this.#image.url, target: "_blank", rel: "noreferrer" }, "Open the image by itself");
    return h("section", {}, h("h3", {}, "Image"), list, h("p", {}, open));
  }

  #history() {
    const { history, answers } = this.#image;
    const entries = history.map((said) => {
      const when = said.labeled_at ? ` · ${timeText(said.labeled_at)}` : "";
      return h("li", {}, h("p", { dir: "auto" }, saidText(said)), h("p", { class: "muted", dir: "auto" }, sourceText(said) + when));
    });
    const section = h("section", {}, h("h3", {}, "History"), h("ol", { class: "history" }, ...entries));
    if (answers.length === 0) return section;
    const said = answers.map((answer) =>
      h(
        "li",
        {},
        h("p", { dir: "auto" }, answer.skip ? `Skipped: ${answer.skip}` : saidText(valueOf(answer))),
        h("p", { class: "muted", dir: "auto" }, `${answer.worker_name} · ${timeText(answer.answered_at)} · Job ${answer.job}`),
      ),
    );
    section.append(h("details", {}, h("summary", {}, plural(answers.length, "answer") + " of workers"), h("ol", { class: "history" }, ...said)));
    return section;
  }

  #step(step) {
    const { pages, index } = this.#shown;
    if (index === undefined || index + step < 0 || index + step >= pages.total) return;
    this.#shown.index = index + step;
    this.#load();
  }

  #key(event) {
    if (event.altKey || event.isComposing || event.target.closest("input, select, textarea")) return;
    if (this.#form?.handleKey(event)) {
      event.preventDefault();
      return;
    }
    if (event.ctrlKey || event.metaKey || this.#form?.isDrawing) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      event.preventDefault();
      this.#step(event.key === "ArrowLeft" ? -1 : 1);
    }
  }

  #closed() {
    this.#asked += 1;
    this.#form = null;
    this.#picture.replaceChildren();
    this.#side.replaceChildren();
    this.dispatchEvent(new CustomEvent("close", { detail: this.#shown.index ?? null }));
  }
}

/** The image at a place among the pages, once it is fetched. Throws what fetching fails with. */
function arrival(pages, index) {
  return new Promise((resolve, reject) => {
    const listeners = new AbortController();
    const { signal } = listeners;
    const settle = (done, what) => {
      listeners.abort();
      done(what);
    };
    pages.addEventListener("change", () => pages.at(index) && settle(resolve, pages.at(index)), { signal });
    pages.addEventListener("failed", ({ detail }) => settle(reject, detail), { signal });
    pages.want(index, index + 1);
  });
}

function toldText({ other, counts }) {
  if (!other) return "Corrected. The next dataset version uses it.";
  const who = `${other.workers[0]} had corrected it to ${saidText(other)} meanwhile`;
  return counts === "yours" ? `${who}. Both are kept; yours is newer and counts.` : `${who}, after you. Both are kept; theirs counts.`;
}

customElements.define("loupe-image-detail", LoupeImageDetail);
