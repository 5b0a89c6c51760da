// Parts that views are made of: heads, facts, filters, notices. They know nothing of the API beyond
// the shape of its refusals and of the list of nodes that an answer names.
import { el, replace } from "./element.js";
import { plural } from "./format.js";

/** The head of a view. `crumb` is `{href, text}` of the list that it belongs to. */
export function pageHead({ title, about, crumb, actions = [] }) {
  return el(
    "div",
    { class: "page-head" },
    el(
      "div",
      { class: "titles" },
      crumb && el("p", { class: "crumb" }, el("a", { href: crumb.href }, crumb.text)),
      el("h1", {}, title),
      about && el("p", {}, about),
    ),
    el("div", { class: "actions" }, actions),
  );
}

/** A box with a heading. `actions` are beside it; `flush` is for tables, which fill it. */
export function card(title, { actions = [], flush = false } = {}, ...children) {
  const head = actions.length === 0
    ? el("h2", {}, title)
    : el("div", { class: "card-head" }, el("h2", {}, title), actions);
  return el(
    "section",
    { class: flush ? "card flush" : "card", "aria-label": title },
    head,
    children,
  );
}

/** Names with their values, which are text or elements. */
export function facts(pairs) {
  return el(
    "dl",
    { class: "facts" },
    pairs.map(([name, value]) => [
      el("dt", {}, name),
      el("dd", {}, value instanceof Node ? value : String(value ?? "–")),
    ]),
  );
}

/** A coloured word: `tone` is ok, warn, bad or "". */
export function badge(text, tone = "", title) {
  return el("span", { class: `badge ${tone}`, title }, text);
}

/** What went wrong, in the server's words, with a way to try again. */
export function errorNotice(error, retry) {
  return el(
    "div",
    { class: "notice bad", role: "alert" },
    el("strong", {}, error.title ?? "The console failed"),
    el("p", {}, error.message),
    retry && el("button", { type: "button", onclick: retry }, "Try again"),
  );
}

/** Says how a part is switched on whose table the configuration has off. */
export function offText(part) {
  return el(
    "p",
    { class: "empty" },
    "This part is switched off in the configuration. Set ",
    el("code", {}, "enabled = true"),
    " in ",
    el("code", {}, `[${part}]`),
    " and start the bus again.",
  );
}

/** Says whose part of an answer is missing; nothing when every node has answered. */
export function silentNotice(nodes) {
  const silent = nodes?.silent ?? [];
  if (silent.length === 0) return null;
  return el(
    "p",
    { class: "notice warn" },
    el("strong", {}, `${plural(silent.length, "node")} did not answer in time: `),
    `${silent.join(", ")}. What they know is missing here. See their state under `,
    el("a", { href: "#/nodes" }, "Nodes"),
    ".",
  );
}

/**
 * A form of fields `{name, label, placeholder?, options?, wide?}`; `onChange(values)` learns of each
 * change, of text when it is entered (Enter or leaving the field), of `find` with each character.
 */
export function filterForm(fields, values, onChange) {
  const form = el("form", { class: "filters", role: "search" });
  const read = () =>
    Object.fromEntries(fields.map(({ name }) => [name, form.elements[name].value.trim()]));
  for (const { name, label, placeholder, options, wide } of fields) {
    const control = options === undefined
      ? el("input", {
        name,
        type: "search",
        placeholder,
        autocomplete: "off",
        spellcheck: "false",
        value: values[name] ?? "",
      })
      : el(
        "select",
        { name },
        options.map(([value, text]) =>
          el("option", { value, selected: value === (values[name] ?? "") }, text)
        ),
      );
    form.append(el("label", { class: wide ? "wide" : "" }, label, control));
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    onChange(read());
  });
  form.addEventListener("change", () => onChange(read()));
  form.addEventListener("input", ({ target }) => {
    if (target.name === "find") onChange(read());
  });
  return form;
}

/** A place whose content is replaced whole, empty at first. */
export function slot() {
  const element = el("div", { class: "stack" });
  return {
    element,
    show: (...children) => {
      replace(element, ...children);
      element.hidden = element.childNodes.length === 0;
    },
  };
}
