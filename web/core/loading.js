/** Views that wait for the server. */

import { isExpected } from "./api.js";
import { h, stateView } from "./dom.js";

/**
 * Fills a view with what `show` makes of the server's answer; until then it says that it loads, and after a
 * failure why.
 * @template T
 * @param {HTMLElement} view
 * @param {() => Promise<T>} ask
 * @param {(answer: T) => Node[]} show
 */
export async function load(view, ask, show) {
  view.replaceChildren(h("div", { class: "page-loading" }, h("span", { class: "spinner" }), "Loading"));
  try {
    const answer = await ask();
    if (view.isConnected) view.replaceChildren(...show(answer));
  } catch (error) {
    if (!isExpected(error)) throw error;
    if (view.isConnected) view.replaceChildren(failure(error, () => load(view, ask, show)));
  }
}

function failure(error, again) {
  if (error.status === 404) return stateView("image", "Not there", error.message);
  const button = h("button", { class: "button primary", type: "button", on: { click: again } }, "Try again");
  return stateView("cloud", "This could not be loaded", error.message, button);
}
