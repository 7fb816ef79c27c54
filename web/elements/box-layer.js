/**
 * Boxes painted over the image on the stage, and the pointer that draws, moves and resizes them. A canvas: it
 * paints hundreds of boxes in a frame, and its lines are as sharp at every zoom. Keyboards and screen
 * readers have the list of boxes beside it.
 */

import { boxAt, boxOfCorners, holds, moved, resized } from "../core/boxes.js";
import { h } from "../core/dom.js";
import { markOf } from "../core/labels.js";

const DRAG_PX = 4;
const HANDLE_PX = 9;
const REACH_PX = { mouse: 9, pen: 12, touch: 24 };
/** Below this side on screen a box has handles at its corners only. */
const CORNERS_ONLY_PX = 36;
const TAG_PX = 18;
const DARK = "rgb(12 14 18 / 85%)";
const LIGHT = "rgb(255 255 255 / 90%)";
const GRIPS = [
  { x: -1, y: -1, cursor: "nwse-resize" },
  { x: 1, y: 1, cursor: "nwse-resize" },
  { x: 1, y: -1, cursor: "nesw-resize" },
  { x: -1, y: 1, cursor: "nesw-resize" },
  { x: 0, y: -1, cursor: "ns-resize" },
  { x: 0, y: 1, cursor: "ns-resize" },
  { x: -1, y: 0, cursor: "ew-resize" },
  { x: 1, y: 0, cursor: "ew-resize" },
];

export class BoxLayer {
  node = h("canvas", { "aria-hidden": "true" });

  #stage;
  #labels = [];
  #editor = null;
  #enabled = true;
  #pointer = null;
  /** What the pointer does: {kind: "draw" | "move" | "resize", from, box, grip, dragged, seen} */
  #action = null;
  #listeners = null;

  constructor(stage) {
    this.#stage = stage;
  }

