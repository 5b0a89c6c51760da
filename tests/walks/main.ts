/**
 * `deno task chaos [--focus WORD] [--minutes N | --seconds N] [--steps N] [--seed N] [--nats]`: random walks, judged by
 * the model of the bus. Exits 1 with the first that goes wrong, and a shorter one that does.
 */
import { flag, maybe, oneOf, seed, whole } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import { FOCUSES } from "./plan.ts";
import { emptyTally, runWalks, sayTally } from "./run.ts";
import { openCluster, openEmbedded } from "./world.ts";

const USAGE = {
  command: "deno task chaos",
  about:
    `Walks by chance over what can be done with rooms, while faults strike; the model of the bus judges.
Exits 1 with the first walk that goes wrong, and a shorter one that does.`,
  options: {
    focus: oneOf(FOCUSES, "all", "on what the rooms lay weight"),
    seconds: whole(60, "for how long another walk is begun"),
    minutes: maybe(whole(1, "the same in minutes; goes before --seconds")),
    steps: whole(30, "of a walk", { low: 2, high: 200 }),
    rooms: whole(10, "of a walk, at most"),
    seed: seed(),
    nats: flag("on NATS with two Shields and two Brains"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { focus, steps, rooms, seed, nats, minutes } = values;
    const seconds = minutes === undefined ? values.seconds : minutes * 60;
    say(`chaos: ${nats ? "NATS" : "embedded"}, focus ${focus}, ${seconds} s, seed ${seed}`);
    const tally = emptyTally();
    const open = nats ? openCluster : openEmbedded;
    const problems = await runWalks({ focus, steps, rooms, seed, seconds, open, tally, say });
    say(sayTally(tally));
    return { problems, seed };
  });
}
