/**
 * `deno task chaos [--focus WORD] [--minutes N | --seconds N] [--steps N] [--seed N] [--nats 0|1|3]`: random walks, judged by
 * the model of the bus; with `--focus reducers` rooms that are programs, judged by a checker of linearizability. Exits 1
 * with the first that goes wrong, and a shorter one that does.
 */
import { maybe, oneOf, seed, whole } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";
import { runReducers } from "../reducer_chaos/run.ts";
import { FOCUSES } from "./plan.ts";
import { emptyTally, runWalks, sayTally } from "./run.ts";
import { openerOf } from "./world.ts";

/** How often a Brain is hurt, and how much is called. */
const COUNTERS = { every_ms: 5_000, callers_per_room: 16 };

const USAGE = {
  command: "deno task chaos",
  about:
    `Walks by chance over what can be done with rooms, while faults strike; the model of the bus judges.
With the focus reducers, on NATS, counters are called without a pause while Brains are killed and cut off;
porcupine judges the histories, and folds of each log, some in wasmtime, come to one digest.
Exits 1 with the first walk that goes wrong, and a shorter one that does.`,
  options: {
    focus: oneOf([...FOCUSES, "reducers"], "all", "on what the rooms lay weight"),
    seconds: whole(60, "for how long another walk is begun"),
    minutes: maybe(whole(1, "the same in minutes; goes before --seconds")),
    steps: whole(30, "of a walk", { low: 2, high: 200 }),
    rooms: whole(10, "of a walk, at most"),
    seed: seed(),
    nats: oneOf(
      ["0", "1", "3"],
      "0",
      "servers of NATS, with two Shields and two Brains; 0: one process",
    ),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { focus, steps, rooms, seed, nats, minutes } = values;
    const seconds = minutes === undefined ? values.seconds : minutes * 60;
    say(`chaos: ${nats} NATS servers, focus ${focus}, ${seconds} s, seed ${seed}`);
    if (focus === "reducers") {
      const servers = nats === "3" ? 3 : 1;
      return await runReducers({ ...COUNTERS, rooms: 4 * rooms, seconds, servers, seed }, say);
    }
    const tally = emptyTally();
    const problems = await runWalks({
      ...{ focus, steps, rooms, seed, seconds, tally, say },
      open: openerOf(nats),
    });
    say(sayTally(tally));
    return { problems, seed };
  });
}
