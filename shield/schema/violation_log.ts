/**
 * Logs violations: `level=warn component=registry error="…" tenant_id=…`, with a limit for each tenant and second.
 * Lines above it are dropped, and one line a second says so.
 */
import type { Logger } from "../../shared/logs/log.ts";
import { tenantLines } from "../../shared/logs/tenant_lines.ts";

/** The most lines of one tenant that reach the log in a second. */
export const LINES_PER_SECOND = 10;

/** Writes a line about an event of the tenant. */
export type ViolationLog = (
  msg: string,
  error: string,
  tenant_id: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** Makes a writer. `log` is of component `registry`, `now` in Unix ms. */
export function createViolationLog(log: Logger, now: () => number): ViolationLog {
  const choose = tenantLines(LINES_PER_SECOND, now);
  return (msg, error, tenant_id, fields) => {
    const choice = choose(tenant_id);
    if (choice === "written") log.warn(msg, { error, tenant_id, ...fields });
    else if (choice === "last") {
      const more = "more events of the tenant violate schemas; lines were dropped";
      log.warn(more, { error: "too many lines", tenant_id });
    }
  };
}