  /** @param {import("../core/box-editor.js").BoxEditor} editor @param {string[]} labels */
  show(editor, labels) {
    this.#listeners?.abort();
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    this.#editor = editor;
    this.#labels = labels;
    this.#action = null;
    for (const type of ["change", "live"]) editor.addEventListener(type, () => this.#stage.repaint(), { signal });
    this.#stage.repaint();
  }

  set enabled(enabled) {
    this.#enabled = enabled;
  }

  /** Whether a box is being drawn, moved or resized just now. */
  get isBusy() {
    return this.#action !== null;
  }

  // The pointer ---------------------------------------------------------------------------------

  hover(point, event) {
    this.#pointer = point && event.pointerType === "mouse" ? point : null;
    this.#stage.cursor = this.#cursorAt(point, event);
    this.#stage.repaint();
  }

  press(point, event) {
    if (!this.#editor || !this.#enabled) return;
    this.#pointer = event.pointerType === "mouse" ? point : null;
    const { selected } = this.#editor;
    const grip = event.altKey ? null : this.#gripAt(point, event);
    const from = { x: event.clientX, y: event.clientY, point };
    if (grip) this.#action = { kind: "resize", from, box: selected, grip };
    else if (selected && !event.altKey && holds(selected, point)) this.#action = { kind: "move", from, box: selected };
    else this.#action = { kind: "draw", from };
  }

  drag(point, event) {
    this.#pointer = event.pointerType === "mouse" ? point : null;
    const action = this.#action;
    if (!action) return;
    const { from } = action;
    action.dragged ||= Math.hypot(event.clientX - from.x, event.clientY - from.y) >= DRAG_PX;
    if (action.dragged) this.#editor.show(this.#result(point));
    else this.#stage.repaint();
  }

  release(point, event) {
    const action = this.#action;
    this.#action = null;
    if (!action) return;
    if (!action.dragged) {
      this.#click(point, event);
      return;
    }
    this.#action = action;
    const box = this.#result(point);
    this.#action = null;
    this.#editor.show(null);
    if (action.kind === "draw") this.#editor.add(box);
    else this.#editor.change(box);
  }

  cancel() {
    this.#action = null;
    this.#editor?.show(null);
  }

  #result(point) {
    const { kind, from, box, grip } = this.#action;
    const { size } = this.#editor;
    const right = point.x - from.point.x;
    const down = point.y - from.point.y;
    if (kind === "move") return moved(box, right, down, size);
    if (kind === "resize") return resized(box, grip, right, down, size);
    return { id: null, label: this.#editor.label, ...boxOfCorners(from.point, point, size) };
  }

  #click(point) {
    const box = boxAt(this.#editor.boxes, point);
    if (box) {
      this.#editor.select(box.id);
      return;
    }
    const suggested = boxAt(this.#editor.open, point);
    if (suggested) this.#editor.accept([suggested]);
    else this.#editor.select(null);
  }

  #gripAt(point, event) {
    const { selected } = this.#editor;
    if (!selected) return null;
    const { scale } = this.#stage.view;
    const reach = REACH_PX[event.pointerType] ?? REACH_PX.mouse;
    const near = this.#grips(selected, scale)
      .map((grip) => ({ grip, away: this.#away(selected, grip, point) * scale }))
      .sort((one, other) => one.away - other.away)[0];
    if (near.away > reach) return null;
    // The middle of a small box is for moving it, however near its handles are.
    const middle = { x: selected.left + selected.width / 2, y: selected.top + selected.height / 2 };
    const inMiddle =
      Math.abs(point.x - middle.x) < selected.width / 6 && Math.abs(point.y - middle.y) < selected.height / 6;
    return inMiddle ? null : near.grip;
  }

  #grips(box, scale) {
    const small = Math.min(box.width, box.height) * scale < CORNERS_ONLY_PX;
    return small ? GRIPS.filter(({ x, y }) => x && y) : GRIPS;
  }

  #away(box, grip, point) {
    const at = placeOf(box, grip);
    return Math.hypot(point.x - at.x, point.y - at.y);
  }

  #cursorAt(point, event) {
    if (!point || !this.#editor) return "crosshair";
    const grip = event.altKey ? null : this.#gripAt(point, event);
    if (grip) return grip.cursor;
    const { selected } = this.#editor;
    return selected && !event.altKey && holds(selected, point) ? "move" : "crosshair";
  }

  // Painting ------------------------------------------------------------------------------------

  paint(view) {
    const { node } = this;
    const dense = devicePixelRatio || 1;
    const width = Math.round(view.width * dense);
    const height = Math.round(view.height * dense);
    if (node.width !== width || node.height !== height) Object.assign(node, { width, height });
    const context = node.getContext("2d");
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    context.font = `600 12px ${getComputedStyle(this.#stage).fontFamily}`;
    context.textBaseline = "middle";
    if (!this.#editor) return;
    const { boxes, selected, live, open } = this.#editor;
    const shown = selected && live?.id === selected.id ? live : selected;
    for (const box of open) this.#paintSuggested(context, view, box);
    for (const box of boxes) if (box !== selected) this.#paintBox(context, view, box, false);
    if (shown) this.#paintBox(context, view, shown, true);
    if (live && live.id === null) this.#paintBox(context, view, live, true);
    if (shown && !this.#action) this.#paintGrips(context, view, shown);
    if (this.#pointer) this.#paintCrosshair(context, view);
  }

  #paintBox(context, view, box, strong) {
    const place = placed(box, view);
    if (!inView(place, view)) return;
    const mark = this.#markOf(box);
    if (strong) {
      context.globalAlpha = 0.16;
      context.fillStyle = mark.colour;
      context.fillRect(place.x, place.y, place.width, place.height);
      context.globalAlpha = 1;
    }
    outline(context, place, DARK, strong ? 5 : 4, []);
    outline(context, place, mark.colour, strong ? 3 : 2, dashesOf(mark.line));
    if (mark.line === "double") outline(context, inset(place, 4), mark.colour, 1.5, []);
    this.#paintTag(context, view, place, box.label, mark.colour);
  }

  #paintSuggested(context, view, box) {
    const place = placed(box, view);
    if (!inView(place, view)) return;
    outline(context, place, DARK, 3, []);
    outline(context, place, LIGHT, 1.5, [5, 5]);
    this.#paintTag(context, view, place, `${box.label}?`, LIGHT);
  }

  #paintTag(context, view, place, text, colour) {
    if (place.width < 24 && place.height < 24) return;
    const wide = context.measureText(text).width + 12;
    const room = Math.max(place.width + 4, 64);
    const width = Math.min(wide, room);
    const x = Math.max(0, place.x - 2);
    const y = place.y - TAG_PX >= 0 ? place.y - TAG_PX : Math.max(0, place.y);
    if (x > view.width || y > view.height) return;
    context.save();
    context.beginPath();
    context.rect(x, y, width, TAG_PX);
    context.clip();
    context.fillStyle = colour;
    context.fillRect(x, y, width, TAG_PX);
    context.fillStyle = isDark(colour) ? "#fff" : "#101318";
    context.fillText(text, x + 6, y + TAG_PX / 2 + 0.5);
    context.restore();
  }

  #paintGrips(context, view, box) {
    for (const grip of this.#grips(box, view.scale)) {
      const at = placeOf(box, grip);
      const x = view.left + at.x * view.scale - HANDLE_PX / 2;
      const y = view.top + at.y * view.scale - HANDLE_PX / 2;
      context.fillStyle = DARK;
      context.fillRect(x - 1.5, y - 1.5, HANDLE_PX + 3, HANDLE_PX + 3);
      context.fillStyle = "#fff";
      context.fillRect(x, y, HANDLE_PX, HANDLE_PX);
    }
  }

  #paintCrosshair(context, view) {
    const x = Math.round(view.left + this.#pointer.x * view.scale) + 0.5;
    const y = Math.round(view.top + this.#pointer.y * view.scale) + 0.5;
    const { left, top, scale, size } = view;
    if (Math.min(x - left, y - top, left + size.width * scale - x, top + size.height * scale - y) < 0) return;
    for (const [colour, width] of [[DARK, 2], [LIGHT, 1]]) {
      context.globalAlpha = 0.6;
      context.setLineDash([]);
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(x, Math.max(0, top));
      context.lineTo(x, Math.min(view.height, top + size.height * scale));
      context.moveTo(Math.max(0, left), y);
      context.lineTo(Math.min(view.width, left + size.width * scale), y);
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  #markOf(box) {
    return markOf(Math.max(0, this.#labels.indexOf(box.label)));
  }
}

function placeOf(box, { x, y }) {
  return { x: box.left + (box.width * (x + 1)) / 2, y: box.top + (box.height * (y + 1)) / 2 };
}

function placed(box, view) {
  return {
    x: view.left + box.left * view.scale,
    y: view.top + box.top * view.scale,
    width: box.width * view.scale,
    height: box.height * view.scale,
  };
}

function inView({ x, y, width, height }, view) {
  return x + width >= 0 && y + height >= 0 && x <= view.width && y <= view.height;
}

function inset({ x, y, width, height }, by) {
  return { x: x + by, y: y + by, width: Math.max(0, width - 2 * by), height: Math.max(0, height - 2 * by) };
}

function outline(context, { x, y, width, height }, colour, line, dashes) {
  context.strokeStyle = colour;
  context.lineWidth = line;
  context.setLineDash(dashes);
  context.strokeRect(x, y, width, height);
}

function dashesOf(line) {
  return { dashed: [12, 6], dotted: [3, 4] }[line] ?? [];
}

function isDark(colour) {
  return colour === "#0072b2";
}
