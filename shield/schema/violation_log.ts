/**
 * Logs violations: `level=warn component=registry error="…" tenant_id=…`, with a limit for each tenant and second.
 * Lines above it are dropped, and one line a second says so.
 */
import type { Logger } from "../../shared/logs/log.ts";

/** The most lines of one tenant that reach the log in a second. */
export const LINES_PER_SECOND = 10;
/** The most tenants with a remembered rate; beyond that, all are cleared. */
const TENANTS_MAX = 10_000;

/** Writes a line about an event of the tenant. */
export type ViolationLog = (
  msg: string,
  error: string,
  tenant_id: string,
  fields: Readonly<Record<string, unknown>>,
) => void;

/** Makes a writer. `log` is of component `registry`, `now` in Unix ms. */
export function createViolationLog(log: Logger, now: () => number): ViolationLog {
  const rates = new Map<string, { second: number; lines: number }>();
  return (msg, error, tenant_id, fields) => {
    const second = Math.floor(now() / 1_000);
    let rate = rates.get(tenant_id);
    if (rate?.second !== second) {
      if (rates.size >= TENANTS_MAX) rates.clear();
      rate = { second, lines: 0 };
      rates.set(tenant_id, rate);
    }
    if (++rate.lines <= LINES_PER_SECOND) log.warn(msg, { error, tenant_id, ...fields });
    else if (rate.lines === LINES_PER_SECOND + 1) {
      const more = "more events of the tenant violate schemas; lines were dropped";
      log.warn(more, { error: "too many lines", tenant_id });
    }
  };
}
