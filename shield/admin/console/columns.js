// Columns of tables: an id, a head, the sort value (a member's name or a function of the row), and the cell.
// `more` are the other members of a column (`Table`).
import { ago, count, moment } from "./format.js";

/** A column whose cell is the result of `show(value, row)`: text or `{text, …}`. */
export function column(id, label, value, show, more) {
  const of = typeof value === "string" ? (row) => row[value] : value;
  return { id, label, value: of, cell: (row) => show(of(row), row), ...more };
}

/** The value as text, or `absent`. */
export const plain = (id, label, value = id, absent = "–") =>
  column(id, label, value, (text) => String(text ?? absent));

/** As `plain`, for text of any length; empty without a value. */
export const wide = (id, label, value = id, absent = "") => ({
  ...plain(id, label, value, absent),
  wide: true,
});

/** Text that is truncated, with the whole text as a tooltip. */
export const titled = (id, label, value = id) =>
  column(id, label, value, (text) => ({ text: text ?? "", title: text }));

export const linked = (id, label, value, href, more) =>
  column(id, label, value, (text, row) => ({ text, href: href(text, row) }), more);

export const toned = (id, label, value, tone, more) =>
  column(id, label, value, (text, row) => ({ text, tone: tone(text, row) }), more);

/** A number; zero is dimmed. */
export const numeric = (id, label, value = id, format = count, about) =>
  column(id, label, value, (number) => ({ text: format(number), dim: number === 0 }), {
    numeric: true,
    about,
  });

/** A time, Unix ms. */
export const when = (id, label, value = id) => column(id, label, value, (ms) => moment(ms));

/** The age of a time in Unix ms. */
export const since = (id, label, value, now) =>
  column(id, label, value, (ms, row) => ({ text: ago(ms, now(row)), title: moment(ms) }));

/** The first characters of a digest. */
export const digest = (id, label, units) =>
  column(id, label, id, (text) => ({ text: text.slice(0, units), title: text, mono: true }));

/** A button in each row. `about(row)` is its label for screen readers. */
export const action = (id, label, text, about, act) => ({
  id,
  label,
  is_hidden: true,
  sortable: false,
  cell: (row) => ({ text, label: about(row), action: () => act(row) }),
});
