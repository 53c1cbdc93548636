/** Elements made by hand: text from a model only ever becomes a text node, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Returns an HTML element.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | null>} attributes null and false leave one out
 * @param {...(Node | string | null)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * Returns an SVG element; arguments as for `el`.
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Returns text in which each place that holds the query is marked.
 * @param {string} text
 * @param {string} query in lower case; empty marks nothing
 * @returns {Node}
 */
export function marked(text, query) {
  const lower = text.toLowerCase();
  const whole = document.createDocumentFragment();
  let from = 0;
  // A few letters change length in lower case; places would then be off, so such text stays unmarked.
  let at = query && lower.length === text.length ? lower.indexOf(query) : -1;
  while (at >= 0) {
    whole.append(text.slice(from, at), el("mark", {}, text.slice(at, at + query.length)));
    from = at + query.length;
    at = lower.indexOf(query, from);
  }
  whole.append(text.slice(from));
  return whole;
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
