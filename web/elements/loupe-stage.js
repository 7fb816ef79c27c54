/**
 * One image, as large as the space allows: small ones are scaled up, big ones fit. Click, wheel,
 * pinch and keys zoom into it. Dispatches "shown" once it is on screen and "failed" when it
 * does not load.
 */

import { h } from "../core/dom.js";

const MOST_ZOOM = 12;
const CLICK_ZOOM = 2.5;
const DRAG_PX = 4;
const PAN_STEP = 0.15;

class LoupeStage extends HTMLElement {
  #view = h("div", { class: "stage-view" });
  #image = null;
  #zoom = { scale: 1, x: 0, y: 0 };
  #pointers = new Map();
  #dragged = false;

  constructor() {
    super();
    this.#view.addEventListener("click", (event) => this.#click(event));
    this.#view.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.#view.addEventListener("pointerdown", (event) => this.#pointerDown(event));
    this.#view.addEventListener("pointermove", (event) => this.#pointerMove(event));
    for (const type of ["pointerup", "pointercancel"]) {
      this.#view.addEventListener(type, (event) => this.#pointers.delete(event.pointerId));
    }
  }

  connectedCallback() {
    this.replaceChildren(this.#view);
  }

  /** Whether the image asked for is the one that the worker sees. */
  get ready() {
    return this.#image !== null && this.#image.loaded;
  }

  /** @param {ReturnType<import("../core/images.js").Images["of"]>} image */
  show(image) {
    if (image === this.#image) return;
    this.#image = image;
    this.#apply({ scale: 1, x: 0, y: 0 });
    this.classList.remove("failed");
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

  togglePixels() {
    return this.classList.toggle("pixelated");
  }

  toggleZoom() {
    this.#zoomAt(0, 0, this.#zoom.scale > 1 ? 1 : CLICK_ZOOM);
  }

  /** @returns {boolean} whether there was something to move */
  pan(right, down) {
    if (this.#zoom.scale === 1) return false;
    const { clientWidth, clientHeight } = this.#view;
    const { scale, x, y } = this.#zoom;
    this.#apply({ scale, x: x - right * clientWidth * PAN_STEP, y: y - down * clientHeight * PAN_STEP });
    return true;
  }

  #place() {
    const { element } = this.#image;
    element.style.setProperty("--ratio", String(element.naturalWidth / element.naturalHeight));
    this.#view.replaceChildren(element);
    this.#apply(this.#zoom);
    this.dispatchEvent(new Event("shown"));
  }

  #fail() {
    this.classList.add("failed");
    this.dispatchEvent(new Event("failed"));
  }

  #click(event) {
    if (this.#dragged || !this.ready) return;
    const { x, y } = this.#fromCentre(event);
    this.#zoomAt(x, y, this.#zoom.scale > 1 ? 1 : CLICK_ZOOM);
  }

  #wheel(event) {
    if (!this.ready) return;
    event.preventDefault();
    const { x, y } = this.#fromCentre(event);
    this.#zoomAt(x, y, this.#zoom.scale * Math.exp(-event.deltaY / 300));
  }

  #pointerDown(event) {
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.#pointers.size === 1) this.#dragged = false;
  }

  #pointerMove(event) {
    const last = this.#pointers.get(event.pointerId);
    if (!last || !this.ready) return;
    const now = { x: event.clientX, y: event.clientY };
    const moved = { x: now.x - last.x, y: now.y - last.y };
    if (!this.#dragged && Math.hypot(moved.x, moved.y) < DRAG_PX) return;
    this.#dragged = true;
    this.#view.setPointerCapture(event.pointerId);
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, now);
    if (other) {
      const { x, y } = this.#fromCentre({ clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 });
      const spread = Math.hypot(now.x - other.x, now.y - other.y);
      this.#zoomAt(x, y, this.#zoom.scale * (spread / Math.hypot(last.x - other.x, last.y - other.y)));
    } else if (this.#zoom.scale > 1) {
      const { scale, x, y } = this.#zoom;
      this.#apply({ scale, x: x + moved.x, y: y + moved.y });
    }
  }

  #fromCentre({ clientX, clientY }) {
    const box = this.#view.getBoundingClientRect();
    return { x: clientX - box.left - box.width / 2, y: clientY - box.top - box.height / 2 };
  }

  /** Zooms so that the point (px from the view's centre) stays where it is. */
  #zoomAt(x, y, wanted) {
    const scale = Math.min(MOST_ZOOM, Math.max(1, wanted));
    const factor = scale / this.#zoom.scale;
    this.#apply({ scale, x: x - (x - this.#zoom.x) * factor, y: y - (y - this.#zoom.y) * factor });
  }

  #apply({ scale, x, y }) {
    const { clientWidth, clientHeight } = this.#view;
    const reach = (size) => (size * (scale - 1)) / 2;
    const within = (value, limit) => Math.max(-limit, Math.min(limit, value));
    this.#zoom = { scale, x: within(x, reach(clientWidth)), y: within(y, reach(clientHeight)) };
    this.classList.toggle("zoomed", scale > 1);
    const { element } = this.#image ?? {};
    if (element) element.style.transform = `translate(${this.#zoom.x}px, ${this.#zoom.y}px) scale(${scale})`;
  }
}

customElements.define("loupe-stage", LoupeStage);
