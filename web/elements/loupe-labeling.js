/** The labeling view of one project: image, instructions, labels, and what to do when there is none. */

import { isExpected } from "../core/api.js";
import { h, icon, plural, stateView } from "../core/dom.js";
import { Drafts } from "../core/drafts.js";
import { Images, taskKey } from "../core/images.js";
import { answerText } from "../core/labels.js";
import { Suggestions } from "../core/suggestions.js";
import { Work } from "../core/work.js";

/** The element that answers tasks of a type. */
const TASK_ELEMENTS = {
  "image-classification": "loupe-classify",
  "multi-label-classification": "loupe-several",
  "bounding-box": "loupe-boxes",
};

const EXAMPLES_RENEWED_MS = 60_000;

class LoupeLabeling extends HTMLElement {
  /** Set before it is put into the page. */
  api;
  outbox;
  user;
  project;
  /** @type {import("./loupe-notices.js")} */
  notices;

  /** What the page's header shows while this view is open. */
  bar = h("div", { class: "work-bar" });

  #images = new Images((images) => this.api.previews(this.project, "preview", images));
  #suggestions = new Suggestions((task) => this.api.suggestion(this.project, task));
  #work;
  #task;
  #drafts;
  /** The element that answers the project's tasks. */
  #answers = null;
  #stage = h("loupe-stage");
  #skip = h("loupe-skip");
  #help = h("loupe-help");
  #example = h("loupe-example");
  #examples = h("ul", { class: "examples", "aria-label": "Examples" });
  #examplesRenewed = 0;
  #instructions = h("p", { dir: "auto" });
  #undo = actionButton("back", "Back", "U", () => this.#back());
  #skipButton = actionButton("skip", "Skip", "S", () => this.#askReason());
  #correcting = h("div", { class: "correcting", hidden: true });
  #caption = h("span", { class: "file-name", dir: "auto" });
  #size = h("span", { class: "file-size" });
  #pixels = h("button", { class: "tool", type: "button", "aria-pressed": "false", title: "Show pixels (X)" });
  #progress = h("progress", { "aria-label": "Answered" });
  #figures = h("span", { class: "figures" });
  #mine = h("span", { class: "mine" });
  #space = h("div", { class: "labeling-state" });
  #view = null;
  #phase = null;
  #leaving = new AbortController();
  #left = null;

