/**
 * Elements from data. Strings only ever become text nodes, so a label, an instruction or a file
 * name that looks like HTML is shown as it is written.
 */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes] `on` takes listeners by event name; true and false set
 *   and leave out an attribute.
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const ICONS = {
  back: "M15 5l-7 7 7 7",
  bin: "M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12M10.5 10.5v5M13.5 10.5v5",
  check: "M5 12.5l4.5 4.5L19 7",
  cloud: "M7 18h9.5a4 4 0 0 0 .6-7.95 5.5 5.5 0 0 0-10.6-1.1A4.6 4.6 0 0 0 7 18z",
  copy: "M9 9h10v10H9zM15 9V5H5v10h4",
  filter: "M4 6h16M7 12h10M10 18h4",
  glass: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.4 15.4L20 20",
  hourglass: "M7 4h10M7 20h10M8 4c0 5 4 5 4 8s-4 3-4 8M16 4c0 5-4 5-4 8s4 3 4 8",
  image: "M4 6h16v12H4zM4 15l4-4 4 4 3-3 5 5M15.5 9.5h.01",
  keyboard: "M3 7h18v10H3zM7 10.5h.01M11 10.5h.01M15 10.5h.01M8 14h8",
  pixels: "M5 5h14v14H5zM12 5v14M5 12h14",
  redo: "M16 6l4 4-4 4M20 10h-9.5a5 5 0 0 0 0 10H14",
  skip: "M6 6l7 6-7 6zM17 6v12",
  undo: "M8 6L4 10l4 4M4 10h9.5a5 5 0 0 1 0 10H10",
  zoom: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.4 15.4L20 20M10.5 8v5M8 10.5h5",
};

/** A line icon of 24 units, in the colour of the text beside it, hidden from screen readers. */
export function icon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(namespace, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** "1 image", "2 images"; "2 boxes" where it takes more than an s. */
export function plural(count, noun, many = `${noun}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : many}`;
}

/** A view without its usual content: why, told in a heading, a sentence and what can be done about it. */
export function stateView(iconName, title, text, ...actions) {
  return h(
    "section",
    { class: "state" },
    h("div", { class: "state-icon" }, icon(iconName)),
    h("h2", {}, title),
    h("p", {}, text),
    actions.length ? h("div", { class: "state-actions" }, ...actions) : null,
  );
}
