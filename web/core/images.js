/** Images loaded and decoded ahead, so that the next one is painted in the frame after an answer. */

const DECODED_AHEAD = 3;

/** What identifies a task across jobs. */
export function taskKey({ job, task }) {
  return `${job}/${task}`;
}

export class Images {
  #loaded = new Map();

  /** Keeps the images of these tasks, in this order, and lets go of all others. */
  keep(tasks) {
    const wanted = new Set(tasks.map(taskKey));
    for (const key of this.#loaded.keys()) {
      if (!wanted.has(key)) this.#loaded.delete(key);
    }
    tasks.forEach((task, index) => {
      const { element, failed } = this.of(task);
      // Decoding is a hint: an image that does not decode tells so when it is shown.
      if (index < DECODED_AHEAD && !failed) element.decode().catch(() => undefined);
    });
  }

  /**
   * @returns {{element: HTMLImageElement, picture: import("./turning.js").Picture, turned: boolean,
   *   ready: Promise<boolean>, loaded: boolean, failed: boolean}}
   *   `turned`: the browser shows it upright; `ready` settles with false when the image does not load.
   */
  of(task) {
    const key = taskKey(task);
    if (!this.#loaded.has(key)) this.#loaded.set(key, load(task.image));
    return this.#loaded.get(key);
  }

  /** Loads an image again, as after a failure or with a fresh address. */
  reload(task) {
    this.#loaded.delete(taskKey(task));
    return this.of(task);
  }
}

function load({ url, name, ...picture }) {
  const element = new Image();
  element.decoding = "sync";
  element.draggable = false;
  element.alt = `Image ${name}`;
  const image = { element, picture, turned: true, ready: null, loaded: false, failed: false };
  image.ready = new Promise((resolve) => {
    element.addEventListener("load", () => {
      image.loaded = true;
      resolve(true);
    });
    element.addEventListener("error", () => {
      image.failed = true;
      resolve(false);
    });
  });
  element.src = url;
  return image;
}
