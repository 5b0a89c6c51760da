// Columns that several tables have: plain text, and numbers. Tables themselves are `table.js`.
import { count } from "./format.js";

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
