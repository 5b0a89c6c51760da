// Makes DOM elements. All text goes in as text nodes: nothing here or elsewhere in the console parses
// HTML, so what users send (ids, metadata, payloads) can never become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

/** Adds children: nodes as they are, anything else as text; nothing for null, undefined, false. */
export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

/** An HTML element. Props are attributes, `value`, `checked`, and listeners such as `onclick`. */
export function el(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An SVG element. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Puts these children in the place of what is there. */
export function replace(node, ...children) {
  node.replaceChildren();
  append(node, children);
}

/** Sets the text when it differs, so that nothing that stays is drawn or announced anew. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
