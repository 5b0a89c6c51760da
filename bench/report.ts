/** Results of several targets under one load as a table: one row a target and one for the ratio. */
import type { LoadResult } from "./open_loop.ts";
import { renderRows } from "./table.ts";

const COLUMNS = ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"] as const;

/** The last row is the first target's figures over those of the last, the limit to compare with. */
export function renderTable(results: readonly LoadResult[]): string {
  const head = ["target", "sent", "received", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"];
  const rows = results.map((result) => [
    result.target,
    String(result.sent),
    String(result.received),
    ...COLUMNS.map((column) => result[column].toFixed(3)),
  ]);
  const [ours, limit] = [results[0], results.at(-1)];
  if (ours !== undefined && limit !== undefined) {
    const ratios = COLUMNS.map((column) => `${(ours[column] / limit[column]).toFixed(2)}x`);
    rows.push(["ratio", "", "", ...ratios]);
  }
  return renderRows(head, rows);
}
