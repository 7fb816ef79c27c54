/** What changed between two dataset versions. Dispatches "since" with the other one, and "filter". */

import { isExpected } from "../core/api.js";
import { h, plural } from "../core/dom.js";
import { dayText } from "../core/said.js";

const CHANGES = [
  ["added", "Added", "Images that the earlier one did not have."],
  ["removed", "Removed", "Images that only the earlier one has."],
  ["relabeled", "Relabeled", "Images with another label than before."],
  ["moved", "Moved", "Images with the same label in another split."],
];

class LoupeDatasetCompare extends HTMLElement {
  /** Set before it is put into the page. */
  api;
  project;
  versions;
  version;
  since;

  #result = h("div", { class: "changes", role: "status" });
  #asked = 0;

  connectedCallback() {
    const others = this.versions.filter(({ version }) => version !== this.version);
    if (others.length === 0) {
      this.replaceChildren(h("p", { class: "hint" }, "There is one version so far. The next one can be compared with it."));
      return;
    }
    const shown = this.versions.find(({ version }) => version === this.version);
    const before = others.find(({ version }) => version === (this.since ?? shown?.previous_version)) ?? others[0];
    const select = h("select", { class: "select", id: "compare-since" });
    for (const { version, images, created_at: at } of others) {
      const text = `${version}, ${plural(images, "image")}, ${dayText(at)}`;
      select.append(h("option", { value: version, selected: version === before.version }, text));
    }
    select.addEventListener("change", () => {
      this.dispatchEvent(new CustomEvent("since", { detail: select.value }));
      this.#compare(select.value);
    });
    const choice = h("div", { class: "compare-choice" }, h("label", { for: select.id }, `Version ${this.version} compared with`), select);
    this.replaceChildren(choice, this.#result);
    this.#compare(before.version);
  }

  async #compare(since) {
    const asked = (this.#asked += 1);
    this.#result.replaceChildren(h("span", { class: "spinner", role: "img", "aria-label": "Comparing" }));
    try {
      const { changes } = await this.api.datasetChanges(this.project, this.version, since);
      if (asked === this.#asked) this.#result.replaceChildren(...CHANGES.map((change) => this.#card(change, changes, since)));
    } catch (error) {
      if (!isExpected(error)) throw error;
      if (asked === this.#asked) this.#result.replaceChildren(h("p", { class: "form-problem" }, error.message));
    }
  }

  #card([change, title, text], changes, since) {
    const count = changes[change];
    const open = h("button", { class: "button small", type: "button", disabled: count === 0, "aria-label": `Show the images: ${title}` }, "Show");
    open.addEventListener("click", () => this.dispatchEvent(new CustomEvent("filter", { detail: { since, change } })));
    return h("section", { class: `change ${change}` }, h("h2", {}, title), h("p", { class: "change-count" }, count.toLocaleString("en")), h("p", { class: "hint" }, text), open);
  }
}

customElements.define("loupe-dataset-compare", LoupeDatasetCompare);
