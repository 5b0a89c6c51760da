/**
 * `deno task storage [--engine nats|embedded] [--storage-mb 256] [--log-mb 32] [--tenants 8]
 * [--message-bytes 50000]`: tenants store all they can while a quiet one does a little of everything. A
 * table of what came of it; exits 1 when the quiet one was refused, or a bound did not hold.
 * `deno task storage --many 10000 [--kill-at 2000] [--writers 64] [--rest-s 20]`: so many tenants with a
 * room each on three NATS servers, what they cost, and the death of one server; see `many_run.ts`.
 */
import { renderRows } from "../../bench/measure/table.ts";
import { amount, maybe, oneOf, whole } from "../harness/task_arguments.ts";
import type { ValuesOf } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import type { Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { DEEDS } from "./quiet_tenant.ts";
import { printMany } from "./many_table.ts";
import { runMany } from "./many_run.ts";
import { runStorage } from "./run.ts";
import type { Phase } from "./run.ts";

const HEAD = ["", "stored", "refused", ...DEEDS.flatMap((deed) => [deed, "worst"])];
const MIB = 1_048_576;

function row({ name, stored_bytes, refused, quiet }: Phase): string[] {
  const deeds = DEEDS.flatMap((deed) => {
    const { done, refused, worst_ms } = quiet[deed];
    return [
      refused.length === 0 ? `${done}` : `${done} of ${done + refused.length}`,
      `${Math.ceil(worst_ms)} ms`,
    ];
  });
  return [name, `${(stored_bytes / 1e6).toFixed(1)} MB`, String(refused), ...deeds];
}

const USAGE = {
  command: "deno task storage",
  about:
    `Tenants store all they can beside a quiet one that stores a little of everything, or, with --many, so
many tenants on three NATS servers of which one dies. Exits 1 when the quiet one is refused or a
bound does not hold.`,
  options: {
    engine: oneOf(["nats", "embedded"], "nats", "of the Spine"),
    "storage-mb": amount(256, "MiB that there are"),
    "log-mb": amount(32, "MiB that a tenant's log may take"),
    tenants: whole(8, "that store all they can"),
    "message-bytes": whole(50_000, "bytes of a message"),
    many: maybe(whole(10_000, "so many tenants with a room each, instead")),
    "kill-at": whole(2_000, "with --many: of so many on, a server is killed"),
    writers: whole(64, "with --many: tenants that write at a time"),
    "rest-s": amount(20, "with --many: seconds of rest before memory is read"),
  },
};
type Values = ValuesOf<typeof USAGE.options>;

async function many(tenants: number, values: Values, say: Say): Promise<Verdict> {
  const report = await runMany({
    tenants,
    kill_at: Math.min(tenants, values["kill-at"]),
    writers: values.writers,
    rest_ms: values["rest-s"] * 1_000,
    say,
  });
  printMany(report);
  return { problems: report.broken };
}

async function few(values: Values, say: Say): Promise<Verdict> {
  const { phases, streams, broken } = await runStorage({
    engine: values.engine,
    storage_bytes: values["storage-mb"] * MIB,
    log_bytes: values["log-mb"] * MIB,
    tenants: values.tenants,
    message_bytes: values["message-bytes"],
    beyond: 100,
    rounds: 20,
    say,
  });
  console.log(`\n${renderRows(HEAD, phases.map(row))}`);
  const largest = streams.toSorted((left, right) => right.bound_bytes - left.bound_bytes);
  const sizes = largest.map(({ name, used_bytes, bound_bytes }) => [
    name,
    (used_bytes / 1e6).toFixed(1),
    (bound_bytes / 1e6).toFixed(1),
  ]);
  if (sizes.length > 0) console.log(`\n${renderRows(["stream", "MB used", "MB bound"], sizes)}`);
  return { problems: broken };
}

if (import.meta.main) {
  await runTask(
    USAGE,
    Deno.args,
    (values, say) => values.many === undefined ? few(values, say) : many(values.many, values, say),
  );
}
