/** Figures and times in words. */

/** 0.9312 as "93.1 %"; null as a dash. */
export function percent(value, digits = 1) {
  return typeof value === "number" ? `${(100 * value).toFixed(digits)} %` : "–";
}

/** The difference of two shares in percentage points: "+1.2", "−0.4", "±0.0". */
export function difference(value, other) {
  if (typeof value !== "number" || typeof other !== "number") return "–";
  const points = (100 * (value - other)).toFixed(1);
  if (Number(points) === 0) return "±0.0";
  return points.startsWith("-") ? `−${points.slice(1)}` : `+${points}`;
}

const MOMENT = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

/** A time of the API in the reader's zone; a dash for none. */
export function moment(text) {
  return text ? MOMENT.format(new Date(text)) : "–";
}

/** Seconds as "48 s", "3 min", "2 h 10 min". */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
