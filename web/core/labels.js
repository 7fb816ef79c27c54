/** What the elements of all tasks know of labels: their keys, how they are found by typing, their colours. */

/**
 * The number key of a label: 1 to 9 and 0 for the tenth. Labels that are digits themselves keep their
 * own, as anything else would lead to wrong answers.
 * @returns {string | null} null from the eleventh on
 */
export function keyFor(labels, index) {
  if (index > 9) return null;
  return labels.every((label) => /^[0-9]$/.test(label)) ? labels[index] : String((index + 1) % 10);
}

/** The label whose number key was pressed, as its index, or -1. */
export function labelOfKey(labels, event) {
  const digit = digitOf(event);
  return digit === null ? -1 : labels.findIndex((_, index) => keyFor(labels, index) === digit);
}

/** The number keys as the help tells them. */
export function numberKeys(labels) {
  const names = labels.map((_, index) => keyFor(labels, index)).filter((name) => name !== null);
  return names.length > 4 ? [names[0], "…", names.at(-1)] : names;
}

/** The digit of a key press: the character, or else the key's place (layouts that need Shift for digits). */
function digitOf(event) {
  if (/^[0-9]$/.test(event.key)) return event.key;
  return event.shiftKey ? null : (/^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1] ?? null);
}

/**
 * Indexes of labels for letters typed: those that begin with them come first, then those with a word that
 * does, then those that have them anywhere. All of them, in their own order, for no letters.
 */
export function findLabels(labels, typed) {
  const letters = plain(typed.trim());
  return labels
    .map((label, index) => ({ index, rank: rankOf(plain(label), letters) }))
    .filter(({ rank }) => rank < Infinity)
    .sort((one, other) => one.rank - other.rank || one.index - other.index)
    .map(({ index }) => index);
}

function plain(text) {
  return text.normalize("NFD").replace(/\p{Diacritic}/gu, "").toLowerCase();
}

function rankOf(label, letters) {
  if (label.startsWith(letters)) return 0;
  const at = label.indexOf(letters);
  if (at < 0) return Infinity;
  return /[^\p{L}\p{N}]/u.test(label[at - 1]) ? 1 : 2;
}

/** An answer in the worker's words. */
export function answerText(answer) {
  if ("skip" in answer) return `Skipped: ${answer.skip}`;
  if ("label" in answer) return answer.label;
  if ("labels" in answer) return answer.labels.length ? answer.labels.join(", ") : "None of these";
  if (answer.boxes.length === 0) return "Nothing to mark";
  return answer.boxes.length === 1 ? "1 box" : `${answer.boxes.length} boxes`;
}

/** Whether two answers say the same of an image, whatever was suggested. */
export function sameAnswer({ suggestion: _one, ...one }, { suggestion: _other, ...other }) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/**
 * Okabe and Ito's colours, which people with any kind of colour vision can tell apart, without black; then
 * the same again with another line. No mark is told by its colour alone: boxes carry their label's name.
 */
const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2"];
const LINES = ["solid", "double", "dashed", "dotted"];

/** @returns {{colour: string, line: "solid" | "double" | "dashed" | "dotted"}} */
export function markOf(index) {
  const line = LINES[Math.floor(index / COLOURS.length) % LINES.length];
  return { colour: COLOURS[index % COLOURS.length], line };
}
