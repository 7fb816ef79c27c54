/**
 * One worker's work on one project: the tasks leased ahead, what was answered, and how to go back.
 * Knows nothing of the page; tells its listeners "change", and "notice" with a text for the worker.
 */

import { isExpected } from "./api.js";
import { taskKey } from "./images.js";
import { sameAnswer } from "./labels.js";

/** Tasks to hold, the one on screen included: four or more are always loading behind it. */
const TASKS_HELD = 6;
const MOST_LEASED = 20;
const HISTORY = 20;
const RENEW_BEFORE_END_MS = 3 * 60_000;
const IDLE_AFTER_MS = 8 * 60_000;
const SOONEST_RENEWAL_MS = 10_000;
/** How soon to look for work again, and how slowly at last: each time half as long again. */
const POLLS = {
  waiting: { first: 2_000, slowest: 15_000 },
  done: { first: 5_000, slowest: 60_000 },
  unreachable: { first: 4_000, slowest: 30_000 },
};

/**
 * @typedef {{task: string, job: string, lease_expires_at: string,
 *   image: {url: string, name: string, width: number, height: number}}} Task
 * @typedef {"loading" | "task" | "waiting" | "done" | "unreachable" | "missing"} Phase
 *   waiting: others hold the last tasks; missing: there is no such project.
 */

export class Work extends EventTarget {
  #api;
  #outbox;
  #images;
  #memory;
  #answered = new Set();
  #lastTry = new Set();
  #leasing = null;
  #leaseAgain = false;
  #exhausted = false;
  #failure = null;
  #timer = 0;
  #pollMs = 0;
  #stale = false;
  #activeAt = Date.now();
  #listeners = new AbortController();

  /** @type {{job: string, tasks: number, answered: number, skipped: number} | null} */
  job = null;
  /** @type {Task[]} not answered yet; the first is on screen unless an earlier one is corrected */
  queue = [];
  /** @type {{task: Task, answer: object}[]} */
  history = [];
  /** @type {number | null} index in history of the answer that is being corrected */
  correcting = null;
  mine = { labeled: 0, skipped: 0 };

  constructor({ api, outbox, images, project, user }) {
    super();
    this.#api = api;
    this.#outbox = outbox;
    this.#images = images;
    this.project = project;
    this.#memory = `loupe:work:${user.id}:${project}`;
  }

