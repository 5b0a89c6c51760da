/**
 * `deno task chaos:rollout [--connections 10000] [--idle 0] [--rate 5000] [--shields 4] [--hold_seconds 5]
 * [--within_ms 2000]`: a bad rule is planned and rolled out under load, misbehaves once it is in force for a share,
 * and is taken back; a good one is applied. Exits 1 when the plan is not the ledger's, taking back takes longer, a
 * connection ends, a message was judged by neither version, or there is something to plan in the end.
 */
import { runTask } from "../harness/task.ts";
import { whole } from "../harness/task_arguments.ts";
import { runRollout } from "./run.ts";

const USAGE = {
  command: "deno task chaos:rollout",
  about:
    `Plans a bad rule on several Shields with one NATS under load, and rolls it out. Messages that only
the new version refuses are sent once it is in force for half of the traffic. Then a good rule is applied.
Fails when the plan does not say what the ledger of its messages does, when a Shield still refuses them
later than --within_ms after the condition was not held any more, when a connection has ended, when a
message passed that both versions refuse, or when a plan after the good apply is not empty.`,
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
