/**
 * A grid of images of any number: only the tiles in view, and some rows around, are in the page. Arrow keys
 * move between tiles. Dispatches "open" with an image's place as detail, and "choose" while images are chosen.
 */

import { h, icon, plural, stateView } from "../core/dom.js";
import { percent, saidText } from "../core/said.js";
import { boxesOver } from "../core/box-drawing.js";

const LEAST_TILE_PX = 148;
const LEAST_TILE_ON_PHONE_PX = 104;
const PHONE_PX = 560;
const CAPTION_PX = 46;
const GAP_PX = 10;
const ROWS_AROUND = 2;

class LoupeGallery extends HTMLElement {
  /** Set before it is put into the page. @type {import("../core/thumbnails.js").Thumbnails} */
  thumbnails;
  /** @type {Set<string>} SHA-256 of the chosen images */
  chosen = new Set();
  /** What a tile has beside the label: (image) => string | null */
  note = () => null;

  #pages = null;
  #grid = h("ul", { class: "tiles", "aria-label": "Images" });
  #tiles = new Map();
  #columns = 1;
  #tile = LEAST_TILE_PX;
  #current = 0;
  #choosing = false;
  #drawing = 0;
  #leaving = null;
  #refocus = false;
  #resized = new ResizeObserver(() => this.#draw());

