/** A limit of log lines for each tenant and second: whoever causes lines cannot fill the log. */

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
