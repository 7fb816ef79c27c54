/**
 * Answers on their way to the server. An answer is in localStorage before the next image is shown,
 * and leaves it only when the server has taken or refused it, so a reload, a closed tab, a lost
 * network or an ended session costs nothing.
 *
 * One key an answer: a correction replaces what is not sent yet, and two tabs never overwrite
 * each other's lists.
 */

import { BASE, Problem } from "./api.js";
import { SignedOut, Unreachable } from "./session.js";

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 30_000;
const PREFIX = `loupe:${BASE.pathname}:outbox:`;

/**
 * @typedef {object} Entry
 * @property {string} user
 * @property {string} userName
 * @property {string} project
 * @property {string} job
 * @property {string} task
 * @property {string} image the file's name, for messages
 * @property {object} answer what the annotation says: label, labels, boxes or skip, and the suggestion beside it
 * @property {boolean} correction the server has already taken an earlier answer
 * @property {string} at orders entries, and tells a correction from what it corrects
 */

export class Outbox extends EventTarget {
  #api;
  #user;
  #memory = new Map();
  #attempts = new Map();
  #failures = 0;
  #pumping = false;
  #timer = 0;
  #sequence = 0;

  /** Null, or why answers wait: "network", "server" or "signed-out". */
  trouble = null;

  /** Asked at each sending how many further tasks to lease with it. */
  leaseWith = () => 0;

  /** @param {{id: string, name: string}} user */
  constructor(api, user) {
    super();
    this.#api = api;
    this.#user = user;
  }

  get userId() {
    return this.#user.id;
  }

  get userName() {
    return this.#user.name;
  }

  /** Sends what an earlier visit left, and from now on whatever is added. */
  start() {
    addEventListener("online", () => this.retryNow());
    addEventListener("offline", () => this.#setTrouble("network"));
    addEventListener("pagehide", () => this.#sendAllOnLeaving());
    addEventListener("beforeunload", (event) => {
      if (this.#memory.size > 0) event.preventDefault();
    });
    this.retryNow();
  }

  /** This worker's unsent entries, oldest first. */
  entries(project = null) {
    const stored = storedEntries().filter((entry) => entry.user === this.#user.id);
    return [...stored, ...this.#memory.values()]
      .filter((entry) => project === null || entry.project === project)
      .sort((one, other) => (one.at < other.at ? -1 : 1));
  }

  /** @param {Omit<Entry, "user" | "userName" | "at">} answer */
  add(answer) {
    this.#sequence += 1;
    const at = `${Date.now()}-${String(this.#sequence).padStart(6, "0")}`;
    const entry = { ...answer, user: this.#user.id, userName: this.#user.name, at };
    const waiting = this.#read(keyOf(entry));
    if (waiting && !waiting.correction) entry.correction = false;
    this.#write(entry);
    this.#attempts.delete(keyOf(entry));
    this.#changed();
    if (this.#timer === 0) this.#pump();
  }

  /** Tries at once: the network is back, or somebody has signed in. */
  retryNow() {
    this.#failures = 0;
    this.#pump();
  }

  async #pump() {
    if (this.#pumping) return;
    this.#pumping = true;
    clearTimeout(this.#timer);
    this.#timer = 0;
    try {
      // One tab sends at a time, so that a correction never overtakes what it corrects.
      while (await exclusively(() => this.#sendNext()));
    } finally {
      this.#pumping = false;
    }
  }

  /** @returns {Promise<boolean>} whether to go on with the next entry at once */
  async #sendNext() {
    const entry = this.#next();
    if (!entry) {
      this.#setTrouble(null);
      return false;
    }
    const asked = this.leaseWith(entry);
    const body = asked > 0 ? { ...entry.answer, lease: asked } : entry.answer;
    try {
      const result = await this.#api.annotate(entry, body);
      this.#settle(entry);
      this.dispatchEvent(new CustomEvent("delivered", { detail: { entry, result, asked } }));
      return true;
    } catch (error) {
      if (isRefusal(error)) {
        this.#settle(entry);
        this.dispatchEvent(new CustomEvent("refused", { detail: { entry, problem: error } }));
        return true;
      }
      this.#attempts.set(keyOf(entry), (this.#attempts.get(keyOf(entry)) ?? 0) + 1);
      return this.#waitAfter(error);
    }
  }

  /** Fewest attempts first, then oldest: one answer that the server chokes on holds up no other. */
  #next() {
    const attempts = (entry) => this.#attempts.get(keyOf(entry)) ?? 0;
    return this.entries().sort((one, other) => attempts(one) - attempts(other))[0];
  }

  #waitAfter(error) {
    if (error instanceof SignedOut) {
      this.#setTrouble("signed-out");
      return false;
    }
    if (!(error instanceof Unreachable || error instanceof Problem)) throw error;
    this.#setTrouble(error instanceof Unreachable ? "network" : "server");
    const wait = Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LAST_RETRY_MS) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#pump(), wait);
    return false;
  }

  #settle(entry) {
    this.#failures = 0;
    this.#attempts.delete(keyOf(entry));
    const now = this.#read(keyOf(entry));
    if (now?.at === entry.at) {
      this.#memory.delete(keyOf(entry));
      localStorage.removeItem(keyOf(entry));
    } else if (now) {
      this.#write({ ...now, correction: true });
    }
    this.trouble = null;
    this.#changed();
  }

  #sendAllOnLeaving() {
    for (const entry of this.entries()) {
      // Best effort: whatever does not arrive is still stored, and goes out with the next visit.
      this.#api.annotate(entry, entry.answer).then(
        () => this.#settle(entry),
        () => undefined,
      );
    }
  }

  #read(key) {
    const stored = localStorage.getItem(key);
    return stored === null ? this.#memory.get(key) : JSON.parse(stored);
  }

  #write(entry) {
    const key = keyOf(entry);
    try {
      localStorage.setItem(key, JSON.stringify(entry));
      this.#memory.delete(key);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      // Storage is full or forbidden: kept in memory, and closing the page asks first.
      this.#memory.set(key, entry);
    }
  }

  #setTrouble(trouble) {
    if (this.trouble === trouble) return;
    this.trouble = trouble;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Whose answers wait in this browser: [{name, count}]. */
export function waitingWorkers() {
  const counts = new Map();
  for (const { userName } of storedEntries()) counts.set(userName, (counts.get(userName) ?? 0) + 1);
  return [...counts].map(([name, count]) => ({ name, count }));
}

function storedEntries() {
  return Object.keys(localStorage)
    .filter((key) => key.startsWith(PREFIX))
    .map((key) => JSON.parse(localStorage.getItem(key)));
}

function keyOf({ user, project, job, task }) {
  return `${PREFIX}${user}:${project}/${job}/${task}`;
}

/** Only Loupe's own problem documents settle an answer; a proxy's error page never throws one away. */
function isRefusal(error) {
  const transient = [401, 403, 408, 425, 429];
  return error instanceof Problem && error.slug !== "" && error.status < 500 && !transient.includes(error.status);
}

function exclusively(send) {
  return navigator.locks ? navigator.locks.request(PREFIX, send) : send();
}
