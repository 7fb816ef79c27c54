/** Boxes drawn over a picture, for looking at: the drawing scales with it. */

import { markOf } from "./labels.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {{width: number, height: number}} image in pixels, as the boxes are
 * @param {{label: string, left: number, top: number, width: number, height: number}[]} boxes
 * @param {string[]} labels
 * @returns {SVGElement | null} null without boxes
 */
export function boxesOver(image, boxes, labels, className = "boxes") {
  if (boxes.length === 0) return null;
  const svg = svgElement("svg", {
    class: className,
    viewBox: `0 0 ${image.width} ${image.height}`,
    "aria-hidden": "true",
  });
  for (const box of boxes) {
    const place = { x: box.left, y: box.top, width: box.width, height: box.height };
    const line = svgElement("rect", { ...place, class: "box" });
    line.style.stroke = markOf(Math.max(0, labels.indexOf(box.label))).colour;
    svg.append(svgElement("rect", { ...place, class: "box-edge" }), line);
  }
  return svg;
}

function svgElement(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, String(value));
  return element;
}
