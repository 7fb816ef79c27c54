/**
 * What the project's model says of images that are in front of the worker, asked for ahead. Dispatches
 * "change" when one comes. No model, a model that sleeps, a call that fails: all of that is no suggestion.
 */

import { isExpected } from "./api.js";
import { taskKey } from "./images.js";

const AT_ONCE = 2;
/** Where there is no model now, it is asked again so much later. */
const AGAIN_MS = 60_000;

export class Suggestions extends EventTarget {
  #ask;
  #found = new Map();
  #tasks = [];
  #running = 0;
  #pausedUntil = 0;

  /** Whether the project wants suggestions. */
  enabled = false;

  /** @param {(task: object) => Promise<object>} ask */
  constructor(ask) {
    super();
    this.#ask = ask;
  }

  /** Asks for these tasks, in this order, and lets go of all others. */
  keep(tasks) {
    if (!this.enabled) return;
    const wanted = new Set(tasks.map(taskKey));
    for (const key of this.#found.keys()) {
      if (!wanted.has(key)) this.#found.delete(key);
    }
    this.#tasks = tasks;
    this.#next();
  }

  /** @returns {object | null} {model_version, label | labels | boxes} */
  of(task) {
    return (this.enabled && this.#found.get(taskKey(task))) || null;
  }

  #next() {
    while (this.#running < AT_ONCE && Date.now() >= this.#pausedUntil) {
      const task = this.#tasks.find((each) => !this.#found.has(taskKey(each)));
      if (!task) return;
      this.#found.set(taskKey(task), null);
      this.#running += 1;
      this.#fetch(task).finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }

  async #fetch(task) {
    try {
      const suggestion = await this.#ask(task);
      if (!this.#found.has(taskKey(task))) return;
      this.#found.set(taskKey(task), suggestion);
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.#pausedUntil = Date.now() + AGAIN_MS;
    }
  }
}
