/** Charts as SVG, without a library: each has its figures in words, too. */

const NAMESPACE = "http://www.w3.org/2000/svg";

/** As `h` of dom.js, for SVG. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const WIDTH = 640;
const HEIGHT = 280;
const MARGIN = { left: 72, right: 20, top: 14, bottom: 46 };
const MOST_DOTS = 60;

/**
 * Lines over an axis. A value of null interrupts its line.
 * @param {object} chart
 * @param {string} chart.label what the chart shows, in words
 * @param {number[]} chart.x
 * @param {{name: string, values: (number | null)[]}[]} chart.series the first one is drawn solid, the others dashed
 * @param {string} chart.xTitle
 * @param {[number, number]} chart.yRange
 * @param {(value: number) => string} chart.yText
 * @param {(value: number) => string} [chart.xText]
 * @param {number} [chart.at] where a mark is put on the axis of x
 */
export function lineChart({ label, x, series, xTitle, yRange, yText, xText = String, at = null }) {
  const first = x[0];
  const last = x.at(-1);
  const across = (value) =>
    MARGIN.left + ((value - first) / (last - first || 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  const down = (value) =>
    HEIGHT - MARGIN.bottom - ((value - yRange[0]) / (yRange[1] - yRange[0] || 1)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img", "aria-label": label });
  for (const step of [0, 0.25, 0.5, 0.75, 1]) {
    const y = yRange[0] + step * (yRange[1] - yRange[0]);
    const place = { x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: down(y), y2: down(y) };
    chart.append(svg("line", { class: "chart-grid", ...place }));
    const text = { class: "chart-text", x: MARGIN.left - 8, y: down(y) + 4, "text-anchor": "end" };
    chart.append(svg("text", text, yText(y)));
  }
  for (const value of ticks(x)) {
    const place = { class: "chart-text", x: across(value), y: HEIGHT - MARGIN.bottom + 18, "text-anchor": "middle" };
    chart.append(svg("text", place, xText(value)));
  }
  const middle = (MARGIN.left + WIDTH - MARGIN.right) / 2;
  chart.append(svg("text", { class: "chart-text", x: middle, y: HEIGHT - 4, "text-anchor": "middle" }, xTitle));
  series.forEach(({ values }, number) => {
    const points = x.map((value, index) => (values[index] === null ? null : [across(value), down(values[index])]));
    chart.append(svg("path", { class: `chart-line line-${number}`, d: path(points) }));
    if (x.length > MOST_DOTS) return;
    for (const [cx, cy] of points.filter((point) => point !== null)) {
      chart.append(svg("circle", { class: `chart-dot dot-${number}`, cx, cy, r: 3.5 }));
    }
  });
  if (at !== null) {
    const place = { x1: across(at), x2: across(at), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom };
    chart.append(svg("line", { class: "chart-mark", ...place }));
  }
  return chart;
}

/** At most six of the values, first and last included. */
function ticks(values) {
  const count = Math.min(6, values.length);
  if (count < 2) return values;
  const steps = Array.from({ length: count }, (_, step) => Math.round((step * (values.length - 1)) / (count - 1)));
  return steps.map((index) => values[index]);
}

function path(points) {
  let pen = false;
  let d = "";
  for (const point of points) {
    if (point !== null) d += `${pen ? "L" : "M"}${point.map((value) => value.toFixed(1)).join(" ")}`;
    pen = point !== null;
  }
  return d;
}

/** The names of a chart's lines, with how they are drawn. */
export function legend(names) {
  const list = document.createElement("ul");
  list.className = "legend";
  names.forEach((name, number) => {
    const line = svg("line", { class: `chart-line line-${number}`, x1: 0, y1: 6, x2: 28, y2: 6 });
    const item = document.createElement("li");
    item.append(svg("svg", { viewBox: "0 0 28 12", "aria-hidden": "true" }, line), name);
    list.append(item);
  });
  return list;
}
