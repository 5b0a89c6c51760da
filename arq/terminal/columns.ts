/** Rows as text in columns. Pure. */

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
