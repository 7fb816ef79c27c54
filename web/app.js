/** Loupe's labeling portal: who is signed in, which view is open, and what is still to be sent. */

import { loadConfig, PortalApi } from "./core/api.js";
import { h, icon, plural, stateView } from "./core/dom.js";
import { Outbox } from "./core/outbox.js";
import { readAddress, sectionLink, SECTIONS } from "./core/sections.js";
import { Session, Unreachable } from "./core/session.js";
import { refusalText } from "./core/work.js";
import "./elements/loupe-boxes.js";
import "./elements/loupe-classify.js";
import "./elements/loupe-dataset.js";
import "./elements/loupe-dialogs.js";
import "./elements/loupe-judged-images.js";
import "./elements/loupe-jobs.js";
import "./elements/loupe-labeling.js";
import "./elements/loupe-model.js";
import "./elements/loupe-models.js";
import "./elements/loupe-notices.js";
import "./elements/loupe-palette.js";
import "./elements/loupe-projects.js";
import "./elements/loupe-several.js";
import "./elements/loupe-sign-in.js";
import "./elements/loupe-stage.js";
import "./elements/loupe-try.js";
import "./elements/loupe-workers.js";

const CONFIG_RETRY_MS = 5_000;

class LoupeApp extends HTMLElement {
  #session;
  #api;
  #outbox = null;
  #view = null;
  #notices = h("loupe-notices");
  #banner = h("div", { class: "banner", role: "status", hidden: true });
  #middle = h("div", { class: "header-middle" });
  #account = h("div", { class: "account" });
  #sections = h("nav", { class: "sections", "aria-label": "Views of the project", hidden: true });
  #main = h("main", { id: "main", tabindex: "-1" });
  #signInAgain = h("dialog", { class: "dialog", "aria-label": "Sign in again" });

  async connectedCallback() {
    const mark = h("span", { class: "mark" }, icon("glass"));
    const home = h("a", { class: "brand", href: "#/projects", "aria-label": "Loupe, all projects" }, mark, h("b", {}, "Loupe"));
    const header = h("header", { class: "header" }, home, this.#middle, this.#account);
    this.replaceChildren(header, this.#sections, this.#banner, this.#main, this.#notices, this.#signInAgain);
    this.#signInAgain.addEventListener("cancel", (event) => event.preventDefault());
    // Browsers close a dialog on a second Escape whatever the page says.
    this.#signInAgain.addEventListener("close", () => this.#session.user || this.#askAgain());
    const config = await this.#config();
    this.#session = new Session(config);
    this.#api = new PortalApi(this.#session);
    this.#session.addEventListener("signed-in", () => this.#signedIn());
    this.#session.addEventListener("ended", () => this.#askAgain());
    addEventListener("hashchange", () => this.#outbox && this.#route());
    if (this.#session.user) this.#signedIn();
    else this.#showSignIn();
  }

  async #config() {
    for (;;) {
      try {
        return await loadConfig();
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
        const text = "The labeling page cannot reach its server. It tries again by itself.";
        this.#main.replaceChildren(stateView("cloud", "No connection", text));
        await new Promise((resolve) => setTimeout(resolve, CONFIG_RETRY_MS));
      }
    }
  }

  #showSignIn() {
    document.title = "Sign in · Loupe";
    this.#main.replaceChildren(this.#signInForm(null, ""));
  }

  /** Over whatever is on screen, so that the worker comes back to the same place. */
  #askAgain() {
    const reason = "Your session has ended. Your answers are kept; sign in to go on where you were.";
    this.#signInAgain.replaceChildren(this.#signInForm(reason, this.#outbox.userName));
    if (!this.#signInAgain.open) this.#signInAgain.showModal();
    this.#signInAgain.querySelector("input[type=password]").focus();
  }

  #signInForm(reason, userName) {
    return Object.assign(document.createElement("loupe-sign-in"), { session: this.#session, reason, userName });
  }

  #signedIn() {
    const { user } = this.#session;
    if (this.#outbox) {
      // Another worker starts afresh; nothing of the one before stays in memory.
      if (this.#outbox.userId !== user.id) location.reload();
      this.#signInAgain.close();
      this.#outbox.retryNow();
      this.#view?.resume?.();
      return;
    }
    this.#outbox = new Outbox(this.#api, user);
    this.#outbox.addEventListener("change", () => this.#showBanner());
    this.#outbox.addEventListener("refused", ({ detail }) => this.#tellRefusal(detail));
    this.#outbox.start();
    const signOut = h("button", { class: "button quiet", type: "button" }, "Sign out");
    signOut.addEventListener("click", () => this.#signOut());
    this.#account.replaceChildren(h("span", { class: "user-name", dir: "auto" }, user.name), signOut);
    this.#route();
  }

  async #signOut() {
    await this.#view?.leave?.();
    await this.#session.signOut();
    location.reload();
  }

  #route() {
    const address = readAddress(location.hash);
    const { user } = this.#session;
    const shared = { api: this.#api, outbox: this.#outbox, notices: this.#notices, user };
    this.#showSections(address);
    if (address === null) {
      this.#show("loupe-projects", shared, "Projects · Loupe");
      this.#middle.replaceChildren();
      return;
    }
    const { project, section, query } = address;
    if (!section) {
      this.#showNowhere(project);
      return;
    }
    const title = section.name ? `${section.title} · ${project} · Loupe` : `${project} · Loupe`;
    this.#show(section.element, { ...shared, project, query }, title);
    this.#middle.replaceChildren(this.#view.bar ?? h("span", { class: "project-name" }, project));
  }

  #showSections(address) {
    this.#sections.hidden = address === null || SECTIONS.length === 1;
    if (address === null) return;
    const links = SECTIONS.map((section) => {
      const current = section === address.section ? "page" : null;
      return h("a", { href: sectionLink(address.project, section.name), "aria-current": current }, section.title);
    });
    this.#sections.replaceChildren(...links);
    // On a phone not all of them fit beside each other.
    this.#sections.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  #showNowhere(project) {
    document.title = "Not found · Loupe";
    const back = h("a", { class: "button primary", href: sectionLink(project, "") }, `Label ${project}`);
    this.#view = stateView("image", "No such page", "The address names no view of the project.", back);
    this.#main.replaceChildren(this.#view);
    this.#middle.replaceChildren(h("span", { class: "project-name" }, project));
  }

  #show(element, properties, title) {
    document.title = title;
    this.#view = Object.assign(document.createElement(element), properties);
    this.#main.replaceChildren(this.#view);
    this.#main.focus({ preventScroll: true });
  }

  /** While its project is open, the labeling view tells it itself. */
  #tellRefusal({ entry, problem }) {
    if (this.#view?.project !== entry.project) this.#notices.show(refusalText(entry, problem));
  }

  #showBanner() {
    const count = this.#outbox.entries().length;
    const kept = plural(count, "answer");
    const texts = {
      network: count
        ? `Offline: ${kept} kept, sending when the network is back.`
        : "Offline: go on, your answers are kept and sent when the network is back.",
      server: `The server does not take answers at the moment: ${kept} kept, trying again.`,
      "signed-out": count ? `${kept} kept, sent as soon as you are signed in.` : null,
    };
    const text = texts[this.#outbox.trouble] ?? null;
    this.#banner.hidden = text === null;
    if (text !== null && this.#banner.textContent !== text) {
      this.#banner.replaceChildren(icon("cloud"), h("span", {}, text));
    }
  }
}

customElements.define("loupe-app", LoupeApp);