  async connectedCallback() {
    const { signal } = this.#leaving;
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    this.#showState("loading");
    this.#fillBar();
    if (!(await this.#loadProject()) || signal.aborted) return;
    const { api, outbox, project, user } = this;
    this.#work = new Work({ api, outbox, images: this.#images, project, user });
    this.#work.addEventListener("change", () => this.#render());
    this.#suggestions.addEventListener("change", () => this.#work.phase === "task" && this.#renderTask(), { signal });
    this.#work.addEventListener("notice", ({ detail }) => this.notices.show(detail));
    this.#work.addEventListener("labels-changed", () => this.#loadProject());
    await this.#work.start();
  }

  disconnectedCallback() {
    this.leave();
  }

  /** Ends the work and gives back its tasks; settles when the server knows. */
  leave() {
    this.#leaving.abort();
    this.#left ??= this.#work?.stop();
    return this.#left;
  }

  /** Somebody is signed in again. */
  resume() {
    if (this.#work) this.#work.refresh();
    else this.#reconnect();
  }

  async #loadProject() {
    let found;
    try {
      found = (await this.api.projects()).find(({ project }) => project === this.project);
    } catch (error) {
      if (!isExpected(error)) throw error;
      this.#showState("unreachable");
      addEventListener("online", () => this.#reconnect(), { once: true, signal: this.#leaving.signal });
      return false;
    }
    this.#task = found?.task;
    const element = TASK_ELEMENTS[this.#task];
    if (!element) {
      this.#showState(found ? "unknown-task" : "missing");
      return false;
    }
    this.#suggestions.enabled = found.suggest === true;
    this.#images.exact = this.#task === "bounding-box";
    if (!this.#view) this.#build(element);
    this.#answers.labels = found.labels;
    this.#showInstructions(found.instructions, found.examples ?? []);
    return true;
  }

  #showInstructions(text, examples) {
    this.#instructions.textContent = text;
    this.#instructions.hidden = text.trim() === "";
    this.#examples.replaceChildren(...examples.map((example) => this.#exampleEntry(example)));
    this.#examples.hidden = examples.length === 0;
    this.#instructions.closest("details").hidden = text.trim() === "" && examples.length === 0;
  }

  #exampleEntry(example) {
    const { url, label, caption } = example;
    const image = h("img", { src: url, alt: caption || label || "Example", loading: "lazy", decoding: "async" });
    // Its address runs out while the page is open.
    image.addEventListener("error", () => this.#renewExamples());
    const name = label ? h("b", { dir: "auto" }, label) : null;
    const text = caption ? h("span", { dir: "auto" }, caption) : null;
    const button = h("button", { class: "example", type: "button", title: "Enlarge" }, image, name, text);
    button.addEventListener("click", () => this.#example.show(example));
    return h("li", {}, button);
  }

  #renewExamples() {
    if (Date.now() - this.#examplesRenewed < EXAMPLES_RENEWED_MS) return;
    this.#examplesRenewed = Date.now();
    this.#loadProject();
  }

  #reconnect() {
    this.#leaving.abort();
    this.#leaving = new AbortController();
    this.connectedCallback();
  }

  #build(element) {
    this.#drafts = new Drafts(this.user, this.project);
    this.#answers = Object.assign(h(element), { stage: this.#stage, drafts: this.#drafts });
    this.#answers.addEventListener("answer", ({ detail }) => this.#answer(detail));
    this.#answers.addEventListener("say", ({ detail }) => this.notices.say(detail));
    this.#answers.addEventListener("hint", ({ detail }) => this.notices.show(detail));
    this.#skip.addEventListener("skip", ({ detail }) => this.#answer({ skip: detail }));
    this.#stage.addEventListener("shown", () => this.#shown());
    this.#stage.addEventListener("failed", () => this.#imageFailed());
    this.#pixels.append(icon("pixels"), h("span", {}, "Pixels"));
    this.#pixels.addEventListener("click", () => this.#togglePixels());
    const zoom = h("button", { class: "tool", type: "button", title: "Zoom (Z)" }, icon("zoom"), h("span", {}, "Zoom"));
    zoom.addEventListener("click", () => this.#stage.toggleZoom());
    const help = h("button", { class: "button keys-button", type: "button", "aria-label": "Keys", title: "Keys (?)" });
    help.append(icon("keyboard"));
    help.addEventListener("click", () => this.#showHelp());
    const tools = h("span", { class: "tools" }, ...this.#answers.tools, zoom, this.#pixels);
    // A click leaves the focus where it was, so that Enter still answers.
    tools.addEventListener("mousedown", (event) => event.preventDefault());
    const wide = matchMedia("(min-width: 860px)").matches;
    this.#view = h(
      "div",
      { class: "labeling" },
      h(
        "section",
        { class: "stage-area", "aria-label": "Image" },
        this.#stage,
        h("div", { class: "stage-foot" }, this.#caption, this.#size, tools),
      ),
      h(
        "details",
        { class: "instructions", open: wide },
        h("summary", {}, "Instructions"),
        h("div", { class: "instructions-body" }, this.#instructions, this.#examples),
      ),
      h("div", { class: "answers" }, this.#correcting, this.#answers),
      h("div", { class: "actions" }, this.#undo, this.#skipButton, help),
    );
  }

  #fillBar() {
    this.bar.replaceChildren(
      h("h1", { class: "project-name" }, this.project),
      this.#progress,
      this.#figures,
      this.#mine,
    );
  }

  #render() {
    const { phase, job } = this.#work;
    this.bar.classList.toggle("idle", !job);
    if (job) {
      this.#progress.max = job.tasks;
      this.#progress.value = this.#work.answered;
      this.#figures.textContent = `${this.#work.answered.toLocaleString("en")} of ${job.tasks.toLocaleString("en")}`;
    }
    const { labeled, skipped } = this.#work.mine;
    this.#mine.textContent = labeled + skipped ? `${(labeled + skipped).toLocaleString("en")} by you` : "";
    this.#suggestions.keep(this.#work.queue);
    if (phase === "task") this.#renderTask();
    else this.#showState(phase);
  }

  #renderTask() {
    const task = this.#work.current;
    if (this.#phase !== "task") {
      this.#phase = "task";
      this.replaceChildren(this.#view, this.#skip, this.#help, this.#example);
      this.#answers.focusFirst();
    }
    this.#stage.show(this.#images.of(task));
    this.#caption.textContent = task.image.name;
    this.#caption.title = task.image.name;
    this.#size.textContent = `${task.image.width} × ${task.image.height}`;
    this.#answers.enabled = this.#stage.ready;
    this.#answers.show({
      key: this.#draftKey(),
      picture: task.image,
      earlier: this.#work.earlierAnswer,
      suggestion: this.#work.correcting === null ? this.#suggestions.of(task) : null,
    });
    this.#undo.disabled = !this.#work.canUndo;
    this.#renderCorrecting(this.#work.earlierAnswer);
  }

  #renderCorrecting(earlier) {
    this.#correcting.hidden = earlier === null;
    if (earlier === null) return;
    const text = "skip" in earlier ? answerText(earlier) : `Your answer: ${answerText(earlier)}`;
    const keep = h("button", { class: "button small", type: "button" }, "Keep it", h("kbd", {}, "Esc"));
    keep.addEventListener("click", () => this.#keep());
    this.#correcting.replaceChildren(h("p", { dir: "auto" }, text), keep);
  }

  /** A correction is begun beside what may be begun on the same image. */
  #draftKey() {
    return taskKey(this.#work.current) + (this.#work.correcting === null ? "" : ":correction");
  }

  #showState(phase) {
    const key = `${phase}:${this.#work?.mine.labeled ?? 0}:${this.#work?.canUndo ?? false}`;
    if (this.#phase === key) return;
    this.#phase = key;
    const view = this.#stateOf(phase);
    this.#space.replaceChildren(view);
    // What had the focus goes away; without this, Tab would start at the top of the page.
    if (this.contains(document.activeElement)) this.closest("main").focus({ preventScroll: true });
    this.replaceChildren(this.#space, this.#skip, this.#help);
    if (phase !== "loading") this.notices?.say(view.querySelector("h2").textContent);
  }

  #stateOf(phase) {
    const projects = h("a", { class: "button", href: "#/projects" }, "All projects");
    const retry = h("button", { class: "button primary", type: "button" }, "Try again");
    retry.addEventListener("click", () => this.resume());
    const correct = h("button", { class: "button", type: "button" }, "Correct my last answer");
    correct.addEventListener("click", () => this.#back());
    const more = this.#work?.canUndo ? [correct, projects] : [projects];
    switch (phase) {
      case "loading":
        return h("div", { class: "page-loading" }, h("span", { class: "spinner" }), "Getting images for you");
      case "waiting":
        return stateView(
          "hourglass",
          "Others are on the last images",
          "Every image that is left is in front of another worker. If one comes back, it shows up here by itself.",
          ...more,
        );
      case "done":
        return stateView("check", this.#doneTitle(), "New images show up here by themselves.", ...more);
      case "missing":
        return stateView("image", "No such project", `There is no project named ${this.project}.`, projects);
      case "unknown-task":
        return stateView(
          "image",
          "Not on this page",
          `This project is for ${this.#task}, which this page doesn't know. Reload it: it may be older than the project.`,
          projects,
        );
      default:
        return stateView(
          "cloud",
          "No connection",
          "No further images can be loaded now. This page goes on by itself when the network is back.",
          retry,
          projects,
        );
    }
  }

  #doneTitle() {
    const { labeled } = this.#work.mine;
    return labeled ? `All done: ${plural(labeled, "image")} labeled by you` : "No work left";
  }

  #answer(answer) {
    const skipping = "skip" in answer;
    if (this.#work.phase !== "task" || !(this.#stage.ready || skipping)) return;
    const corrected = this.#work.correcting !== null;
    const suggested = this.#work.earlierAnswer?.suggestion;
    // Whoever changes an answer did not leave it as it was suggested.
    if (suggested && !skipping) answer.suggestion = { ...suggested, accepted: false };
    this.#drafts.forget(this.#draftKey());
    this.#work.answer(answer);
    this.#answers.focusFirst();
    const { answered, job } = this.#work;
    const what = skipping ? "Skipped" : answerText(answer);
    const count = job ? `, ${answered} of ${job.tasks} answered` : "";
    this.notices.say(`${corrected ? "Corrected: " : ""}${what}${count}`);
  }

  #back() {
    if (!this.#work?.canUndo) return;
    this.#work.undo();
    const { earlierAnswer } = this.#work;
    const what = "skip" in earlierAnswer ? "Skipped" : answerText(earlierAnswer);
    this.notices.say(`Back to an earlier image. ${what}. Choose again, or keep it with Escape.`);
  }

  #keep() {
    this.#drafts.forget(this.#draftKey());
    this.#work.keepEarlierAnswer();
    this.#answers.focusFirst();
  }

  #askReason() {
    if (this.#work.phase === "task") this.#skip.show();
  }

  #shown() {
    this.#answers.enabled = true;
    this.#pixels.hidden = this.#stage.view.size.width * 2 > this.#stage.clientWidth;
  }

  #imageFailed() {
    const task = this.#work.current;
    if (!this.#work.isLastTry(task)) {
      this.#work.imageFailed(task);
      return;
    }
    const skip = h("button", { class: "button", type: "button" }, "Skip it", h("kbd", {}, "S"));
    skip.addEventListener("click", () => this.#askReason());
    if (this.#images.of(task).isDoubtful) {
      const why = "The browser turns it otherwise than Loupe knows, so boxes on it would be in the wrong place.";
      this.#stage.replaceWith(stateView("image", "This image can't be marked", why, skip));
      this.notices.say("This image can't be marked. S skips it.");
      return;
    }
    const retry = h("button", { class: "button primary", type: "button" }, "Try again", h("kbd", {}, "R"));
    retry.addEventListener("click", () => this.#work.reloadImage());
    const text = "It may be a passing fault of the network, or the file is damaged.";
    this.#stage.replaceWith(stateView("image", "This image does not load", text, retry, skip));
    this.notices.say("This image does not load. R tries again, S skips it.");
  }

  #togglePixels() {
    this.#pixels.setAttribute("aria-pressed", String(this.#stage.togglePixels()));
  }

  #showHelp() {
    this.#help.show([
      ...this.#answers.keys,
      [this.#goesBackBy(), "Back to the image before, to correct it"],
      [["Esc"], "Keep the earlier answer and go on"],
      [["S"], "Skip the image and say why"],
      [["Z"], "Zoom; arrow keys move the zoomed image"],
      [["X"], "Show the pixels of a small image"],
      [["I"], "Show or hide the instructions"],
      [["?"], "These keys"],
    ]);
  }

  #goesBackBy() {
    return this.#task === "image-classification" ? ["U", "Backspace", "Ctrl Z"] : ["U"];
  }

  #key(event) {
    if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
    const inBox = event.target.matches?.("input, textarea");
    const history = historyKey(event);
    if (history) {
      if (inBox && event.target.value) return;
      event.preventDefault();
      this.#step(history, event.repeat);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const handled = inBox ? this.#boxKey(event) : this.#singleKey(event);
    if (handled) event.preventDefault();
  }

  /** Back and forth on the image; with one step an image, to the image before. */
  #step(history, repeat) {
    const onImage = this.#work?.phase === "task" && this.#answers[history]();
    if (!onImage && history === "undo" && !repeat && this.#goesBackBy().length > 1) this.#back();
  }

  #boxKey(event) {
    if (event.key === "Escape") {
      event.target.blur();
      if (this.#work?.earlierAnswer) this.#keep();
      return true;
    }
    if (event.key !== "Backspace" || event.target.value || event.repeat) return false;
    this.#back();
    return true;
  }

  #singleKey(event) {
    if (this.#work?.phase === "task" && this.#stage.ready && this.#answers.handleKey(event)) return true;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!event.repeat && (key === "u" || key === "Backspace")) {
      this.#back();
      return true;
    }
    if (this.#work?.phase !== "task") return false;
    const panned = {
      ArrowLeft: () => this.#stage.pan(-1, 0),
      ArrowRight: () => this.#stage.pan(1, 0),
      ArrowUp: () => this.#stage.pan(0, -1),
      ArrowDown: () => this.#stage.pan(0, 1),
    };
    if (key in panned) return panned[key]();
    if (event.repeat) return false;
    const commands = {
      "?": () => this.#showHelp(),
      s: () => this.#askReason(),
      z: () => this.#stage.toggleZoom(),
      x: () => this.#togglePixels(),
      i: () => this.querySelector(".instructions").toggleAttribute("open"),
      r: () => this.#stage.classList.contains("failed") && this.#work.reloadImage(),
      Escape: () => this.#work.correcting !== null && this.#keep(),
    };
    if (key in commands) {
      commands[key]();
      return true;
    }
    return false;
  }
}

/** @returns {"undo" | "redo" | null} what a key press asks for */
function historyKey(event) {
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const key = event.key.toLowerCase();
  if (key === "z") return event.shiftKey ? "redo" : "undo";
  return key === "y" && !event.shiftKey ? "redo" : null;
}

function actionButton(iconName, text, key, act) {
  const button = h("button", { class: "button", type: "button" }, icon(iconName), h("span", {}, text), h("kbd", { "aria-hidden": "true" }, key));
  button.addEventListener("click", act);
  return button;
}

customElements.define("loupe-labeling", LoupeLabeling);