  async start() {
    const signal = this.#listeners.signal;
    this.#recall();
    this.#outbox.leaseWith = (entry) => this.#wanted(entry);
    this.#outbox.addEventListener("delivered", ({ detail }) => this.#delivered(detail), { signal });
    this.#outbox.addEventListener("refused", ({ detail }) => this.#refused(detail), { signal });
    this.#outbox.addEventListener("change", () => this.#changed(), { signal });
    addEventListener("online", () => this.#backOnline(), { signal });
    document.addEventListener("visibilitychange", () => this.#attend(), { signal });
    for (const type of ["keydown", "pointerdown"]) {
      addEventListener(type, () => this.#attend(), { signal, capture: true, passive: true });
    }
    addEventListener("pagehide", () => this.#giveBack(), { signal });
    addEventListener("pageshow", (event) => event.persisted && this.refresh(), { signal });
    await this.refresh();
  }

  /** Leaves the project: tasks that are not answered go back to the others. */
  stop() {
    this.#listeners.abort();
    clearTimeout(this.#timer);
    this.#outbox.leaseWith = () => 0;
    return this.#giveBack();
  }

  /** @returns {Task | null} */
  get current() {
    return this.correcting === null ? this.queue[0] ?? null : this.history[this.correcting].task;
  }

  /** The answer that is being corrected, or null. */
  get earlierAnswer() {
    return this.correcting === null ? null : this.history[this.correcting].answer;
  }

  /** @returns {Phase} */
  get phase() {
    if (this.current) return "task";
    if (this.#failure) return this.#failure;
    if (this.job && this.answered >= this.job.tasks) return "done";
    if (this.#leasing || !this.#exhausted) return "loading";
    return this.job ? "waiting" : "done";
  }

  /** Answers of the whole job, this worker's unsent ones included. */
  get answered() {
    if (!this.job) return 0;
    const unsent = this.#unsent().filter((entry) => entry.job === this.job.job && !entry.correction);
    return Math.min(this.job.tasks, this.job.answered + unsent.length);
  }

  get canUndo() {
    return (this.correcting ?? this.history.length) > 0;
  }

  /** @param {{label: string} | {labels: string[]} | {boxes: object[]} | {skip: string}} answer */
  answer(answer) {
    const task = this.current;
    const correction = this.correcting !== null;
    if (correction) {
      const step = this.history[this.correcting];
      this.correcting = null;
      if (sameAnswer(step.answer, answer)) return this.#changed();
      this.#count(step.answer, -1);
      step.answer = answer;
    } else {
      this.queue.shift();
      this.#answered.add(taskKey(task));
      this.history = [...this.history, { task, answer }].slice(-HISTORY);
    }
    this.#count(answer, 1);
    this.#remember();
    const { project } = this;
    this.#outbox.add({ project, job: task.job, task: task.task, image: task.image.name, answer, correction });
    this.#changed();
    return undefined;
  }

  /** Back to the answer before this one, to correct it. */
  undo() {
    if (!this.canUndo) return;
    this.correcting = (this.correcting ?? this.history.length) - 1;
    this.#changed();
  }

  /** Leaves an earlier answer as it is. */
  keepEarlierAnswer() {
    this.correcting = null;
    this.#changed();
  }

  /** Loads the current image again, under a fresh address where the task is still held. */
  async reloadImage() {
    const task = this.current;
    await this.refresh();
    if (this.current === task) {
      this.#images.reload(task);
      this.#changed();
    }
  }

  /** One silent second try for an image that did not load: its address may have run out. */
  async imageFailed(task) {
    if (task !== this.current || this.#lastTry.has(taskKey(task))) return;
    this.#lastTry.add(taskKey(task));
    await this.reloadImage();
  }

  isLastTry(task) {
    return this.#lastTry.has(taskKey(task));
  }

  /** Asks the server for this worker's tasks, renewing the leases held. Calls that overlap are one more. */
  refresh() {
    if (this.#leasing) {
      this.#leaseAgain = true;
      return this.#leasing;
    }
    this.#leasing = this.#refresh().finally(() => {
      this.#leasing = null;
      if (this.#leaseAgain && !this.#listeners.signal.aborted) {
        this.#leaseAgain = false;
        this.refresh();
      }
      this.#changed();
      this.#schedule();
    });
    return this.#leasing;
  }

  async #refresh() {
    const before = new Set(this.queue);
    // Tasks whose answers are still on their way come back too, as they are still held.
    const count = Math.min(MOST_LEASED, Math.max(TASKS_HELD, this.queue.length) + this.#unsent().length);
    let leased;
    try {
      leased = await this.#api.lease(this.project, count);
    } catch (error) {
      this.#failed(error);
      return;
    }
    if (this.#listeners.signal.aborted) return;
    this.#failure = null;
    this.#stale = false;
    if (this.#outbox.trouble === "network") this.#outbox.retryNow();
    this.#exhausted = leased.tasks.length < count;
    this.#dropLost(before, leased.tasks);
    this.#adopt(leased);
  }

  #failed(error) {
    if (!isExpected(error)) throw error;
    this.#failure = error.slug === "not-found" ? "missing" : "unreachable";
  }

  /** What was held and is not among this worker's tasks any more, somebody else has. */
  #dropLost(before, leased) {
    const held = new Set(leased.map(taskKey));
    const lost = this.queue.filter((task) => before.has(task) && !held.has(taskKey(task)));
    if (lost.includes(this.queue[0]) && this.correcting === null) {
      this.#notice("The image you were looking at went to another worker. Here is the next one.");
    }
    this.queue = this.queue.filter((task) => !lost.includes(task));
  }

  #adopt({ job, tasks }) {
    this.job = job;
    for (const task of tasks) {
      const known = this.queue.find((other) => taskKey(other) === taskKey(task));
      if (known) {
        Object.assign(known, { image: task.image, lease_expires_at: task.lease_expires_at });
        if (this.#images.of(known).failed && known !== this.current) this.#images.reload(known);
      } else if (!this.#answered.has(taskKey(task))) {
        this.queue.push(task);
      }
    }
  }

  #delivered({ entry, result, asked }) {
    if (entry.project !== this.project) return;
    this.#failure = null;
    this.#adopt(result);
    if (result.tasks.length < asked) this.#exhausted = true;
    this.#topUp();
    this.#changed();
    this.#schedule();
  }

  #refused({ entry, problem }) {
    if (entry.project !== this.project) return;
    const key = taskKey(entry);
    this.#answered.delete(key);
    if (!entry.correction) this.#count(entry.answer, -1);
    const ended = problem.slug === "job-finished";
    const gone = (task) => (ended ? task.job === entry.job : taskKey(task) === key);
    const corrected = this.correcting === null ? null : this.history[this.correcting];
    this.history = this.history.filter((step) => !gone(step.task));
    this.correcting = this.history.includes(corrected) ? this.history.indexOf(corrected) : null;
    this.queue = this.queue.filter((task) => !gone(task));
    this.#remember();
    this.#notice(refusalText(entry, problem));
    if (problem.slug === "unknown-label") this.dispatchEvent(new Event("labels-changed"));
    this.refresh();
  }

  #topUp() {
    const low = this.queue.length < TASKS_HELD - 1;
    const settled = this.#unsent().length === 0;
    if (settled && (this.queue.length === 0 || (low && !this.#exhausted))) this.refresh();
  }

  #wanted(entry) {
    if (entry.project !== this.project) return 0;
    return Math.min(MOST_LEASED, Math.max(0, TASKS_HELD - this.queue.length));
  }

  /** Renews leases while somebody works, and asks for new work while there is none. */
  #schedule() {
    clearTimeout(this.#timer);
    if (this.#listeners.signal.aborted) return;
    const { phase } = this;
    if (phase === "task") {
      this.#pollMs = 0;
      const ends = this.queue.map((task) => Date.parse(task.lease_expires_at));
      const wait = Math.min(...ends) - this.#api.now() - RENEW_BEFORE_END_MS;
      if (ends.length) this.#timer = setTimeout(() => this.#renew(), Math.max(wait, SOONEST_RENEWAL_MS));
    } else if (phase in POLLS) {
      const { first, slowest } = POLLS[phase];
      this.#pollMs = this.#pollMs ? Math.min(this.#pollMs * 1.5, slowest) : first;
      this.#timer = setTimeout(() => this.#renew(), this.#pollMs);
    }
  }

  /** Nobody at the page: leases run out, so that others get the tasks, until somebody is back. */
  #renew() {
    const idle = Date.now() - this.#activeAt > IDLE_AFTER_MS;
    if (document.hidden || (idle && this.phase === "task")) this.#stale = true;
    else this.refresh();
  }

  #attend() {
    if (document.hidden) return;
    this.#activeAt = Date.now();
    if (this.#stale) {
      this.#stale = false;
      this.refresh();
    }
  }

  #backOnline() {
    this.#pollMs = 0;
    if (this.phase !== "task") this.refresh();
    else if (this.#images.of(this.current).failed) this.reloadImage();
  }

  /** Not while answers are unsent: their tasks have to stay this worker's. */
  async #giveBack() {
    if (this.queue.length === 0 || this.#unsent().length > 0) return;
    try {
      await this.#api.release(this.project);
    } catch (error) {
      // The leases then end by themselves.
      if (!isExpected(error)) throw error;
    }
  }

  #unsent() {
    return this.#outbox.entries(this.project);
  }

  #count(answer, by) {
    const kind = "skip" in answer ? "skipped" : "labeled";
    this.mine[kind] = Math.max(0, this.mine[kind] + by);
  }

  #remember() {
    sessionStorage.setItem(this.#memory, JSON.stringify({ mine: this.mine, history: this.history }));
  }

  #recall() {
    const kept = JSON.parse(sessionStorage.getItem(this.#memory) ?? "null");
    if (kept) Object.assign(this, kept);
    for (const { task } of this.history) this.#answered.add(taskKey(task));
    for (const entry of this.#unsent()) this.#answered.add(taskKey(entry));
  }

  #notice(text) {
    this.dispatchEvent(new CustomEvent("notice", { detail: text }));
  }

  #changed() {
    if (this.#listeners.signal.aborted) return;
    const behind = this.history.slice(-3).map((step) => step.task);
    this.#images.keep([...(this.current ? [this.current] : []), ...this.queue, ...behind]);
    // No answer gets through that could bring further tasks, so ask for them by themselves.
    if (this.phase === "loading" && !this.#leasing && this.#outbox.trouble) this.refresh();
    this.dispatchEvent(new Event("change"));
  }
}

/** What became of an answer that the server did not take, in the worker's words. */
export function refusalText(entry, problem) {
  if (entry.correction && problem.slug === "job-finished") {
    return `This batch is finished, so your correction for ${entry.image} came too late.`;
  }
  const texts = {
    "lease-lost": `Another worker has answered ${entry.image} meanwhile. Nothing to do for you.`,
    "job-finished": `This batch was finished meanwhile, so your answer for ${entry.image} was not needed.`,
    "unknown-label": `The labels have changed: ${entry.image} comes again.`,
    "not-found": `${entry.image} is no longer part of this project.`,
  };
  return texts[problem.slug] ?? `Your answer for ${entry.image} was not taken: ${problem.message}`;
}
