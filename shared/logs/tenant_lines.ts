/** A limit of log lines for each tenant and second: whoever causes lines cannot fill the log. */
import type { Logger } from "./log.ts";

/** The most tenants with a remembered rate; beyond that, all are cleared. */
const TENANTS_MAX = 10_000;

/** Whether a line is written: `last` has to say that the tenant's other lines of this second are left out. */
type LineChoice = "written" | "last" | "left out";

/** Counts a line of a tenant, and returns its choice. `now` in Unix ms. */
export function tenantLines(
  per_second: number,
  now: () => number,
): (tenant_id: string) => LineChoice {
  const rates = new Map<string, { second: number; lines: number }>();
  return (tenant_id) => {
    const second = Math.floor(now() / 1_000);
    let rate = rates.get(tenant_id);
    if (rate?.second !== second) {
      if (rates.size >= TENANTS_MAX) rates.clear();
      rate = { second, lines: 0 };
      rates.set(tenant_id, rate);
    }
    if (++rate.lines <= per_second) return "written";
    return rate.lines === per_second + 1 ? "last" : "left out";
  };
}

/** The most lines of the programs of one tenant that reach the log in a second. */
export const PROGRAM_LINES = 50;
const LEVELS = ["debug", "info", "warn", "error"] as const;

/** Writes a line of a tenant's program with these fields; `level` is an index: debug, info, warn, error. */
export type ProgramLog = (
  fields: { readonly tenant_id: string; readonly [name: string]: string },
  level: number,
  message: string,
) => void;

/** Makes a writer of lines of tenants' `programs`; one a second says that others were dropped. `now` in Unix ms. */
export function programLog(
  log: Logger,
  now: () => number,
  programs: "policies" | "reducers",
): ProgramLog {
  const choose = tenantLines(PROGRAM_LINES, now);
  return (fields, level, message) => {
    const { tenant_id } = fields;
    const choice = choose(tenant_id);
    if (choice === "written") log.child(fields)[LEVELS[level] ?? "info"](message);
    else if (choice === "last") {
      log.warn(`a tenant's ${programs} log too much; lines were dropped`, { tenant_id });
    }
  };
}
