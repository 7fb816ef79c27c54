/** What was done on one image, step by step, to undo and redo it. States are values and never changed. */

const MERGED_MS = 1_000;

export class Edits {
  #past = [];
  #future = [];
  #last = { kind: null, at: 0 };

  constructor(state) {
    this.now = state;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /** @param {string | null} [kind] steps of one kind that follow at once are one step, as the moves by a held key */
  do(state, kind = null) {
    const at = Date.now();
    const goesOn = kind !== null && kind === this.#last.kind && at - this.#last.at < MERGED_MS && this.canUndo;
    if (!goesOn) this.#past.push(this.now);
    this.#last = { kind, at };
    this.#future = [];
    this.now = state;
  }

  /** Shows another state that is no step, as what is selected. */
  replace(state) {
    this.now = state;
  }

  /** @returns {boolean} whether there was something */
  undo() {
    return this.#go(this.#past, this.#future);
  }

  /** @returns {boolean} whether there was something */
  redo() {
    return this.#go(this.#future, this.#past);
  }

  #go(from, to) {
    if (from.length === 0) return false;
    to.push(this.now);
    this.now = from.pop();
    this.#last = { kind: null, at: 0 };
    return true;
  }
}
