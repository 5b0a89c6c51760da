/**
 * `deno task storage [--engine nats|embedded] [--storage-mb 256] [--log-mb 32] [--tenants 8]
 * [--message-bytes 50000]`: tenants store all they can while a quiet one does a little of everything. A
 * table of what came of it; exits 1 when the quiet one was refused, or a bound did not hold.
 * `deno task storage --many 10000 [--kill-at 2000] [--writers 64] [--rest-s 20]`: so many tenants with a
 * room each on three NATS servers, what they cost, and the death of one server; see `many_run.ts`.
 */
import { parseArgs } from "node:util";
import { renderRows } from "../../bench/measure/table.ts";
import { endOnSignal } from "../harness/end_on_signal.ts";
import { above0, fail } from "../harness/task_options.ts";
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

if (import.meta.main) {
  endOnSignal();
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      engine: { ...text, default: "nats" },
      "storage-mb": { ...text, default: "256" },
      "log-mb": { ...text, default: "32" },
      tenants: { ...text, default: "8" },
      "message-bytes": { ...text, default: "50000" },
      many: text,
      "kill-at": { ...text, default: "2000" },
      writers: { ...text, default: "64" },
      "rest-s": { ...text, default: "20" },
    },
  });
  if (values.many !== undefined) {
    const tenants = above0("many", values.many);
    const report = await runMany({
      tenants,
      kill_at: Math.min(tenants, above0("kill-at", values["kill-at"])),
      writers: above0("writers", values.writers),
      rest_ms: above0("rest-s", values["rest-s"]) * 1_000,
      say: (line) => console.log(line),
    });
    printMany(report);
    Deno.exit(report.broken.length === 0 ? 0 : 1);
  }
  const { engine } = values;
  if (engine !== "nats" && engine !== "embedded") {
    fail(`--engine is ${JSON.stringify(engine)}; expected nats or embedded`);
  }
  const { phases, streams, broken } = await runStorage({
    engine,
    storage_bytes: above0("storage-mb", values["storage-mb"]) * MIB,
    log_bytes: above0("log-mb", values["log-mb"]) * MIB,
    tenants: above0("tenants", values.tenants),
    message_bytes: above0("message-bytes", values["message-bytes"]),
    beyond: 100,
    rounds: 20,
    say: (line) => console.log(line),
  });
  console.log(`\n${renderRows(HEAD, phases.map(row))}`);
  const largest = streams.toSorted((left, right) => right.bound_bytes - left.bound_bytes);
  const sizes = largest.map(({ name, used_bytes, bound_bytes }) => [
    name,
    (used_bytes / 1e6).toFixed(1),
    (bound_bytes / 1e6).toFixed(1),
  ]);
  if (sizes.length > 0) console.log(`\n${renderRows(["stream", "MB used", "MB bound"], sizes)}`);
  if (broken.length > 0) console.log(`\n- ${broken.join("\n- ")}`);
  console.log(broken.length === 0 ? "\nPASSED" : "\nFAILED");
  Deno.exit(broken.length === 0 ? 0 : 1);
}
