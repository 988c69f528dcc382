/** Making elements: text is always text, never HTML. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element. Functions become listeners (`onclick`), booleans are set or left out, all else is an attribute.
 * @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node|string|null)} children
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

function setAttribute(element, name, value) {
  if (typeof value === "function") element.addEventListener(name.slice(2), value);
  else if (value === true) element.setAttribute(name, "");
  else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
}

/** One of the icons that the page's sprite holds. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A quiet button of an icon and a word; `hidden` words are for screen readers and the tooltip. */
export function iconButton(name, label, onclick, { wordless = false } = {}) {
  const word = wordless ? null : el("span", {}, label);
  const named = wordless ? { "aria-label": label, title: label } : {};
  return el("button", { type: "button", class: wordless ? "button icon-button" : "button quiet", onclick, ...named }, icon(name), word);
}

/** A button that copies what `read` returns and says so for two seconds. */
export function copyButton(read, label = "Copy") {
  const word = el("span", {}, label);
  const copy = async () => {
    word.textContent = (await writeClipboard(read())) ? "Copied" : "Copying failed";
    setTimeout(() => (word.textContent = label), 2000);
  };
  return el("button", { type: "button", class: "button quiet copy", onclick: copy }, icon("copy"), word);
}

/** Browsers offer `navigator.clipboard` on https and localhost only; a page on a local network copies through a selection. */
async function writeClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).then(() => true, () => false);
  const field = el("textarea", { class: "visually-hidden", readonly: true });
  const focused = document.activeElement;
  field.value = text;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return copied;
}

/** The element with this id; every id the modules ask for stands in the template. @param {string} id */
export function byId(id) {
  return document.getElementById(id);
}
