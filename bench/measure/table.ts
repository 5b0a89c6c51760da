/** Renders rows as an aligned table for a terminal. */

/** A table whose first column is left-aligned and the others right-aligned, with a rule under the head. */
export function renderRows(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((text, column) =>
    Math.max(text.length, ...rows.map((row) => (row[column] ?? "").length))
  );
  const line = (row: readonly string[]) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)
    ).join("  ").trimEnd();
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

/** A column of a table: its head, its value of a row, and the decimal places of a number. */
export type Column<T> = readonly [
  title: string,
  value: (row: T) => string | number | undefined,
  digits?: number,
];

/** The table of some rows. NaN is left blank. */
export function renderTable<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  const shown = (value: string | number | undefined, digits: number) => {
    if (typeof value !== "number") return value ?? "";
    return Number.isNaN(value) ? "" : value.toFixed(digits);
  };
  return renderRows(
    columns.map(([title]) => title),
    rows.map((row) => columns.map(([, value, digits = 0]) => shown(value(row), digits))),
  );
}
