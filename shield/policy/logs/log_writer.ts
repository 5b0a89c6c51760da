/**
 * `host_log` lines in the process's own log: `component=overseer module=NAME …`, with a limit for each tenant and
 * second. Lines above it are dropped, and one line per second reports that. `log_followers.ts` sends a tenant's lines
 * live.
 */
import type { Logger } from "../../../shared/logs/log.ts";
import { tenantLines } from "../../../shared/logs/tenant_lines.ts";
import type { PolicyLog } from "../../../shared/records/verdict.ts";

/** The most lines of one tenant that reach the log in a second. */
export const LINES_PER_SECOND = 50;
const LEVELS = ["debug", "info", "warn", "error"] as const;

type PolicyLogWriter = (tenant_id: string, logs: readonly PolicyLog[]) => void;

/** Makes a writer. `log` is of component `overseer`, `now` in Unix ms. */
export function createPolicyLogWriter(log: Logger, now: () => number): PolicyLogWriter {
  const choose = tenantLines(LINES_PER_SECOND, now);
  return (tenant_id, logs) => {
    for (const { name, level, message } of logs) {
      const choice = choose(tenant_id);
      if (choice === "last") {
        log.warn("a tenant's policies log too much; lines were dropped", { tenant_id });
      }
      if (choice !== "written") return;
      log.child({ module: name, tenant_id })[LEVELS[level] ?? "info"](message);
    }
  };
}
