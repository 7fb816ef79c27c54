/**
 * Images loaded and decoded ahead, so that the next one is painted in the frame after an answer. Of large ones a
 * smaller copy is shown, where the server gives one, and the original once somebody zooms in.
 */

import { isExpected } from "./api.js";
import { uprightSize } from "./turning.js";

const DECODED_AHEAD = 3;
/** Below so many pixels an image is loaded as fast as a copy of it. */
const SMALL_PIXELS = 2_500_000;
/** A copy that is not made yet is not waited for longer than the original would take. */
const PATIENCE_MS = 4_000;

/** What identifies a task across jobs. */
export function taskKey({ job, task }) {
  return `${job}/${task}`;
}

/**
 * @typedef {object} LoadedImage
 * @property {HTMLImageElement} element
 * @property {import("./turning.js").Picture} picture the original's size as stored and how EXIF turns it
 * @property {boolean} turned whether the browser shows the element upright; a copy lies as it is stored
 * @property {boolean} isCopy
 * @property {boolean} [hasNoOriginal] only the copy is ever shown, however far somebody zooms in
 * @property {boolean} isDoubtful it is shown turned, and nobody knows how: boxes on it would be anywhere
 * @property {Promise<boolean>} ready settles with false when the image does not load
 * @property {boolean} loaded
 * @property {boolean} failed
 */

export class Images {
  #loaded = new Map();
  #previews;
  /** What was asked of the server, by task: a promise of an address, or of null where there is no copy. */
  #asked = new Map();

  /** Whether an image may only be shown where it is known how it is turned, as boxes need. */
  exact = false;

  /** @param {(images: string[]) => Promise<{previews: {sha256: string, url: string}[]}>} previews asks for copies */
  constructor(previews) {
    this.#previews = previews;
  }

  /** Keeps the images of these tasks, in this order, and lets go of all others. */
  keep(tasks) {
    const wanted = new Set(tasks.map(taskKey));
    for (const kept of [this.#loaded, this.#asked]) {
      for (const key of kept.keys()) {
        if (!wanted.has(key)) kept.delete(key);
      }
    }
    const large = tasks.filter((task) => isLarge(task.image) && !this.#loaded.has(taskKey(task)));
    // The one on screen by itself, so that it does not wait for the others.
    const first = large.filter((task) => task === tasks[0]);
    for (const group of [first, large.filter((task) => !first.includes(task))]) this.#ask(group);
    tasks.forEach((task, index) => {
      const image = this.of(task);
      // Decoding is a hint: an image that does not decode tells so when it is shown.
      if (index < DECODED_AHEAD) image.ready.then((loaded) => loaded && image.element.decode()).catch(() => undefined);
    });
  }

  /** @returns {LoadedImage} */
  of(task) {
    const key = taskKey(task);
    if (!this.#loaded.has(key)) {
      if (isLarge(task.image)) this.#ask([task]);
      this.#loaded.set(key, load(task, this.#asked.get(key) ?? null, this.exact));
    }
    return this.#loaded.get(key);
  }

  /** Loads an image again, as after a failure or with a fresh address. */
  reload(task) {
    this.#loaded.delete(taskKey(task));
    this.#asked.delete(taskKey(task));
    return this.of(task);
  }

  #ask(tasks) {
    const unasked = tasks.filter((task) => !this.#asked.has(taskKey(task)));
    if (unasked.length === 0) return;
    const found = this.#found(unasked.map(({ image }) => image.sha256));
    for (const task of unasked) {
      this.#asked.set(taskKey(task), found.then((urls) => urls.get(task.image.sha256) ?? null));
    }
  }

  /** Addresses by hash; none where the server fails or takes too long. */
  async #found(images) {
    const none = new Map();
    const late = new Promise((resolve) => setTimeout(() => resolve(none), PATIENCE_MS));
    const asked = this.#previews(images).then(
      ({ previews }) => new Map(previews.map(({ sha256, url }) => [sha256, url])),
      (error) => {
        if (!isExpected(error)) throw error;
        return none;
      },
    );
    return Promise.race([asked, late]);
  }
}

function isLarge({ width, height, sha256 }) {
  return Boolean(sha256) && width * height > SMALL_PIXELS;
}

/** The original of an image that is shown as a copy, decoded, or null when it does not load. */
export async function original(task) {
  const element = elementOf(task);
  element.decoding = "async";
  element.src = task.image.url;
  try {
    await element.decode();
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    return null;
  }
  return element;
}

/**
 * Only a copy, however small the image: it lies as the image is stored, and of the original that may be unknown.
 * @param {string | null} url where the copy lies, null where there is none
 * @returns {LoadedImage}
 */
export function copyOf(picture, url) {
  const element = elementOf({ image: picture });
  const image = { element, picture, turned: false, isCopy: true, isDoubtful: false, hasNoOriginal: true, loaded: false, failed: false };
  const settled = (loaded) => Object.assign(image, { loaded, failed: !loaded }).loaded;
  image.ready = url === null ? Promise.resolve(settled(false)) : loading(element).then(settled);
  if (url !== null) element.src = url;
  return image;
}

/** Settles with false when the element's image does not load. */
function loading(element) {
  return new Promise((resolve) => {
    element.addEventListener("load", () => resolve(true));
    element.addEventListener("error", () => resolve(false));
  });
}

/** How the browser shows a loaded original: whether upright, and whether nobody knows. */
export function turning({ naturalWidth, naturalHeight }, picture) {
  const is = (size) => size.width === naturalWidth && size.height === naturalHeight;
  const turned = is(uprightSize(picture));
  return { turned: turned || !is(picture), isDoubtful: !turned && !is(picture) };
}

function elementOf({ image }) {
  const element = new Image();
  element.draggable = false;
  element.alt = `Image ${image.name}`;
  return element;
}

function load(task, copy, exact) {
  const element = elementOf(task);
  element.decoding = "sync";
  const image = {
    task,
    element,
    picture: task.image,
    turned: true,
    isCopy: false,
    isDoubtful: false,
    ready: null,
    loaded: false,
    failed: false,
  };
  const begin = (url) => {
    image.isCopy = url !== null;
    element.src = url ?? task.image.url;
  };
  image.ready = new Promise((resolve) => {
    element.addEventListener("load", () => {
      Object.assign(image, image.isCopy ? { turned: false } : turning(element, image.picture));
      image.failed = exact && image.isDoubtful;
      image.loaded = !image.failed;
      resolve(image.loaded);
    });
    element.addEventListener("error", () => {
      if (image.isCopy) {
        begin(null);
        return;
      }
      image.failed = true;
      resolve(false);
    });
  });
  if (copy) copy.then(begin);
  else begin(null);
  return image;
}
