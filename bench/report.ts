/** Results as a table for people and as JSON with everything needed to repeat them. */
import type { LoadOptions, LoadResult } from "./open_loop.ts";

/** One run: everything that is needed to judge and to repeat it. */
export interface Report {
  readonly scenario: string;
  readonly options: LoadOptions;
  readonly results: readonly LoadResult[];
  /** First result over the last, which is the limit to compare with. */
  readonly ratio: { readonly p50: number; readonly p99: number };
  readonly machine: Record<string, string | number>;
  readonly commit: string;
  readonly started: string;
}

const COLUMNS = ["p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms"] as const;

/** The table, one row a target and one for the ratio. */
export function renderTable(report: Report): string {
  const head = ["target", "sent", "received", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"];
  const rows = report.results.map((result) => [
    result.target,
    String(result.sent),
    String(result.received),
    ...COLUMNS.map((column) => result[column].toFixed(3)),
  ]);
  const [ours, limit] = [report.results[0], report.results.at(-1)];
  if (ours !== undefined && limit !== undefined) {
    const ratios = COLUMNS.map((column) => `${(ours[column] / limit[column]).toFixed(2)}x`);
    rows.push(["ratio", "", "", ...ratios]);
  }
  const widths = head.map((text, column) =>
    Math.max(text.length, ...rows.map((row) => (row[column] ?? "").length))
  );
  const line = (row: string[]) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)
    ).join("  ");
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
