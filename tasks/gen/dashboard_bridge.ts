/** The row of the Grafana dashboard "ArqonBus Overview" about `[bridge.postgres]`. `dashboard_rows.ts` has the others. */
import { panel, rate, type RowSpec } from "./dashboard_panel.ts";

const seconds = (q: number): string =>
  `histogram_quantile(${q}, ${rate("bridge_commit_seconds_bucket", "le")})`;

/** Of buses that have none, it is empty. */
export const BRIDGE_ROW: RowSpec = {
  title: "Bridge to PostgreSQL",
  panels: [
    panel("Following", "short", "1 while a bridge follows the database; of several, one does.", [
      ["max by (job) (bridge_following{@})", "{{job}}"],
    ]),
    panel("Messages of commits", "cps", "Published, had before, or refused for good.", [
      [rate("bridge_messages_total", "outcome"), "{{outcome}}"],
    ]),
    panel("Commit to bus", "s", "From a commit to when the bus has taken its message.", [
      [seconds(0.5), "p50"],
      [seconds(0.99), "p99"],
    ]),
    panel("Waiting for the bus", "short", "Messages; [bridge.postgres] waiting_messages.", [
      ["sum by (instance) (bridge_waiting_messages{@})", "{{instance}}"],
    ]),
    panel("Log kept by the database", "bytes", "And what it may write before the slot is lost.", [
      ["max by (job) (bridge_kept_wal_bytes{@})", "{{job}} kept"],
      ["min by (job, slot) (bridge_safe_wal_bytes{@})", "{{job}} {{slot}} safe"],
    ]),
  ],
};
