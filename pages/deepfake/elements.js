const SVG = 'http://www.w3.org/2000/svg';

/**
 * Makes an HTML element; text is only ever set as text, never as markup.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | undefined>} attributes - those undefined or false are left out
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/**
 * Makes an SVG element, as `html`.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | undefined>} attributes
 * @param {...(Node | string)} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Lays an element over a part of its parent. Not a `style` attribute: the page's policy forbids those.
 * @param {HTMLElement} element
 * @param {{ left?: number, top?: number, width?: number, height?: number }} place - fractions of the parent
 */
export function lay(element, place) {
  for (const [side, fraction] of Object.entries(place)) element.style[side] = `${fraction * 100}%`;
  return element;
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children);
  return element;
}
