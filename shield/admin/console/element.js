// Creates DOM elements. All text becomes text nodes: the console parses no HTML, so users' data (ids,
// metadata, payloads) can never become markup.

const SVG = "http://www.w3.org/2000/svg";

/** Whether the first argument after a selector is props; an object with an `element` is a child. */
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
 * Adds children: nodes unchanged, parts by their `element`, other values as text. It skips null, undefined and false.
 */
export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    const part = child.element ?? child;
    node.append(part instanceof Node ? part : String(part));
  }
}

/**
 * An HTML element by a selector such as `p.hint`, with optional props, and children. Props are attributes, `value`,
 * `checked`, and listeners such as `onclick`. A button does not submit unless its type is `submit`.
 */
export function el(selector, ...content) {
  const [tag, ...classes] = selector.split(".");
  const node = document.createElement(tag);
  if (tag === "button") node.type = "button";
  return fill(node, classes, content);
}

/** An SVG element, created in the same way. */
export function svg(selector, ...content) {
  const [tag, ...classes] = selector.split(".");
  return fill(document.createElementNS(SVG, tag), classes, content);
}

export function replace(node, ...children) {
  node.replaceChildren();
  append(node, children);
}

/** Sets the text if it differs, so that unchanged text is neither redrawn nor announced again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
