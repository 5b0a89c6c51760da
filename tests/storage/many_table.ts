/** What `many_run.ts` found, as tables. */
import { percentile } from "../../bench/measure/statistics.ts";
import { renderRows } from "../../bench/measure/table.ts";
import type { Cost } from "./many_deployment.ts";
import type { ManyReport } from "./many_run.ts";

const HEAD = ["at rest", "MB", "of MB", "CPU %", "open files", "files", "disk MB"];

const mb = (bytes: number) => (bytes / 1e6).toFixed(0);

const row = (when: string) => (cost: Cost) => [
  `${cost.name}, ${when}`,
  mb(cost.rss_bytes),
  mb(cost.limit_bytes),
  (cost.cpu_share * 100).toFixed(1),
  String(cost.open_files),
  String(cost.files),
  mb(cost.disk_bytes),
];

/** The value below which so large a part of them is. */
const part = (sorted: readonly number[], share: number) =>
  `${Math.round(percentile(sorted, share))} ms`;

const spread = (sorted: readonly number[]) =>
  `median ${part(sorted, 0.5)}, 99 % below ${part(sorted, 0.99)}, worst ${part(sorted, 1)}`;

/** Prints all of it. */
export function printMany({ first_ms, empty, full, streams, kill }: ManyReport): void {
  const rows = [...empty.map(row("no tenants")), ...full.map(row(`${first_ms.length} tenants`))];
  console.log(`\n${renderRows(HEAD, rows)}\n`);
  console.log(`${streams} streams for ${first_ms.length} tenants`);
  console.log(`first publish of a tenant: ${spread(first_ms)}`);
  console.log(
    `one of three servers killed: ${kill.acknowledged} publishes acknowledged, ${kill.refused} ` +
      `refused and repeated; longest wait of a tenant: ${spread(kill.stalls_ms)}; longer than a ` +
      `second: ${kill.stalls_ms.filter((ms) => ms > 1_000).length} of ${kill.stalls_ms.length}`,
  );
}
