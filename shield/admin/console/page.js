// Parts of views: heads, facts, filters, notices. Of the API they know only the shape of refusals and of
// an answer's list of nodes.
import { el, replace, setText } from "./element.js";
import { clock, plural } from "./format.js";
import { Table } from "./table.js";

/** The head of a view. `crumb` is `{href, text}` of its parent list. */
export function pageHead({ title, about, crumb, actions = [] }) {
  return el("div.page-head", [
    el("div.titles", [
      crumb && el("p.crumb", el("a", { href: crumb.href }, crumb.text)),
      el("h1", title),
      about && el("p", about),
    ]),
    el("div.actions", actions),
  ]);
}

const box = (selector, title, actions, children) =>
  el(selector, { "aria-label": title }, [
    actions.length === 0 ? el("h2", title) : el("div.card-head", el("h2", title), actions),
    children,
  ]);

export const card = (title, ...children) => box("section.card", title, [], children);

/** A box without padding, for content such as a table; `actions` are beside the heading. */
export const fullCard = (title, actions, ...children) =>
  box("section.card.flush", title, actions, children);

export const factCard = (title, pairs) => card(title, facts(pairs));

/**
 * A box with a table: options as for `Table`, `actions` beside the heading, and elements `above` the table.
 * `show(rows)` is the table's.
 */
export function tableCard(title, { actions = [], above, ...options }) {
  const table = new Table({ caption: title, ...options });
  return { element: fullCard(title, actions, above, table), show: (rows) => table.show(rows) };
}

/** A list of names and values; values are text or elements. */
export function facts(pairs) {
  return el("dl.facts", [
    pairs.map(([name, value]) => [
      el("dt", name),
      el("dd", value instanceof Node ? value : String(value ?? "–")),
    ]),
  ]);
}

/** A coloured label: `tone` is ok, warn, bad or "". */
export function badge(text, tone = "", title) {
  return el("span", { class: `badge ${tone}`, title }, text);
}

/** The server's error message, with a button for another attempt. */
export function errorNotice(error, retry) {
  return el("div.notice.bad", { role: "alert" }, [
    el("strong", error.title ?? "The console failed"),
    el("p", error.message),
    retry && el("button", { onclick: retry }, "Try again"),
  ]);
}

/** Explains how to enable a part that the configuration has switched off. */
export function offText(part) {
  return el("p.empty", [
    "This part is switched off in the configuration. Set ",
    el("code", "enabled = true"),
    " in ",
    el("code", `[${part}]`),
    " and start the bus again.",
  ]);
}

/** Names the nodes that are missing from an answer; null if every node answered. */
export function silentNotice(nodes) {
  const silent = nodes?.silent ?? [];
  if (silent.length === 0) return null;
  return el("p.notice.warn", [
    el("strong", `${plural(silent.length, "node")} did not answer in time: `),
    `${silent.join(", ")}. Their part is missing here. See their state under `,
    el("a", { href: "#/nodes" }, "Nodes"),
    ".",
  ]);
}

/**
 * `{input, element}`: an input with its label and a `hint`; with `options` of [value, text] it is a select. The other
 * members are the input's props.
 */
export function field(label, { options, hint, ...props }) {
  const input = options === undefined
    ? el("input", { type: "text", autocomplete: "off", spellcheck: "false", ...props })
    : el("select", { name: props.name }, [
      options.map(([value, text]) =>
        el("option", { value, selected: value === props.value }, text)
      ),
    ]);
  return { input, element: el("label", label, input, hint && el("span", hint)) };
}

/** A field of `filterForm` for an exact id. */
export const exact = (name, label = `${name[0].toUpperCase()}${name.slice(1)}`) => ({
  name,
  label,
  placeholder: "exact id",
});

/**
 * A form of fields `{name, label, placeholder?, options?, wide?}`; `onChange(values)` is called on each change: for
 * text on Enter or when the field loses the focus, for `find` on each character.
 */
export function filterForm(fields, values, onChange) {
  const form = el("form.filters", { role: "search" });
  const read = () =>
    Object.fromEntries(fields.map(({ name }) => [name, form.elements[name].value.trim()]));
  for (const { label, wide, ...props } of fields) {
    const { element } = field(label, { type: "search", value: values[props.name] ?? "", ...props });
    if (wide) element.className = "wide";
    form.append(element);
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

/** A place whose whole content is replaced; at first empty and hidden. */
export function slot() {
  const element = el("div.stack", { hidden: true });
  return {
    element,
    show: (...children) => {
      replace(element, ...children);
      element.hidden = element.childNodes.length === 0;
    },
  };
}

/**
 * A place that each `load()` fills with the result of `read()`, or with its error and a button for another attempt.
 * `load()` never rejects.
 */
export function loaded({ signal }, read) {
  const { element, show } = slot();
  async function load() {
    try {
      show(await read());
    } catch (error) {
      if (!signal.aborted) show(errorNotice(error, load));
    }
  }
  return { element, load };
}

/** A view that is read as a whole: its head is `pageHead`'s, with a button that reads it again. */
export function showLoaded(ctx, place, { actions = [], ...head }, read) {
  const { element, load } = loaded(ctx, read);
  const refresh = el("button", { onclick: () => load() }, "Refresh");
  place.append(pageHead({ ...head, actions: [refresh, ...actions] }), element);
  load();
}

/** The values of a form's fields in the page's address. */
export const queried = (fields, query) =>
  Object.fromEntries(fields.map(({ name }) => [name, query[name] ?? ""]));

/**
 * A view with a form for a question, and its answer. `ask(values, isOver)` resolves with the answer's elements, or
 * with a text that says what is missing from the question; `asking` is shown meanwhile. A later question replaces an
 * earlier one. The view's `load()` asks again.
 */
export function showAnswers(ctx, place, { fields, asking, ask, ...head }) {
  let values = queried(fields, ctx.query);
  let run = 0;
  const status = el("p.hint", { role: "status" });
  const content = slot();
  async function load() {
    const mine = ++run;
    const isOver = () => ctx.signal.aborted || mine !== run;
    setText(status, asking);
    try {
      const answer = await ask(values, isOver);
      if (isOver()) return;
      const is_lacking = typeof answer === "string";
      content.show(is_lacking ? [] : answer);
      setText(status, is_lacking ? answer : `Read at ${clock(ctx.now())}.`);
    } catch (error) {
      if (isOver()) return;
      setText(status, "");
      content.show(errorNotice(error, load));
    }
  }
  const change = (next) => {
    values = next;
    ctx.setQuery(next);
    load();
  };
  place.append(
    pageHead(head),
    el("div.stack", filterForm(fields, values, change), status, content),
  );
  load();
  return { load };
}
