/**
 * `deno task chaos:members [--minutes 10 | --seconds 120] [--clients 500] [--down 60] [--seed N] [--short]`:
 * journals of members and the hooks that tell of them, while NATS servers, Brains and Shields are killed, stopped,
 * restarted and cut off. Exits 0 when at every quiet point the journals are who is there, 1 with what is wrong.
 */
import { LONG, SHORT } from "../chaos/variant.ts";
import { runTask } from "../harness/task.ts";
import { flag, maybe, seed, whole } from "../harness/task_arguments.ts";
import { runMembers } from "./run.ts";

const ROUND_SECONDS = 75;

const USAGE = {
  command: "deno task chaos:members",
  about:
    `Hurts NATS servers, Brains and Shields in rounds while clients come and go. At the end of each round
the journals of members must be who is there; a restart of everything lets nobody leave; a receiver of hooks
that was down meanwhile has everything once, in order by room. Exits 1 when that is not so.`,
  options: {
    seconds: whole(120, "how long faults go on, over all rounds"),
    minutes: maybe(whole(10, "the same in minutes; goes before --seconds")),
    clients: whole(500, "of the SDK, that come and go", { low: 20 }),
    down: whole(60, "seconds for which the receiver of hooks is down"),
    seed: seed(),
    short: flag("with the times that its test has"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { minutes, clients, seed, down, short } = values;
    const seconds = minutes === undefined ? values.seconds : 60 * minutes;
    const verdict = await runMembers({
      variant: short ? SHORT : LONG,
      rounds: Math.max(1, Math.round(seconds / ROUND_SECONDS)),
      down_seconds: down,
      ...{ seconds, clients, seed },
    }, say);
    console.log(`\n${verdict.report.join("\n")}`);
    return verdict;
  });
}
