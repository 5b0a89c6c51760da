/**
 * `deno task chaos:rollout [--connections 10000] [--idle 0] [--rate 5000] [--shields 4] [--hold_seconds 5]
 * [--within_ms 2000]`: a bad rule is rolled out under load, misbehaves once it is in force for a share, and is
 * taken back. Exits 1 when that takes longer, a connection ends, or a message was judged by neither version.
 */
import { runTask } from "../harness/task.ts";
import { whole } from "../harness/task_arguments.ts";
import { runRollout } from "./run.ts";

const USAGE = {
  command: "deno task chaos:rollout",
  about:
    `Rolls a bad rule out on several Shields with one NATS under load. Messages that only the new
version refuses are sent once it is in force for half of the traffic. Fails when a Shield still refuses
them later than --within_ms after the condition was not held any more, when a connection has ended, or
when a message passed that both versions refuse.`,
  options: {
    connections: whole(10_000, "clients of all Shields"),
    idle: whole(0, "more connections, which send nothing", { low: 0 }),
    rate: whole(5_000, "messages a second of all clients"),
    shields: whole(4, "Shields", { low: 2 }),
    hold_seconds: whole(5, "how long each step takes"),
    within_ms: whole(2_000, "how long taking it back may take"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { report, problems } = await runRollout(values, say);
    console.log(`\n${report.join("\n")}`);
    return { problems };
  });
}
