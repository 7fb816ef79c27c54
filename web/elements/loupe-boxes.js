/**
 * Labeled boxes on an image: palette, the list of boxes, and what becomes the answer. The boxes themselves are
 * drawn on the stage by its layer. Dispatches "answer" with {boxes}, in pixels of the image as stored.
 * loupe-classify says what the labeling view asks of this element.
 */

import { BoxEditor } from "../core/box-editor.js";
import { h, icon, plural } from "../core/dom.js";
import { labelOfKey, markOf, numberKeys } from "../core/labels.js";
import { toStored, toUpright, uprightSize } from "../core/turning.js";
import { BoxLayer } from "./box-layer.js";

/** A held arrow key goes faster after so many steps, and so many times as fast. */
const FAST_AFTER = 8;
const FAST = 8;
/** A box drawn by key takes this part of what is in view. */
const DRAWN_PART = 0.25;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

class LoupeBoxes extends HTMLElement {
  /** Set before it is put into the page. @type {import("./loupe-stage.js")} */
  stage;
  /** @type {import("../core/drafts.js").Drafts} */
  drafts;

  #labels = [];
  #enabled = true;
  #question = null;
  #editor = null;
  #layer = null;
  #repeats = 0;
  /** Entries of the list by their boxes' ids: hundreds of boxes are listed, and few change at a time. */
  #entries = new Map();
  #palette = h("loupe-palette");
  #count = h("h2", { class: "marks-count" });
  #list = h("ol", { class: "marks-list", tabindex: "-1", "aria-label": "Boxes" });
  #suggested = h("div", { class: "suggested-note", hidden: true });
  #leftOut = h("p", { class: "left-out-note", dir: "auto", hidden: true });
  #nothing = h("button", { class: "button", type: "button" });
  #submit = h("button", { class: "button primary", type: "button" }, "Submit", h("kbd", { "aria-hidden": "true" }, "⏎"));
  #tools = {
    undo: tool("undo", "Undo", "Ctrl Z", () => this.undo()),
    redo: tool("redo", "Redo", "Ctrl Y", () => this.redo()),
    duplicate: tool("copy", "Duplicate", "C", () => this.#act("duplicate")),
    remove: tool("bin", "Delete", "Del", () => this.#act("remove")),
  };

  constructor() {
    super();
    this.#palette.addEventListener("choose", ({ detail }) => this.#choose(detail));
    this.#palette.addEventListener("submit", () => this.#answer());
    this.#nothing.addEventListener("click", () => this.#answerNothing());
    this.#submit.addEventListener("click", () => this.#answer());
    // A click leaves the focus where it was, so that Enter still submits.
    this.addEventListener("mousedown", (event) => event.target.matches("input") || event.preventDefault());
  }

  connectedCallback() {
    if (this.#layer) return;
    this.#layer = new BoxLayer(this.stage);
    this.stage.layer = this.#layer;
    this.replaceChildren(
      this.#palette,
      this.#suggested,
      this.#leftOut,
      h("section", { class: "marks", "aria-label": "Boxes on this image" }, this.#count, this.#list),
      h("div", { class: "submit" }, this.#nothing, this.#submit),
    );
  }

  /** @param {string[]} labels */
  set labels(labels) {
    if (JSON.stringify(labels) === JSON.stringify(this.#labels)) return;
    this.#labels = labels;
    this.#palette.show(labels, { name: "Labels", marks: true });
    if (this.#editor) this.#open();
  }

  set enabled(enabled) {
    this.#enabled = enabled;
    this.classList.toggle("waiting", !enabled);
    if (this.#layer) this.#layer.enabled = enabled;
    this.#palette.enabled = enabled;
    this.#submit.setAttribute("aria-disabled", String(!enabled));
    this.#nothing.setAttribute("aria-disabled", String(!enabled));
  }

  /** Tools for what is on the image, beside those of the stage. */
  get tools() {
    return Object.values(this.#tools);
  }

  /** @param {{key: string, picture: object, earlier: object | null, suggestion: object | null}} question */
  show(question) {
    const before = this.#question;
    this.#question = question;
    if (before?.key !== question.key) this.#open();
    else if (before.suggestion !== question.suggestion) this.#suggest();
  }

  /** The keys of this task type, for the help. */
  get keys() {
    const find = [[["/"], "Find a label by typing; Enter takes it"]];
    return [
      [["Enter"], "Submit the boxes"],
      [["N"], "Nothing to mark; where boxes are drawn, clear them first"],
      [["drag"], "Draw a box; Alt draws inside the selected one, too"],
      [numberKeys(this.#labels), "Label for the next box and the selected one"],
      ...(this.#palette.hasFinder ? find : []),
      [["D"], "Draw a box in the middle of what is in view"],
      [[",", "."], "Select the box before, the next one"],
      [["←", "↑", "→", "↓"], "Move the selected box; hold for large steps"],
      [["Shift", "←", "↑", "→", "↓"], "Resize it"],
      [["C"], "Duplicate it"],
      [["Del", "Backspace"], "Delete it"],
      [["A"], "Take over what the model suggests"],
      [["Ctrl Z"], "Undo; Ctrl Y or Ctrl Shift Z redoes"],
      [["+", "-"], "Zoom in and out; dragging with Space held moves the image"],
    ];
  }

  focusFirst() {
    // Keys work wherever the focus is, so nothing has to have it.
  }

  undo() {
    return this.#stepped(this.#editor?.undo(), "Undone");
  }

  redo() {
    return this.#stepped(this.#editor?.redo(), "Redone");
  }

  /** @param {KeyboardEvent} event @returns {boolean} */
  handleKey(event) {
    if (!this.#editor || !this.#enabled) return false;
    this.#repeats = event.repeat ? this.#repeats + 1 : 0;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in ARROWS && this.#editor.selected) {
      this.#push(...ARROWS[key], event.shiftKey);
      return true;
    }
    // First of all: with some layouts the digits' keys are those of other characters.
    const index = labelOfKey(this.#labels, event);
    if (index >= 0) {
      if (!event.repeat) this.#choose(index);
      return true;
    }
    const repeated = {
      "+": () => this.#zoom(1),
      "-": () => this.#zoom(-1),
      ",": () => this.#select(-1),
      ".": () => this.#select(1),
    };
    if (key in repeated) {
      repeated[key]();
      return true;
    }
    if (event.repeat) return ["Backspace", "Delete", "Enter"].includes(key);
    return this.#singleKey(key, event);
  }

  #singleKey(key, event) {
    const { selected } = this.#editor;
    const commands = {
      n: () => this.#answerNothing(),
      a: () => this.#accept(),
      c: () => this.#act("duplicate"),
      d: () => this.#drawByKey(),
      Delete: () => this.#act("remove"),
      Backspace: () => this.#act("remove"),
    };
    if (key in commands) {
      commands[key]();
      return true;
    }
    if (key === "Enter" && (!event.target.closest("button, a, summary") || this.contains(event.target))) {
      if (event.target === this.#nothing) return false;
      this.#answer();
      return true;
    }
    if (key === "Escape" && (this.#layer.isBusy || selected)) {
      if (this.#layer.isBusy) this.#layer.cancel();
      else this.#editor.select(null);
      return true;
    }
    if (key === "/" && this.#palette.hasFinder) {
      this.#palette.focusFinder();
      return true;
    }
    return false;
  }

  // Questions and answers -----------------------------------------------------------------------

  #open() {
    const { key, picture, earlier } = this.#question;
    const begun = this.drafts.read(key)?.boxes ?? (earlier?.boxes ?? []).map((box) => toUpright(box, picture));
    const known = begun.filter((box) => this.#labels.includes(box.label));
    const label = this.#labels.includes(this.#editor?.label) ? this.#editor.label : this.#labels[0];
    this.#editor = new BoxEditor(uprightSize(picture), known, label);
    this.#entries.clear();
    this.#tellLeftOut(begun.filter((box) => !known.includes(box)));
    this.#layer.show(this.#editor, this.#labels);
    this.#suggest();
    this.#editor.addEventListener("change", () => this.#changed());
    this.#render();
  }

  /** An answer has no boxes of labels that the project gave up. */
  #tellLeftOut(boxes) {
    const names = [...new Set(boxes.map(({ label }) => label))];
    const gone = names.length === 1 ? "is no label" : "are no labels";
    const left = `${plural(boxes.length, "box", "boxes")} ${boxes.length === 1 ? "is" : "are"} left out`;
    this.#leftOut.hidden = boxes.length === 0;
    this.#leftOut.textContent = boxes.length === 0 ? "" : `${left}: ${names.join(", ")} ${gone} any more.`;
  }

  #suggest() {
    const { suggestion, picture } = this.#question;
    const boxes = (suggestion?.boxes ?? []).filter(({ label }) => this.#labels.includes(label));
    this.#editor.suggest(boxes.map((box) => toUpright(box, picture)));
    if (boxes.length > 0) this.#say(`The model suggests ${plural(boxes.length, "box", "boxes")}. A takes them over.`);
    this.#render();
  }

  #changed() {
    this.drafts.write(this.#question.key, { boxes: this.#editor.boxes.map(({ id: _, ...box }) => box) });
    this.#render();
  }

  #answer() {
    if (!this.#enabled || !this.#editor) return;
    if (this.#editor.boxes.length === 0) {
      const accept = this.#editor.open.length > 0 ? ", take over what is suggested with A" : "";
      this.dispatchEvent(new CustomEvent("hint", { detail: `Draw a box${accept}, or answer Nothing to mark with N.` }));
      return;
    }
    this.#send();
  }

  /** Never at once with boxes on the image: those are cleared first, which Undo brings back. */
  #answerNothing() {
    if (!this.#enabled || !this.#editor) return;
    if (this.#editor.boxes.length === 0) {
      this.#send();
      return;
    }
    this.#editor.clear();
    this.#say("All boxes cleared. N again answers that there is nothing to mark.");
  }

  #send() {
    const { picture, suggestion, key } = this.#question;
    const boxes = this.#editor.boxes.map(({ id: _, ...box }) => toStored(box, picture));
    const answer = { boxes: boxes.map(({ label, left, top, width, height }) => ({ label, left, top, width, height })) };
    if (suggestion) {
      answer.suggestion = { model_version: suggestion.model_version, accepted: this.#editor.isAsSuggested };
    }
    this.drafts.forget(key);
    this.dispatchEvent(new CustomEvent("answer", { detail: answer }));
  }

  // What keys and tools do ----------------------------------------------------------------------

  #choose(index) {
    if (!this.#enabled || !this.#editor) return;
    const label = this.#labels[index];
    this.#editor.choose(label);
    this.#say(this.#editor.selected ? this.#describe(this.#editor.selected) : `${label} for the next box`);
  }

  #act(what) {
    if (!this.#enabled || !this.#editor?.selected) return;
    this.#editor[what]();
    this.#say(what === "remove" ? `Deleted, ${this.#countText()}` : this.#describe(this.#editor.selected));
  }

  #accept() {
    if (this.#editor.open.length === 0) return;
    this.#editor.accept();
    this.#say(`Taken over, ${this.#countText()}`);
  }

  #select(step) {
    this.#editor.selectNext(step);
    const { selected } = this.#editor;
    if (!selected) return;
    this.stage.reveal(selected);
    this.#say(this.#describe(selected));
  }

  #drawByKey() {
    const { left, top, width, height, scale } = this.stage.view;
    const { size } = this.#editor;
    const seen = {
      left: Math.max(0, -left / scale),
      top: Math.max(0, -top / scale),
      right: Math.min(size.width, (width - left) / scale),
      bottom: Math.min(size.height, (height - top) / scale),
    };
    const wide = (seen.right - seen.left) * DRAWN_PART;
    const high = (seen.bottom - seen.top) * DRAWN_PART;
    const corner = { left: (seen.left + seen.right - wide) / 2, top: (seen.top + seen.bottom - high) / 2 };
    this.#editor.add({ ...corner, width: wide, height: high });
    if (this.#editor.selected) this.#say(`New box: ${this.#describe(this.#editor.selected)}`);
  }

  #push(right, down, resize) {
    const pixel = Math.max(1, Math.round(1 / this.stage.view.scale));
    const step = pixel * (this.#repeats >= FAST_AFTER ? FAST : 1);
    if (resize) this.#editor.grow(right * step, down * step);
    else this.#editor.move(right * step, down * step);
    this.stage.reveal(this.#editor.selected);
    if (this.#repeats === 0) this.#say(this.#describe(this.#editor.selected));
  }

  #zoom(direction) {
    const { selected } = this.#editor;
    const middle = selected && { x: selected.left + selected.width / 2, y: selected.top + selected.height / 2 };
    this.stage.zoomStep(direction, middle);
  }

  #stepped(done, text) {
    if (done) this.#say(`${text}, ${this.#countText()}`);
    return Boolean(done);
  }

  // The panel -----------------------------------------------------------------------------------

  #render() {
    const { boxes, selected, label, open, canUndo, canRedo } = this.#editor;
    this.#palette.mark(new Set([label]));
    this.#palette.reveal(label);
    this.#count.textContent = this.#countText();
    this.#renderList(boxes, selected);
    const clears = boxes.length > 0;
    this.#nothing.replaceChildren(clears ? "Clear all" : "Nothing to mark", h("kbd", { "aria-hidden": "true" }, "N"));
    this.#submit.classList.toggle("primary", clears);
    this.#tools.undo.disabled = !canUndo;
    this.#tools.redo.disabled = !canRedo;
    this.#tools.duplicate.disabled = !selected;
    this.#tools.remove.disabled = !selected;
    this.#renderSuggested(open);
  }

  #renderList(boxes, selected) {
    const hadFocus = this.#list.contains(document.activeElement);
    const before = this.#entries;
    this.#entries = new Map(
      boxes.map((box, index) => {
        const known = before.get(box.id);
        const same = known?.box === box && known.index === index && known.isSelected === (box === selected);
        return [box.id, same ? known : this.#entry(box, index, box === selected)];
      }),
    );
    this.#list.replaceChildren(...[...this.#entries.values()].map(({ element }) => element));
    const current = this.#list.querySelector("[aria-current]");
    if (hadFocus) (current ?? this.#list).focus({ preventScroll: true });
    current?.scrollIntoView({ block: "nearest" });
  }

  #entry(box, index, isSelected) {
    const { colour, line } = markOf(Math.max(0, this.#labels.indexOf(box.label)));
    const swatch = h("span", { class: "swatch", "data-line": line });
    swatch.style.setProperty("--mark", colour);
    const button = h(
      "button",
      { class: "mark-entry", type: "button", "aria-current": isSelected ? "true" : null },
      h("span", { class: "mark-number" }, String(index + 1)),
      swatch,
      h("span", { class: "mark-name", dir: "auto" }, box.label),
      h("span", { class: "mark-size" }, `${box.width} × ${box.height}`),
    );
    const select = () => {
      if (this.#editor.selected?.id === box.id) return;
      this.#editor.select(box.id);
      this.stage.reveal(box);
    };
    button.addEventListener("click", select);
    button.addEventListener("focus", () => button.matches(":focus-visible") && select());
    return { box, index, isSelected, element: h("li", {}, button) };
  }

  #renderSuggested(open) {
    const { suggestion } = this.#question;
    this.#suggested.hidden = !suggestion;
    if (!suggestion) return;
    const found = suggestion.boxes.length;
    const left = open.length;
    const text = found === 0 ? "The model finds nothing to mark." : `The model suggests ${plural(found, "box", "boxes")}.`;
    const take = h("button", { class: "button small", type: "button" }, "Take over", h("kbd", { "aria-hidden": "true" }, "A"));
    take.addEventListener("click", () => this.#accept());
    this.#suggested.replaceChildren(h("p", {}, text), ...(left > 0 ? [take] : []));
  }

  #countText() {
    return plural(this.#editor.boxes.length, "box", "boxes");
  }

  #describe(box) {
    const number = this.#editor.boxes.indexOf(box) + 1;
    return `Box ${number}, ${box.label}, ${box.width} by ${box.height} at ${box.left}, ${box.top}`;
  }

  #say(text) {
    this.dispatchEvent(new CustomEvent("say", { detail: text }));
  }
}

function tool(iconName, text, key, act) {
  const button = h("button", { class: "tool", type: "button", title: `${text} (${key})` }, icon(iconName), h("span", {}, text));
  button.addEventListener("click", act);
  return button;
}

customElements.define("loupe-boxes", LoupeBoxes);
