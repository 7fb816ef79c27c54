/**
 * The boxes of one image while they are drawn: what is there, what is selected, which label the next one gets,
 * and the way back. Dispatches "change", and "live" while a box is under the pointer.
 */

import { copied, moved, resized, wholeBox } from "./boxes.js";
import { Edits } from "./edits.js";

const MOST_BOXES = 500;

export class BoxEditor extends EventTarget {
  #edits;
  #nextId = 1;

  /** What a model found, as boxes to accept or to leave. @type {import("./boxes.js").Box[]} */
  suggested = [];
  /** The label of the next box. */
  label;
  /** The box under the pointer as it would become; its id is null for a new one. */
  live = null;

  /**
   * @param {import("./boxes.js").Size} size of the upright image
   * @param {object[]} boxes to begin with
   * @param {string} label
   */
  constructor(size, boxes, label) {
    super();
    this.size = size;
    this.label = label;
    this.#edits = new Edits({ boxes: boxes.map((box) => this.#own(box)), selected: null });
  }

  /** @returns {import("./boxes.js").Box[]} in the order in which they were drawn */
  get boxes() {
    return this.#edits.now.boxes;
  }

  /** @returns {import("./boxes.js").Box | null} */
  get selected() {
    return this.boxes.find(({ id }) => id === this.#edits.now.selected) ?? null;
  }

  get canUndo() {
    return this.#edits.canUndo;
  }

  get canRedo() {
    return this.#edits.canRedo;
  }

  /** Shows what a model found, as whole pixels of the image. */
  suggest(boxes) {
    this.suggested = boxes.map((box) => wholeBox(box, this.size));
    this.#changed();
  }

  get isFull() {
    return this.boxes.length >= MOST_BOXES;
  }

  /** What the pointer is about to make, without a step of its own. */
  show(box) {
    this.live = box;
    this.dispatchEvent(new Event("live"));
  }

  select(id) {
    const box = this.boxes.find((each) => each.id === id);
    if (box) this.label = box.label;
    this.#edits.replace({ boxes: this.boxes, selected: box ? id : null });
    this.#changed();
  }

  /** Selects the next box (1) or the one before (-1), all round. */
  selectNext(step) {
    if (this.boxes.length === 0) return;
    const at = this.boxes.indexOf(this.selected);
    const from = at < 0 && step < 0 ? 0 : at;
    this.select(this.boxes.at((from + step) % this.boxes.length).id);
  }

  add(rectangle) {
    if (this.isFull) return;
    const box = this.#own({ label: this.label, ...rectangle });
    this.#step([...this.boxes, box], box.id);
  }

  /** Puts a box in the place of the one of its id. */
  change(box, kind = null) {
    const before = this.boxes.find(({ id }) => id === box.id);
    if (sameBox(before, box)) return;
    this.#step(this.boxes.map((each) => (each === before ? box : each)), box.id, kind);
  }

  move(right, down) {
    const { selected } = this;
    if (selected) this.change(moved(selected, right, down, this.size), `move ${selected.id}`);
  }

  /** Moves the right and bottom edge, never over those opposite. */
  grow(right, down) {
    const { selected } = this;
    if (!selected) return;
    const by = { right: Math.max(right, 1 - selected.width), down: Math.max(down, 1 - selected.height) };
    this.change(resized(selected, { x: 1, y: 1 }, by.right, by.down, this.size), `grow ${selected.id}`);
  }

  /** Takes a label for the next box, and gives it to the selected one. */
  choose(label) {
    this.label = label;
    if (this.selected) this.change({ ...this.selected, label });
    this.#changed();
  }

  duplicate() {
    if (!this.selected || this.isFull) return;
    const box = copied(this.selected, this.#nextId++, this.size);
    this.#step([...this.boxes, box], box.id);
  }

  remove() {
    const { selected } = this;
    if (selected) this.#step(this.boxes.filter((box) => box !== selected), null);
  }

  clear() {
    if (this.boxes.length > 0) this.#step([], null);
  }

  /** Takes over suggested boxes: those given, or all. */
  accept(suggested = this.suggested) {
    const taken = suggested.filter((box) => !this.boxes.some((other) => sameBox(box, other)));
    const room = MOST_BOXES - this.boxes.length;
    const own = taken.slice(0, Math.max(0, room)).map((box) => this.#own(box));
    if (own.length > 0) this.#step([...this.boxes, ...own], own.length === 1 ? own[0].id : null);
  }

  /** Suggested boxes that are not there. */
  get open() {
    return this.suggested.filter((box) => !this.boxes.some((other) => sameBox(box, other)));
  }

  /** Whether the boxes are exactly those suggested. */
  get isAsSuggested() {
    const { boxes, suggested } = this;
    return boxes.length === suggested.length && this.open.length === 0;
  }

  undo() {
    const undone = this.#edits.undo();
    if (undone) this.#changed();
    return undone;
  }

  redo() {
    const redone = this.#edits.redo();
    if (redone) this.#changed();
    return redone;
  }

  #own(box) {
    const { label, ...rectangle } = box;
    return { ...wholeBox(rectangle, this.size), id: this.#nextId++, label };
  }

  #step(boxes, selected, kind = null) {
    this.live = null;
    this.#edits.do({ boxes, selected }, kind);
    this.label = this.selected?.label ?? this.label;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function sameBox(one, other) {
  return ["label", "left", "top", "width", "height"].every((name) => one[name] === other[name]);
}
