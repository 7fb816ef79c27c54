/** A picture that somebody chose, made into what the API takes. */

/** As the API has it: more does not get through Lambda. */
export const MOST_BYTES = 4_500_000;

const TYPES = ["image/jpeg", "image/png"];
const QUALITY = 0.92;
/** Phones refuse larger canvases. */
const MOST_PIXELS = 16_000_000;
const SMALLER = 0.75;
const EXIF_BYTES = 131_072;

/** The file is no picture that this browser can read, or none that can be made small enough. */
export class Unusable extends Error {}

/**
 * The file itself where the API takes it as it is; else a JPEG of it: turned upright, so that the answer's
 * boxes lie where one sees them, and no larger than the API takes.
 * @param {File} file
 * @returns {Promise<{blob: Blob, bitmap: ImageBitmap, width: number, height: number, changed: string | null}>}
 *   `changed` says what was done to it
 * @throws {Unusable}
 */
export async function prepare(file) {
  const bitmap = await read(file);
  const { width, height } = bitmap;
  const turned = file.type === "image/jpeg" && (await orientation(file)) !== 1;
  if (TYPES.includes(file.type) && file.size <= MOST_BYTES && !turned) {
    return { blob: file, bitmap, width, height, changed: null };
  }
  const sent = await encode(bitmap);
  const smaller = sent.width < width;
  const why = smaller || file.size > MOST_BYTES ? `the API takes at most ${MOST_BYTES.toLocaleString("en")} bytes` : turned ? "it was stored turned" : "the API takes JPEG and PNG";
  const changed = `Sent as a JPEG of ${sent.width.toLocaleString("en")} by ${sent.height.toLocaleString("en")} pixels: ${why}.`;
  return { ...sent, bitmap, changed };
}

async function read(file) {
  try {
    return await createImageBitmap(file);
  } catch (error) {
    throw new Unusable(`${file.name} is no picture that this browser can read: choose a JPEG or PNG.`, { cause: error });
  }
}

async function encode(bitmap) {
  let scale = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  for (;;) {
    const width = Math.max(1, Math.round(bitmap.width * scale));
    const height = Math.max(1, Math.round(bitmap.height * scale));
    const blob = await drawn(bitmap, width, height);
    if (blob === null) throw new Unusable("This browser can't make the picture smaller: choose one of fewer pixels.");
    if (blob.size <= MOST_BYTES) return { blob, width, height };
    scale *= SMALLER;
  }
}

function drawn(bitmap, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d");
  // As the trainer has it: what is transparent becomes white.
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}

/** The EXIF orientation of a JPEG, 1 where it does not say. */
export async function orientation(file) {
  const view = new DataView(await file.slice(0, EXIF_BYTES).arrayBuffer());
  try {
    return orientationIn(view);
  } catch (error) {
    if (error instanceof RangeError) return 1; // cut off, or not what it says it is
    throw error;
  }
}

function orientationIn(view) {
  let place = 2;
  while (view.getUint8(place) === 0xff) {
    const marker = view.getUint8(place + 1);
    const length = view.getUint16(place + 2);
    const isExif = marker === 0xe1 && view.getUint32(place + 4) === 0x45786966;
    if (isExif) return orientationInTiff(view, place + 10);
    if (marker === 0xda) break;
    place += 2 + length;
  }
  return 1;
}

function orientationInTiff(view, start) {
  const little = view.getUint16(start) === 0x4949;
  const directory = start + view.getUint32(start + 4, little);
  const entries = view.getUint16(directory, little);
  for (let entry = 0; entry < entries; entry += 1) {
    const place = directory + 2 + 12 * entry;
    if (view.getUint16(place, little) === 0x0112) return view.getUint16(place + 8, little);
  }
  return 1;
}
