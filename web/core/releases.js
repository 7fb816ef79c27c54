/** What a person decides of models, in words. The command does the same. */

import { h } from "./dom.js";
import { moment } from "./words.js";

/** @typedef {"approve" | "reject" | "rollback"} Choice */

/** What a button for a choice says. */
export function choiceText(choice, { outcome }) {
  if (choice === "approve") return outcome === "approved" ? "Try again" : "Approve";
  if (choice === "reject") return "Reject";
  // A model that never answered is not gone back to.
  return outcome === "promoted" || outcome === "approved" ? "Roll back to this model" : "Release all the same";
}

/** What is asked before it is done, and what happens then. */
export function asked(choice, { version, outcome }, champion) {
  const instead = champion ? ` in place of model ${champion}` : "";
  const meanwhile = champion ? ` Model ${champion} answers until then, and goes on if the release fails.` : "";
  const released = `Model ${version} is put into service${instead}. That takes some minutes.${meanwhile}`;
  if (choice === "approve") return { title: `Release model ${version}?`, text: released };
  if (choice === "reject") {
    const kept = champion ? `Model ${champion} goes on answering.` : "No model answers until another one is approved.";
    return { title: `Reject model ${version}?`, text: `It is let go, and can't be approved any more. ${kept}` };
  }
  const title = choiceText(choice, { outcome }).startsWith("Roll") ? `Roll back to model ${version}?` : `Release model ${version} all the same?`;
  const stopped = "From now on better models wait for approval and are not promoted by themselves, until somebody presses Resume.";
  return { title, text: `${released} ${stopped}` };
}

/** A release that is under way: who asked for it, and that it takes its time. */
export function releasingText({ version, kind, by, at }, champion) {
  const why = kind === "approval" ? `${by} approved model ${version}.` : `${by} went back to model ${version}.`;
  const meanwhile = champion && champion !== version ? ` Model ${champion} answers meanwhile.` : "";
  return `${why} Its release is under way since ${moment(at)}, and takes some minutes.${meanwhile}`;
}

/** Promotion that was stopped. */
export function pausedText({ since, by, reason }) {
  return `No model is promoted by itself since ${moment(since)}: ${by}, ${reason}. Better ones wait for approval.`;
}

/** Promotion that was stopped, and what lets it go on. */
export function pausedNote(project, paused) {
  return note(pausedText(paused), [`loupe model resume ${project}`, "lets better ones be promoted again."]);
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
  return note(`${failedText(version, reason)}.`, again);
}

export function failedText(version, reason) {
  return `The release of model ${version} failed: ${reason}`;
}

function note(text, ...commands) {
  return h("p", {}, text, ...commands.flatMap(([command, what]) => [" ", h("code", {}, command), ` ${what}`]));
}
