/**
 * One image, upright and as large as the space allows: small ones are scaled up, big ones fit. Click, wheel,
 * pinch and keys zoom into it. Dispatches "shown" once it is on screen, and "failed" when it does not load.
 *
 * A layer draws over the image and gets the first pointer: it has `node`, paint(view), and press, drag,
 * release, hover(point, event) and cancel(), with points in pixels of the upright image. With a layer,
 * two fingers, the wheel, the middle button and dragging with the space bar held move the image.
 */

import { h } from "../core/dom.js";
import { original, turning } from "../core/images.js";
import { turnOf, uprightSize } from "../core/turning.js";

const MOST_ZOOM = 12;
/** However large the image, its pixels can be seen one by one: so many of the screen's for one of its. */
const MOST_SCALE = 12;
const CLICK_ZOOM = 2.5;
const KEY_ZOOM = 1.5;
const DRAG_PX = 4;
const PAN_STEP = 0.15;
const SETTLED_MS = 180;
const UNTURNED = [1, 0, 0, 1, 0, 0];

class LoupeStage extends HTMLElement {
  #view = h("div", { class: "stage-view" });
  #image = null;
  #element = null;
  #zoom = { scale: 1, x: 0, y: 0 };
  #pointers = new Map();
  #dragged = false;
  #layer = null;
  /** The pointer that the layer has. */
  #drawing = null;
  #space = false;
  #painting = 0;
  #settling = 0;
  #resized = new ResizeObserver(() => this.#apply(this.#zoom));
  #listeners = null;

  constructor() {
    super();
    this.#view.addEventListener("click", (event) => this.#click(event));
    this.#view.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.#view.addEventListener("touchstart", (event) => this.#touchStart(event), { passive: false });
    this.#view.addEventListener("pointerdown", (event) => this.#pointerDown(event));
    this.#view.addEventListener("pointermove", (event) => this.#pointerMove(event));
    this.#view.addEventListener("pointerleave", (event) => this.#layer?.hover(null, event));
    this.#view.addEventListener("pointerup", (event) => this.#pointerUp(event));
    this.#view.addEventListener("pointercancel", (event) => this.#pointerCancel(event));
  }

