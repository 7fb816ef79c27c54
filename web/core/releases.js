/** What a person decides of releases, with the command that does it. */

import { h } from "./dom.js";
import { moment } from "./words.js";

/** Promotion that was stopped, and what lets it go on. */
export function pausedNote(project, { since, by, reason }) {
  return note(`No model is promoted by itself since ${moment(since)}: ${by}, ${reason}.`, [`loupe model resume ${project}`, "lets better ones be promoted again."]);
}

/** A candidate that nobody decided on. */
export function waitingNote(project, version) {
  return note(`Model ${version} waits for a person.`, [`loupe model approve ${project} ${version}`, "releases it,"], [`loupe model reject ${project} ${version}`, "lets it go."]);
}

/** A release that did not come to its end: the model that answered before still does. */
export function failedNote(project, version, reason, isApproved) {
  const again = isApproved
    ? [`loupe model approve ${project} ${version}`, "tries again."]
    : [`loupe model rollback ${project} ${version}`, "tries again."];
  return note(`The release of model ${version} failed: ${reason}.`, again);
}

function note(text, ...commands) {
  return h("p", {}, text, ...commands.flatMap(([command, what]) => [" ", h("code", {}, command), ` ${what}`]));
}
