/**
 * `host_log` lines in the process's own log: `component=overseer module=NAME …`, with a limit for each tenant and
 * second. Lines above it are dropped, and one line per second reports that. `log_followers.ts` sends a tenant's lines
 * live.
 */
import type { Logger } from "../../../shared/logs/log.ts";
import type { PolicyLog } from "../../message/verdict.ts";

/** The most lines of one tenant that reach the log in a second. */
export const LINES_PER_SECOND = 50;
/** The most tenants with a remembered rate; beyond that, all are cleared. */
const TENANTS_MAX = 10_000;
const LEVELS = ["debug", "info", "warn", "error"] as const;

/** Writes the lines of one evaluation. */
export type PolicyLogWriter = (tenant_id: string, logs: readonly PolicyLog[]) => void;

/** Makes a writer. `log` is of component `overseer`, `now` in Unix ms. */
export function createPolicyLogWriter(log: Logger, now: () => number): PolicyLogWriter {
  const rates = new Map<string, { second: number; lines: number }>();
  return (tenant_id, logs) => {
    const second = Math.floor(now() / 1_000);
    let rate = rates.get(tenant_id);
    if (rate?.second !== second) {
      if (rates.size >= TENANTS_MAX) rates.clear();
      rate = { second, lines: 0 };
      rates.set(tenant_id, rate);
    }
    for (const { name, level, message } of logs) {
      if (rate.lines > LINES_PER_SECOND) return;
      if (++rate.lines > LINES_PER_SECOND) {
        log.warn("a tenant's policies log too much; lines were dropped", { tenant_id });
        return;
      }
      log.child({ module: name, tenant_id })[LEVELS[level] ?? "info"](message);
    }
  };
}
