/**
 * Boxes in pixels of an upright image. Edges lie between pixels, so on whole numbers: a box is exactly the
 * pixels that it holds, at any zoom, and at least one.
 *
 * @typedef {{id: number, label: string, left: number, top: number, width: number, height: number}} Box
 * @typedef {{width: number, height: number}} Size
 */

const between = (least, value, most) => Math.max(least, Math.min(most, value));

/** The box of two corners, wherever they are. @param {Size} size of the image */
export function boxOfCorners(one, other, size) {
  const [left, width] = span(one.x, other.x, size.width);
  const [top, height] = span(one.y, other.y, size.height);
  return { left, top, width, height };
}

function span(one, other, limit) {
  const from = between(0, Math.round(Math.min(one, other)), limit - 1);
  const to = between(from + 1, Math.round(Math.max(one, other)), limit);
  return [from, to - from];
}

/** A rectangle of any numbers, as whole pixels of the image. */
export function wholeBox({ left, top, width, height, ...rest }, size) {
  return { ...rest, ...boxOfCorners({ x: left, y: top }, { x: left + width, y: top + height }, size) };
}

/** Moves a box as far as the image goes. */
export function moved(box, right, down, size) {
  const left = between(0, Math.round(box.left + right), size.width - box.width);
  const top = between(0, Math.round(box.top + down), size.height - box.height);
  return { ...box, left, top };
}

/**
 * Moves edges of a box: `grip` is -1, 0 or 1 for the left, no or the right edge, and the same for top and
 * bottom. An edge drawn over the one opposite goes on there.
 */
export function resized(box, grip, right, down, size) {
  const corners = [
    { x: box.left + (grip.x < 0 ? right : 0), y: box.top + (grip.y < 0 ? down : 0) },
    { x: box.left + box.width + (grip.x > 0 ? right : 0), y: box.top + box.height + (grip.y > 0 ? down : 0) },
  ];
  return { ...box, ...boxOfCorners(...corners, size) };
}

/** A copy beside the box: below and to the right, or where there is room. */
export function copied(box, id, size) {
  const right = Math.max(1, Math.round(box.width / 4));
  const down = Math.max(1, Math.round(box.height / 4));
  const fits = { x: box.left + box.width + right <= size.width, y: box.top + box.height + down <= size.height };
  return { ...moved(box, fits.x ? right : -right, fits.y ? down : -down, size), id };
}

export function holds(box, { x, y }) {
  return x >= box.left && x <= box.left + box.width && y >= box.top && y <= box.top + box.height;
}

/** The smallest box at a point, the last one drawn of equals: what lies inside another can be reached. */
export function boxAt(boxes, point) {
  const found = boxes.filter((box) => holds(box, point)).reverse();
  return found.sort((one, other) => one.width * one.height - other.width * other.height)[0] ?? null;
}
