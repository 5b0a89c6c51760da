/**
 * `deno task chaos:usage [--minutes 10 | --seconds 120] [--shields 3] [--clients 3] [--seed N]`: the ledger of
 * use while Shields are killed, stopped, restarted and cut off. Exits 0 when it is the clients' own count, to
 * the unit but for what is told as lost, 1 with what is wrong.
 */
import { runTask } from "../harness/task.ts";
import { maybe, seed, whole } from "../harness/task_arguments.ts";
import { runUsage } from "./run.ts";

const USAGE = {
  command: "deno task chaos:usage",
  about:
    `Counts messages and deliveries by the clients while Shields are killed, stopped, restarted and
cut off from NATS, and compares the ledger of use with it: to the unit, but for what killed Shields had
not written, which must be told. Compares its fuel with the journal and with a replay of that.`,
  options: {
    seconds: whole(120, "how long Shields are hurt", { low: 10 }),
    minutes: maybe(whole(10, "the same in minutes; goes before --seconds")),
    shields: whole(3, "Shields; the first one is never killed", { low: 2 }),
    clients: whole(3, "of each of two tenants at each Shield"),
    seed: seed(),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { minutes, seconds, shields, clients, seed } = values;
    const verdict = await runUsage({
      seconds: minutes === undefined ? seconds : 60 * minutes,
      ...{ shields, clients, seed },
      ...{ away_ms: [1_000, 4_000], pause_ms: [1_500, 6_000], idle_ms: [10, 60] },
    }, say);
    console.log(`\n${verdict.report.join("\n")}`);
    return verdict;
  });
}
