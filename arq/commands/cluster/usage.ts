/** `arq usage`: asks the bus what a tenant has used, and shows it as a table, as CSV or as JSON. */
import { usageCsv, usageText } from "../../answers/usage_text.ts";
import { askAdmin, findAdmin } from "../../bus/admin.ts";
import { busAgo } from "../../bus/bus_clock.ts";
import type { ConnectionFlags } from "../../bus/target.ts";
import { EXIT, usageError } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";

/** The options of `arq usage`. */
export interface UsageFlags extends ConnectionFlags {
  readonly tenant?: string;
  readonly by?: string;
  /** The last so many seconds. */
  readonly since: number;
  readonly csv?: boolean;
  readonly json?: boolean;
}

/** Prints what was used. */
export async function usage(io: Io, flags: UsageFlags): Promise<number> {
  const { tenant, by, since, csv = false, json = false } = flags;
  if (csv && json) throw usageError("give one of --csv and --json");
  const admin = await findAdmin(io, flags);
  const query = new URLSearchParams({
    since_ms: String(await busAgo(io, admin, since)),
  });
  if (tenant !== undefined) query.set("tenant", tenant);
  if (by !== undefined) query.set("by", by);
  const answer = await askAdmin(io, admin, { method: "GET", path: `/v1/usage?${query}` });
  const text = json ? `${JSON.stringify(answer)}\n` : csv ? usageCsv(answer) : usageText(answer);
  await print(io.stdout, text);
  return EXIT.ok;
}