  connectedCallback() {
    this.replaceChildren(this.#view);
    this.#resized.observe(this.#view);
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    document.addEventListener("keydown", (event) => this.#spaceKey(event, true), { signal });
    document.addEventListener("keyup", (event) => this.#spaceKey(event, false), { signal });
    addEventListener("blur", () => this.#holdSpace(false), { signal });
  }

  disconnectedCallback() {
    this.#resized.disconnect();
    this.#listeners.abort();
  }

  /** Whether the image asked for is the one that the worker sees. */
  get ready() {
    return this.#image !== null && this.#image.loaded;
  }

  /** What draws over the image, or null. */
  set layer(layer) {
    this.#layer?.node.remove();
    this.#layer = layer;
    this.classList.toggle("drawn-on", layer !== null);
    if (layer && this.#element?.isConnected) this.#view.append(layer.node);
  }

  set cursor(cursor) {
    this.#view.style.cursor = cursor;
  }

  /**
   * Where the image is, in px of the view: its pixel (x, y) is at (left + x * scale, top + y * scale).
   * @returns {{width: number, height: number, scale: number, left: number, top: number,
   *   size: {width: number, height: number}}} `size` is the upright image's
   */
  get view() {
    const { clientWidth: width, clientHeight: height } = this.#view;
    const size = this.#size();
    const scale = this.#fit() * this.#zoom.scale;
    const left = (width - size.width * scale) / 2 + this.#zoom.x;
    const top = (height - size.height * scale) / 2 + this.#zoom.y;
    return { width, height, scale, left, top, size };
  }

  /** @param {import("../core/images.js").LoadedImage} image */
  show(image) {
    if (image === this.#image) return;
    this.#letGo();
    this.#image = image;
    this.#element = null;
    this.#zoom = { scale: 1, x: 0, y: 0 };
    this.classList.remove("failed", "zoomed");
    if (image.loaded) {
      this.#place();
      return;
    }
    this.#view.replaceChildren(h("span", { class: "spinner", role: "img", "aria-label": "Loading the image" }));
    image.ready.then((loaded) => {
      if (this.#image !== image) return;
      if (loaded) this.#place();
      else this.#fail();
    });
  }

  /** The view in place of an image that does not load. */
  replaceWith(...content) {
    this.#view.replaceChildren(...content);
  }

  /** Paints the layer with the next frame. */
  repaint() {
    if (this.#painting || !this.#layer) return;
    this.#painting = requestAnimationFrame(() => {
      this.#painting = 0;
      if (this.ready && this.#layer) this.#layer.paint(this.view);
    });
  }

  togglePixels() {
    return this.classList.toggle("pixelated");
  }

  toggleZoom() {
    if (this.ready) this.#zoomAt(0, 0, this.#zoom.scale > 1 ? 1 : CLICK_ZOOM);
  }

  /** One step in (1) or out (-1), about a point of the image or the view's centre. */
  zoomStep(direction, point = null) {
    if (!this.ready) return;
    const { left, top, width, height, scale } = this.view;
    const x = point ? left + point.x * scale - width / 2 : 0;
    const y = point ? top + point.y * scale - height / 2 : 0;
    this.#zoomAt(x, y, this.#zoom.scale * KEY_ZOOM ** direction);
  }

  /** @returns {boolean} whether there was something to move */
  pan(right, down) {
    if (this.#zoom.scale === 1) return false;
    const { clientWidth, clientHeight } = this.#view;
    const { scale, x, y } = this.#zoom;
    this.#apply({ scale, x: x - right * clientWidth * PAN_STEP, y: y - down * clientHeight * PAN_STEP });
    return true;
  }

  /** Moves the image so that a rectangle of it is in view, where it is not. */
  reveal(box) {
    const { left, top, width, height, scale } = this.view;
    const away = (from, length, room) => Math.max(0, -from) || Math.min(0, room - from - length);
    const right = away(left + box.left * scale, Math.min(box.width * scale, width), width);
    const down = away(top + box.top * scale, Math.min(box.height * scale, height), height);
    if (right || down) this.#apply({ ...this.#zoom, x: this.#zoom.x + right, y: this.#zoom.y + down });
  }

  #place() {
    this.#element = this.#image.element;
    this.#view.replaceChildren(this.#element, ...(this.#layer ? [this.#layer.node] : []));
    this.#apply(this.#zoom);
    this.dispatchEvent(new Event("shown"));
  }

  #fail() {
    this.classList.add("failed");
    this.dispatchEvent(new Event("failed"));
  }

  /** Of the image as it is shown. */
  #size() {
    const { element, isDoubtful, picture } = this.#image;
    return isDoubtful ? { width: element.naturalWidth, height: element.naturalHeight } : uprightSize(picture);
  }

  #fit() {
    const size = this.#size();
    return Math.min(this.#view.clientWidth / size.width, this.#view.clientHeight / size.height);
  }

  #click(event) {
    if (this.#dragged || !this.ready || this.#layer) return;
    const { x, y } = this.#fromCentre(event);
    this.#zoomAt(x, y, this.#zoom.scale > 1 ? 1 : CLICK_ZOOM);
  }

  #wheel(event) {
    if (!this.ready) return;
    event.preventDefault();
    const { x, y } = this.#fromCentre(event);
    // Trackpads tell a pinch as a turn of the wheel with Ctrl, in small steps.
    const step = event.ctrlKey ? 100 : event.deltaMode === 1 ? 20 : 300;
    this.#zoomAt(x, y, this.#zoom.scale * Math.exp(-event.deltaY / step));
  }

  /** A finger lifted while it draws would be a fling, and browsers take the next tap for its end. */
  #touchStart(event) {
    if (this.#layer && this.ready) event.preventDefault();
  }

  #pointerDown(event) {
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.#pointers.size === 1) this.#dragged = false;
    if (!this.ready) return;
    if (event.button === 1) event.preventDefault();
    if (this.#drawing !== null) {
      // A second finger: both move the image, and what the first began is undone.
      this.#letGo();
    } else if (this.#layer && this.#pointers.size === 1 && event.button === 0 && !this.#space) {
      this.#drawing = event.pointerId;
      this.#view.setPointerCapture(event.pointerId);
      this.#layer.press(this.#imagePoint(event), event);
    }
  }

  #pointerMove(event) {
    const last = this.#pointers.get(event.pointerId);
    if (!this.ready) return;
    if (!last) {
      this.#layer?.hover(this.#imagePoint(event), event);
      return;
    }
    if (this.#drawing === event.pointerId) {
      this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      this.#layer.drag(this.#imagePoint(event), event);
      return;
    }
    const now = { x: event.clientX, y: event.clientY };
    const moved = { x: now.x - last.x, y: now.y - last.y };
    if (!this.#dragged && Math.hypot(moved.x, moved.y) < DRAG_PX) return;
    this.#dragged = true;
    this.#view.setPointerCapture(event.pointerId);
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    if (other) this.#pinch(last, now, other);
    else if (this.#zoom.scale > 1) this.#move(moved);
  }

  #pinch(last, now, other) {
    const middle = { clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 };
    const { x, y } = this.#fromCentre(middle);
    const spread = Math.hypot(now.x - other.x, now.y - other.y);
    this.#zoomAt(x, y, this.#zoom.scale * (spread / Math.hypot(last.x - other.x, last.y - other.y)));
    this.#move({ x: (now.x - last.x) / 2, y: (now.y - last.y) / 2 });
  }

  #move({ x, y }) {
    this.#apply({ ...this.#zoom, x: this.#zoom.x + x, y: this.#zoom.y + y });
  }

  #pointerUp(event) {
    this.#pointers.delete(event.pointerId);
    if (this.#drawing !== event.pointerId) return;
    this.#drawing = null;
    this.#layer.release(this.#imagePoint(event), event);
  }

  #pointerCancel(event) {
    this.#pointers.delete(event.pointerId);
    if (this.#drawing === event.pointerId) this.#letGo();
  }

  #letGo() {
    if (this.#drawing === null) return;
    this.#drawing = null;
    this.#layer.cancel();
  }

  #spaceKey(event, down) {
    if (event.key !== " " || !this.#layer || event.target.closest?.("button, input, textarea, a, summary, dialog")) return;
    event.preventDefault();
    this.#holdSpace(down);
  }

  #holdSpace(held) {
    this.#space = held;
    this.classList.toggle("grabbing", held);
  }

  #fromCentre({ clientX, clientY }) {
    const box = this.#view.getBoundingClientRect();
    return { x: clientX - box.left - box.width / 2, y: clientY - box.top - box.height / 2 };
  }

