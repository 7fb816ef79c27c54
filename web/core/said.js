/** What a label says, and what is around it, in words. */

/** The label's parts: {name, confidence, box} each. */
export function partsOf(said) {
  const confidence = (index) => said.confidences?.[index] ?? null;
  if (said.label !== undefined) return [{ name: said.label, confidence: confidence(0), box: null }];
  if (said.labels) return said.labels.map((name, index) => ({ name, confidence: confidence(index), box: null }));
  return (said.boxes ?? []).map((box, index) => ({ name: box.label, confidence: confidence(index), box }));
}

/** A label in a line. */
export function saidText(said) {
  if (said.withdrawn) return "No label: asked again";
  if (said.failure_reason) return `Refused: ${said.failure_reason}`;
  if (said.label !== undefined) return said.label;
  if (said.labels) return said.labels.length ? said.labels.join(", ") : "None of the labels";
  const counts = new Map();
  for (const { label } of said.boxes ?? []) counts.set(label, (counts.get(label) ?? 0) + 1);
  if (counts.size === 0) return "Nothing to mark";
  return [...counts].map(([label, count]) => (count > 1 ? `${count} × ${label}` : label)).join(", ");
}

/** The label alone, as the API takes it. */
export function valueOf({ label, labels, boxes }) {
  if (label !== undefined) return { label };
  return labels ? { labels } : { boxes };
}

/** Where a label comes from. */
export function sourceText({ job, workers, human, correction }) {
  const who = workers?.length ? workers.join(", ") : human === false ? "a model" : null;
  if (correction) return `Corrected by ${who}`;
  return [who && `By ${who}`, job && `Job ${job}`].filter(Boolean).join(" · ");
}

const TIME = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const DAY = new Intl.DateTimeFormat("en", { dateStyle: "medium" });

export function timeText(at) {
  return TIME.format(new Date(at));
}

export function dayText(at) {
  return DAY.format(new Date(at));
}

export function percent(share) {
  return `${(share * 100).toLocaleString("en", { maximumFractionDigits: share < 0.1 ? 1 : 0 })} %`;
}
