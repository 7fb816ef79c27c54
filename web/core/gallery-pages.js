/**
 * The images of a dataset version that a filter finds, fetched page by page as they come into view.
 * Dispatches "change" when something arrived, and "failed" with the error as detail.
 */

import { isExpected } from "./api.js";

export const PAGE = 60;
const MOST_PAGES = 40;

export class GalleryPages extends EventTarget {
  #fetch;
  #pages = new Map();
  #asked = new Set();
  #total = null;

  /** @param {(offset: number, limit: number) => Promise<{total: number, images: object[]}>} fetch */
  constructor(fetch) {
    super();
    this.#fetch = fetch;
  }

  /** How many images there are; null while nobody knows. */
  get total() {
    return this.#total;
  }

  /** The image at a place, undefined until it is fetched. */
  at(index) {
    return this.#pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  /** Sees to it that the images from one place up to another are fetched. */
  want(from, to) {
    const last = Math.floor(Math.max(from, to - 1) / PAGE);
    for (let page = Math.floor(from / PAGE); page <= last; page += 1) {
      if (!this.#pages.has(page) && !this.#asked.has(page)) this.#load(page);
    }
  }

  /** Changes what is known of an image; whoever looks at it later sees the change. */
  replace(sha256, change) {
    for (const images of this.#pages.values()) {
      const at = images.findIndex((image) => image.sha256 === sha256);
      if (at >= 0) images[at] = { ...images[at], ...change };
    }
    this.dispatchEvent(new Event("change"));
  }

  async #load(page) {
    this.#asked.add(page);
    try {
      const { total, images } = await this.#fetch(page * PAGE, PAGE);
      this.#total = total;
      this.#pages.set(page, images);
      // What was fetched first is let go of, and fetched again when it is seen again.
      if (this.#pages.size > MOST_PAGES) this.#pages.delete(this.#pages.keys().next().value);
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    } finally {
      this.#asked.delete(page);
    }
  }
}
