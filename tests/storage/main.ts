/**
 * `deno task storage --many 10000 [--kill-at 2000] [--writers 64] [--rest-s 20]`: so many tenants with a
 * room each on three NATS servers, what they cost, and the death of one server; see `many_run.ts`.
 */
import { amount, whole } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import { printMany } from "./many_table.ts";
import { runMany } from "./many_run.ts";

const USAGE = {
  command: "deno task storage",
  about:
    `Many tenants on three NATS servers of which one dies. Exits 1 when a message that was acknowledged is
lost, or a process takes more than its container has.`,
  options: {
    many: whole(10_000, "tenants with a room each"),
    "kill-at": whole(2_000, "of so many on, a server is killed"),
    writers: whole(64, "tenants that write at a time"),
    "rest-s": amount(20, "seconds of rest before memory is read"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const report = await runMany({
      tenants: values.many,
      kill_at: Math.min(values.many, values["kill-at"]),
      writers: values.writers,
      rest_ms: values["rest-s"] * 1_000,
      say,
    });
    printMany(report);
    return { problems: report.broken };
  });
}
