// Columns that several tables have: plain text, numbers, moments and buttons. Tables themselves are `table.js`.
import { count, moment } from "./format.js";

/** What `text` makes of a row, or its member `id`; `absent` where there is none. */
export const plain = (id, label, text = (row) => row[id], absent = "–") => ({
  id,
  label,
  value: text,
  cell: (row) => String(text(row) ?? absent),
});

/** A number of each row; a zero stands back. */
export const numeric = (id, label, value, format = count, about) => ({
  id,
  label,
  numeric: true,
  about,
  value,
  cell: (row) => ({ text: format(value(row)), dim: value(row) === 0 }),
});

/** The number in the member `name`. */
export const figure = (id, label, name, format) => numeric(id, label, (row) => row[name], format);

/** The moment in the member `name`, Unix ms. */
export const when = (id, label, name) => ({
  id,
  label,
  value: (row) => row[name],
  cell: (row) => moment(row[name]),
});

/** A button in each row. `about` says what it does there, for those who do not see the row. */
export const action = (id, label, text, about, act) => ({
  id,
  label,
  is_hidden: true,
  sortable: false,
  cell: (row) => ({ text, label: about(row), action: () => act(row) }),
});