  #imagePoint({ clientX, clientY }) {
    const box = this.#view.getBoundingClientRect();
    const { left, top, scale } = this.view;
    return { x: (clientX - box.left - left) / scale, y: (clientY - box.top - top) / scale };
  }

  /** Zooms so that the point (px from the view's centre) stays where it is. */
  #zoomAt(x, y, wanted) {
    const most = Math.max(MOST_ZOOM, MOST_SCALE / this.#fit());
    const scale = Math.min(most, Math.max(1, wanted));
    const factor = scale / this.#zoom.scale;
    this.#apply({ scale, x: x - (x - this.#zoom.x) * factor, y: y - (y - this.#zoom.y) * factor });
  }

  #apply({ scale, x, y }) {
    if (!this.#element) return;
    const { clientWidth, clientHeight } = this.#view;
    const { picture, turned } = this.#image;
    const size = this.#size();
    const fit = this.#fit();
    const within = (value, length, room) => {
      const limit = Math.max(0, (length * fit * scale - room) / 2);
      return Math.max(-limit, Math.min(limit, value));
    };
    this.#zoom = { scale, x: within(x, size.width, clientWidth), y: within(y, size.height, clientHeight) };
    this.classList.toggle("zoomed", scale > 1);
    // As large as it is without zoom, whatever the resolution of what is shown in its place.
    const laidOut = turned ? size : picture;
    const [a, b, c, d, e, f] = turned ? UNTURNED : turnOf(picture);
    const { left, top } = this.view;
    const { style } = this.#element;
    style.width = `${laidOut.width * fit}px`;
    style.height = `${laidOut.height * fit}px`;
    const parts = [a, b, c, d].map((part) => part * scale);
    style.transform = `matrix(${parts.join()}, ${e * fit * scale + left}, ${f * fit * scale + top})`;
    this.#hurry(style);
    this.#sharpen();
    this.repaint();
  }

  /** In place of a copy that has not enough pixels for what is in view, the original. */
  async #sharpen() {
    const image = this.#image;
    const wanted = this.view.scale * devicePixelRatio * image.picture.width;
    if (!image.isCopy || image.hasNoOriginal || this.#zoom.scale === 1 || wanted <= image.element.naturalWidth) return;
    image.isCopy = false;
    const element = await original(image.task);
    if (element === null) {
      Object.assign(image, { isCopy: true, hasNoOriginal: true });
      return;
    }
    Object.assign(image, { element }, turning(element, image.picture));
    if (this.#image !== image) return;
    this.#element.replaceWith(element);
    this.#element = element;
    this.#apply(this.#zoom);
  }

  /** While it moves, the browser scales what it has painted; at rest it paints every pixel anew. */
  #hurry(style) {
    clearTimeout(this.#settling);
    style.willChange = this.#zoom.scale > 1 ? "transform" : "auto";
    this.#settling = setTimeout(() => {
      style.willChange = "auto";
    }, SETTLED_MS);
  }
}

customElements.define("loupe-stage", LoupeStage);
