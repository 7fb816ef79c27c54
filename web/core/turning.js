/**
 * Images as they are stored and as EXIF asks to show them. Browsers turn a photo upright by themselves, and
 * can't be told not to where it comes from another origin; boxes are in pixels of the image as stored.
 * Corners of whole pixels stay whole, so the way there and back is exact.
 *
 * @typedef {{width: number, height: number, orientation?: number}} Picture stored size, EXIF orientation 1 to 8
 * @typedef {{left: number, top: number, width: number, height: number}} Rectangle
 */

/** Columns of the matrix from stored to upright, but for the shift: what x and y become. */
const TURNS = {
  1: [1, 0, 0, 1],
  2: [-1, 0, 0, 1],
  3: [-1, 0, 0, -1],
  4: [1, 0, 0, -1],
  5: [0, 1, 1, 0],
  6: [0, 1, -1, 0],
  7: [0, -1, -1, 0],
  8: [0, -1, 1, 0],
};

/**
 * The matrix (a, b, c, d, e, f as in CSS) from stored to upright coordinates.
 * @param {Picture} picture
 */
export function turnOf({ width, height, orientation = 1 }) {
  const [a, b, c, d] = TURNS[orientation] ?? TURNS[1];
  return [a, b, c, d, a < 0 ? width : c < 0 ? height : 0, b < 0 ? width : d < 0 ? height : 0];
}

/** @param {Picture} picture @returns {{width: number, height: number}} */
export function uprightSize({ width, height, orientation = 1 }) {
  return orientation > 4 ? { width: height, height: width } : { width, height };
}

/** @param {Rectangle} box in stored pixels @param {Picture} picture */
export function toUpright(box, picture) {
  const [a, b, c, d, e, f] = turnOf(picture);
  return turned(box, (x, y) => [a * x + c * y + e, b * x + d * y + f]);
}

/** @param {Rectangle} box in upright pixels @param {Picture} picture */
export function toStored(box, picture) {
  const [a, b, c, d, e, f] = turnOf(picture);
  // The inverse of a turn is its transpose.
  return turned(box, (x, y) => [a * (x - e) + b * (y - f), c * (x - e) + d * (y - f)]);
}

function turned({ left, top, width, height, ...rest }, map) {
  const [x1, y1] = map(left, top);
  const [x2, y2] = map(left + width, top + height);
  const corner = { left: Math.min(x1, x2), top: Math.min(y1, y2) };
  return { ...rest, ...corner, width: Math.abs(x2 - x1), height: Math.abs(y2 - y1) };
}
