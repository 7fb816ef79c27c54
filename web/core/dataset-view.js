/** What the dataset page shows, as its address says it: `#/projects/<project>/dataset?version=0003&label=...`. */

/** Filters, in the order of the page: query parameter to what the API calls it. */
const FILTERS = {
  label: "label",
  split: "split",
  job: "job",
  worker: "worker",
  from: "confidence_from",
  to: "confidence_to",
  by: "by",
  says: "says",
  disagreement: "disagreement",
  mistakes: "mistakes",
  since: "since",
  change: "change",
  order: "order",
};
/** Parameters that say how images are shown, and not which. */
const NOT_FILTERS = new Set(["order", "since"]);

export class DatasetView {
  #query;

  /** @param {URLSearchParams} query */
  constructor(query) {
    this.#query = new Map([...query].filter(([name]) => name in FILTERS || ["version", "show", "image"].includes(name)));
  }

  get(name) {
    return this.#query.get(name) ?? null;
  }

  /** Null takes a parameter away. */
  set(name, value) {
    if (value === null || value === "" && name !== "label") this.#query.delete(name);
    else this.#query.set(name, value);
  }

  clearFilters() {
    for (const name of Object.keys(FILTERS)) this.#query.delete(name);
  }

  /** How many filters are set. */
  get filters() {
    return Object.keys(FILTERS).filter((name) => this.#query.has(name) && !NOT_FILTERS.has(name)).length;
  }

  /** For the address. */
  toQuery() {
    return Object.fromEntries(this.#query);
  }

  /** For the API: which images. */
  toWanted() {
    const set = Object.entries(FILTERS).filter(([name]) => this.#query.has(name));
    return Object.fromEntries(set.map(([name, parameter]) => [parameter, this.#query.get(name)]));
  }
}
