/** Thumbnails, or previews: shown from where they should lie; those that are not there yet are asked for together. */

import { isExpected } from "./api.js";

const WAIT_MS = 60;
const MOST_AT_ONCE = 60;

export class Thumbnails {
  #api;
  #project;
  #size;
  #wanted = new Map();
  /** Where thumbnails lie that were made for this page. */
  #addresses = new Map();
  #timer = 0;

  /** @param {"thumbnail" | "preview"} size */
  constructor(api, project, size = "thumbnail") {
    this.#api = api;
    this.#project = project;
    this.#size = size;
  }

  /**
   * @param {{sha256: string, thumbnail: string | null}} image `thumbnail` is where it should lie
   * @param {string} alt
   * @returns {HTMLImageElement} with the class "missing" where there is none to be had
   */
  element({ sha256, thumbnail }, alt) {
    const element = Object.assign(document.createElement("img"), { alt, loading: "lazy", decoding: "async" });
    element.addEventListener("error", () => this.#want(sha256, element), { once: true });
    const address = this.#addresses.get(sha256) ?? thumbnail;
    if (address) element.src = address;
    else this.#want(sha256, element);
    return element;
  }

  /** Where the image's copy lies, made if need be; null where there is none to be had. */
  async address(sha256) {
    if (!this.#addresses.has(sha256)) await this.#make([sha256]);
    return this.#addresses.get(sha256) ?? null;
  }

  #want(sha256, element) {
    const elements = this.#wanted.get(sha256) ?? [];
    this.#wanted.set(sha256, [...elements, element]);
    clearTimeout(this.#timer);
    if (this.#wanted.size >= MOST_AT_ONCE) this.#ask();
    else this.#timer = setTimeout(() => this.#ask(), WAIT_MS);
  }

  async #ask() {
    const wanted = this.#wanted;
    this.#wanted = new Map();
    await this.#make([...wanted.keys()]);
    for (const [sha256, elements] of wanted) {
      for (const element of elements) {
        if (this.#addresses.has(sha256)) element.src = this.#addresses.get(sha256);
        else element.classList.add("missing");
      }
    }
  }

  async #make(images) {
    try {
      const { previews } = await this.#api.previews(this.#project, this.#size, images);
      for (const { sha256, url } of previews) this.#addresses.set(sha256, url);
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
  }
}
