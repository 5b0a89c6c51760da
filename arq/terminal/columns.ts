/** Lines, and rows in columns, as text for people. Pure. */
import { printable } from "./exit.ts";

/** A text of these lines, each after `indent`. None of them can control the terminal. */
export const linesText = (lines: readonly string[], indent = ""): string =>
  lines.map((line) => `${indent}${printable(line)}\n`).join("");

/**
 * A line of text for each row, without its end: cells of equal width, two spaces apart. The columns from `right` up to
 * `end` are aligned to the right.
 */
export function inColumns(
  rows: readonly (readonly string[])[],
  right = Infinity,
  end = Infinity,
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row.map((cell, at) =>
      at >= right && at < end ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)
    ).join("  ").trimEnd()
  );
}
