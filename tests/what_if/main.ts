/**
 * `deno task whatif [--messages 260000] [--kills 6] [--clients 20] [--window 16] [--wasmtime 2000]
 * [--seed N]`: decisions of four policies on two Shields that are killed under load, and what the journal and
 * a replay say of them afterwards. `deno task whatif --events 1000000 [--planted 10]`: events with planted
 * violations against a schema. Exits 0 when every record is what the client was told, the recorded modules
 * repeat to the unit, and a planted rule flips exactly what it must; or when exactly the planted violations
 * are named; 1 with what is wrong.
 */
import { runTask } from "../harness/task.ts";
import { seed, whole } from "../harness/task_arguments.ts";
import { plantEvents } from "./planted_events.ts";
import { runWhatIf } from "./run.ts";

const USAGE = {
  command: "deno task whatif",
  about:
    `Records the decisions of four policies, two of them with state, while Shields are killed; then
replays the recorded modules, which must say the same again, and one with a planted rule.`,
  options: {
    messages: whole(260_000, "messages, each asked of up to four policies"),
    kills: whole(6, "how often a Shield is killed", { low: 0 }),
    clients: whole(20, "clients of each Shield"),
    window: whole(16, "messages that a client has under way"),
    wasmtime: whole(0, "calls of each policy that wasmtime repeats, too; needs Python", { low: 0 }),
    events: whole(
      0,
      "in place of all that: events with planted violations of a schema, which must be named",
      { low: 0 },
    ),
    planted: whole(10, "with --events: so many violations"),
    seed: seed(),
  },
};

if (import.meta.main) {
  await runTask(
    USAGE,
    Deno.args,
    (plan, say) => plan.events > 0 ? plantEvents(plan, say) : runWhatIf(plan, say),
  );
}
