// Makes DOM elements. All text goes in as text nodes: nothing here or elsewhere in the console parses
// HTML, so what users send (ids, metadata, payloads) can never become markup.

const SVG = "http://www.w3.org/2000/svg";

/** Whether the first thing after a selector is props; a part with an element of its own is a child. */
const isProps = (value) => value?.constructor === Object && value.element === undefined;

function fill(node, classes, content) {
  if (classes.length > 0) node.setAttribute("class", classes.join(" "));
  const [props, ...children] = isProps(content[0]) ? content : [{}, ...content];
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

/**
 * Adds children: nodes as they are, parts by their `element`, anything else as text; nothing for null, undefined,
 * false.
 */
export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    const part = child.element ?? child;
    node.append(part instanceof Node ? part : String(part));
  }
}

/**
 * An HTML element of a selector such as `p.hint`, with props, if any, and children. Props are attributes, `value`,
 * `checked`, and listeners such as `onclick`. A button submits nothing unless its type says so.
 */
export function el(selector, ...content) {
  const [tag, ...classes] = selector.split(".");
  const node = document.createElement(tag);
  if (tag === "button") node.type = "button";
  return fill(node, classes, content);
}

/** An SVG element, made in the same way. */
export function svg(selector, ...content) {
  const [tag, ...classes] = selector.split(".");
  return fill(document.createElementNS(SVG, tag), classes, content);
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