  connectedCallback() {
    this.replaceChildren(this.#grid);
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    addEventListener("scroll", () => this.#drawSoon(), { passive: true, signal });
    addEventListener("resize", () => this.#drawSoon(), { signal });
    this.#grid.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.#grid.addEventListener("click", (event) => this.#click(event), { signal });
    this.#grid.addEventListener("focusin", (event) => this.#focused(event), { signal });
    this.#resized.observe(this);
    this.#draw();
  }

  disconnectedCallback() {
    this.#leaving.abort();
    this.#resized.disconnect();
    cancelAnimationFrame(this.#drawing);
    this.#drawing = 0;
  }

  /** @param {import("../core/gallery-pages.js").GalleryPages} pages */
  set pages(pages) {
    this.#pages = pages;
    this.#current = 0;
    this.#forget();
    pages.addEventListener("change", () => pages === this.#pages && this.#update());
    pages.want(0, 1);
    this.#draw();
  }

  set choosing(choosing) {
    this.#choosing = choosing;
    this.#forget();
    this.#draw();
  }

  /** Puts the focus on the tile of an image, which is scrolled into view. */
  focusTile(index) {
    this.#current = index;
    const top = this.#grid.getBoundingClientRect().top + Math.floor(index / this.#columns) * this.#rowPx;
    const header = document.querySelector(".filters")?.getBoundingClientRect().bottom ?? 0;
    if (top < Math.max(0, header)) scrollBy(0, top - Math.max(0, header) - GAP_PX);
    else if (top + this.#rowPx > innerHeight) scrollBy(0, top + this.#rowPx - innerHeight + GAP_PX);
    this.#draw();
    this.#tiles.get(index)?.button.focus({ preventScroll: true });
  }

  get #rowPx() {
    return this.#tile + CAPTION_PX + GAP_PX;
  }

  #drawSoon() {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.#draw();
    });
  }

  /** Makes those tiles again whose image arrived or changed. */
  #update() {
    for (const [index, { node, button, image }] of this.#tiles) {
      if (this.#pages.at(index) === image) continue;
      this.#refocus ||= button === document.activeElement;
      node.remove();
      this.#tiles.delete(index);
    }
    this.#draw();
  }

  #forget() {
    const focused = this.#grid.contains(document.activeElement);
    for (const { node } of this.#tiles.values()) node.remove();
    this.#tiles.clear();
    this.#refocus ||= focused;
  }

  #draw() {
    if (!this.#pages || !this.isConnected) return;
    this.#measure();
    const { total } = this.#pages;
    if (total === 0) {
      this.#forget();
      this.#grid.style.height = "0px";
      return;
    }
    const known = total ?? this.#columns * 4;
    this.#grid.style.height = `${Math.ceil(known / this.#columns) * this.#rowPx}px`;
    const { top } = this.#grid.getBoundingClientRect();
    const first = Math.max(0, Math.floor(-top / this.#rowPx) - ROWS_AROUND) * this.#columns;
    const rows = Math.ceil(innerHeight / this.#rowPx) + 1 + 2 * ROWS_AROUND;
    const end = Math.min(known, first + rows * this.#columns);
    this.#pages.want(first, end);
    this.#keepCurrent(first, end, known);
  }

  #measure() {
    const width = this.clientWidth || innerWidth;
    const least = width < PHONE_PX ? LEAST_TILE_ON_PHONE_PX : LEAST_TILE_PX;
    const columns = Math.max(2, Math.floor((width + GAP_PX) / (least + GAP_PX)));
    const tile = Math.floor((width - (columns - 1) * GAP_PX) / columns);
    if (columns === this.#columns && tile === this.#tile) return;
    this.#columns = columns;
    this.#tile = tile;
    this.#grid.style.setProperty("--tile", `${tile}px`);
    this.#forget();
  }

  /** The tiles from one place to another, in their order, and none else but the one with the focus. */
  #keepCurrent(first, end, known) {
    const held = this.#grid.contains(document.activeElement) ? this.#current : -1;
    for (const [index, { node }] of this.#tiles) {
      if ((index < first || index >= end) && index !== held) {
        node.remove();
        this.#tiles.delete(index);
      }
    }
    if (this.#current >= known) this.#current = 0;
    let after = null;
    for (let index = end - 1; index >= first; index -= 1) {
      if (!this.#tiles.has(index)) {
        const tile = this.#make(index, known);
        this.#tiles.set(index, tile);
        this.#grid.insertBefore(tile.node, after);
      }
      after = this.#tiles.get(index).node;
    }
    for (const [index, { button }] of this.#tiles) button.tabIndex = index === this.#current ? 0 : -1;
    if (!this.#tiles.has(this.#current)) this.#tiles.get(first)?.button.setAttribute("tabindex", "0");
    if (this.#refocus && this.#tiles.has(this.#current)) {
      this.#refocus = false;
      this.#tiles.get(this.#current).button.focus({ preventScroll: true });
    }
  }

  #make(index, known) {
    const image = this.#pages.at(index);
    const place = { "aria-setsize": known, "aria-posinset": index + 1 };
    const button = h("button", { class: "tile", type: "button", "data-index": index });
    const node = h("li", place, button);
    const row = Math.floor(index / this.#columns);
    node.style.transform = `translate(${(index % this.#columns) * (this.#tile + GAP_PX)}px, ${row * this.#rowPx}px)`;
    if (!image) {
      button.classList.add("loading");
      button.setAttribute("aria-label", `Image ${index + 1}, loading`);
      return { node, button, image };
    }
    this.#fill(button, image);
    return { node, button, image };
  }

  #fill(button, image) {
    const thumbnail = this.thumbnails.element(image, `${image.name}:`);
    // Tiles are made where they are about to be seen: browsers need not look for that themselves.
    thumbnail.loading = "eager";
    const picture = h("span", { class: "tile-picture" }, thumbnail);
    const boxes = boxesOver(image, image.corrected?.boxes ?? image.boxes ?? [], this.labels ?? []);
    if (boxes) picture.append(boxes);
    const now = image.corrected ?? image;
    const note = this.note(image);
    const label = h("span", { class: "tile-label", dir: "auto" }, saidText(now));
    const facts = h("span", { class: "tile-note", dir: "auto" }, note ?? image.split);
    if (image.corrected) {
      button.classList.add("corrected");
      picture.append(h("span", { class: "tile-badge" }, "corrected"));
    } else if (image.champion?.disagreement > 0) {
      picture.append(h("span", { class: "tile-badge doubt" }, `champion ${percent(image.champion.disagreement)}`));
    }
    if (this.#choosing) {
      const chosen = this.chosen.has(image.sha256);
      button.setAttribute("aria-pressed", String(chosen));
      picture.append(h("span", { class: "tile-check", "aria-hidden": "true" }, chosen ? icon("check") : null));
    }
    button.append(picture, label, facts);
  }

  #click(event) {
    const button = event.target.closest(".tile");
    if (!button || button.classList.contains("loading")) return;
    this.#act(Number(button.dataset.index));
  }

  #act(index) {
    this.#current = index;
    const image = this.#pages.at(index);
    if (!this.#choosing) {
      this.dispatchEvent(new CustomEvent("open", { detail: index }));
      return;
    }
    if (!this.chosen.delete(image.sha256)) this.chosen.add(image.sha256);
    this.dispatchEvent(new Event("choose"));
    const { button } = this.#tiles.get(index);
    button.replaceChildren();
    this.#fill(button, image);
  }

  #focused(event) {
    const button = event.target.closest(".tile");
    if (button) this.#current = Number(button.dataset.index);
  }

  #key(event) {
    const { total } = this.#pages;
    const page = Math.max(1, Math.floor(innerHeight / this.#rowPx)) * this.#columns;
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.#columns,
      ArrowDown: this.#columns,
      PageUp: -page,
      PageDown: page,
    };
    let next = null;
    if (event.key in steps) next = this.#current + steps[event.key];
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = (total ?? 1) - 1;
    if (next === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.focusTile(Math.min(Math.max(0, next), (total ?? 1) - 1));
  }
}

/** What stands in place of the grid when there is no image. */
export function noImages(isFiltered, clear) {
  if (!isFiltered) return stateView("image", "No images", "This version has none.");
  const button = h("button", { class: "button primary", type: "button" }, "Clear all filters");
  button.addEventListener("click", clear);
  return stateView("glass", "No image is like that", "No image of this version fits all filters.", button);
}

export function countText(total) {
  return total === null ? "…" : plural(total, "image");
}

customElements.define("loupe-gallery", LoupeGallery);
