/**
 * What the project's model says of images that are in front of the worker, asked for ahead. Dispatches
 * "change" when one comes. No model, a model that sleeps, a call that fails: all of that is no suggestion,
 * and is asked again later. What the model says nothing of is not.
 */

import { isExpected, Problem } from "./api.js";
import { taskKey } from "./images.js";

const AT_ONCE = 2;
/** Where there is no model now, or it failed, it is asked again so much later. */
const AGAIN_MS = 60_000;
/** Why no image has a suggestion now. */
const NO_MODEL = ["no-model-yet", "model-stopped"];

export class Suggestions extends EventTarget {
  #ask;
  #found = new Map();
  /** When tasks may be asked for again that failed by themselves. */
  #restsUntil = new Map();
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
    for (const known of [this.#found, this.#restsUntil]) {
      for (const key of known.keys()) {
        if (!wanted.has(key)) known.delete(key);
      }
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
      const task = this.#tasks.find((each) => this.#isToAsk(taskKey(each)));
      if (!task) return;
      this.#found.set(taskKey(task), null);
      this.#running += 1;
      this.#fetch(task).finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }

  #isToAsk(key) {
    return !this.#found.has(key) && Date.now() >= (this.#restsUntil.get(key) ?? 0);
  }

  async #fetch(task) {
    try {
      const suggestion = await this.#ask(task);
      if (!this.#found.has(taskKey(task))) return;
      this.#found.set(taskKey(task), suggestion);
      this.dispatchEvent(new Event("change"));
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.#fail(taskKey(task), error);
    }
  }

  #fail(key, error) {
    const again = Date.now() + AGAIN_MS;
    const isAnswer = error instanceof Problem && error.status < 500 && error.status !== 429;
    if (!(error instanceof Problem) || NO_MODEL.includes(error.slug)) this.#pausedUntil = again;
    else if (isAnswer) return;
    else this.#restsUntil.set(key, again);
    this.#found.delete(key);
  }
}
