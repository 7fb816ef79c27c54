/** User name and password, and a new password where the account asks for one. */

import { h, plural } from "../core/dom.js";
import { waitingWorkers } from "../core/outbox.js";
import { SignInError, Unreachable } from "../core/session.js";

class LoupeSignIn extends HTMLElement {
  /** @type {import("../core/session.js").Session} */
  session;
  /** Why somebody has to sign in again, or null. */
  reason = null;
  /** Filled in where it is known. */
  userName = "";

  #problem;

  connectedCallback() {
    this.#showPassword();
  }

  #showPassword() {
    const name = field("User name", { name: "username", autocomplete: "username", autocapitalize: "none" });
    const password = field("Password", { type: "password", name: "password", autocomplete: "current-password" });
    name.input.value = this.userName;
    this.#form("Sign in to label", this.reason, [name, password], "Sign in", async () => {
      this.userName = name.input.value.trim();
      const challenge = await this.session.signIn(this.userName, password.input.value);
      if (challenge) this.#showNewPassword(challenge);
    });
    (this.userName ? password : name).input.focus();
  }

  #showNewPassword(challenge) {
    const fresh = field("New password", { type: "password", autocomplete: "new-password" });
    const again = field("The same again", { type: "password", autocomplete: "new-password" });
    const text = "You signed in with a temporary password. Choose your own to go on.";
    this.#form("Choose a password", text, [fresh, again], "Save and sign in", async () => {
      if (fresh.input.value !== again.input.value) throw new SignInError("The two passwords differ.");
      await this.session.chooseNewPassword(challenge, fresh.input.value);
    });
    fresh.input.focus();
  }

  #form(title, text, fields, action, submit) {
    const button = h("button", { class: "button primary wide", type: "submit" }, action);
    this.#problem = h("p", { class: "form-problem", role: "alert" });
    const form = h(
      "form",
      { class: "sign-in", novalidate: true },
      h("h1", {}, title),
      text ? h("p", { class: "muted" }, text) : null,
      ...fields.map(({ label }) => label),
      this.#problem,
      button,
      waitingText(),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(fields, button, submit);
    });
    this.replaceChildren(form);
  }

  async #submit(fields, button, submit) {
    const empty = fields.find(({ input }) => input.value.trim() === "");
    if (empty) {
      this.#problem.textContent = `${empty.title} is missing.`;
      empty.input.focus();
      return;
    }
    this.#problem.textContent = "";
    button.disabled = true;
    try {
      await submit();
    } catch (error) {
      if (!(error instanceof SignInError || error instanceof Unreachable)) throw error;
      this.#problem.textContent = error.message;
      fields.at(-1).input.select();
      fields.at(-1).input.focus();
    } finally {
      button.disabled = false;
    }
  }
}

function field(title, attributes) {
  const input = h("input", { class: "input", type: "text", spellcheck: "false", required: true, ...attributes });
  return { title, input, label: h("label", { class: "field" }, h("span", {}, title), input) };
}

function waitingText() {
  const waiting = waitingWorkers();
  if (waiting.length === 0) return null;
  const lines = waiting.map(({ name, count }) => `${plural(count, "answer")} of ${name}`);
  return h("p", { class: "kept" }, `Kept in this browser until you sign in: ${lines.join(", ")}.`);
}

customElements.define("loupe-sign-in", LoupeSignIn);
