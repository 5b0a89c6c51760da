/**
 * `deno task chaos:reducers [--minutes 10 | --seconds 120] [--every 5] [--rooms 40] [--callers 16] [--nats 1] [--seed N]`:
 * rooms that are programs, called without a pause while the Brains that own them are killed and cut off in turn.
 * Exits 0 when each call was applied once, by a checker of linearizability that others wrote, 1 with what is wrong.
 */
import { runTask } from "../harness/task.ts";
import { flag, maybe, oneOf, seed, whole } from "../harness/task_arguments.ts";
import { runReducers } from "./run.ts";
import { wasmtimeThere } from "./wasmtime.ts";

const USAGE = {
  command: "deno task chaos:reducers",
  about:
    `Calls counters in many rooms while a Brain is killed or cut off every few seconds, each in turn, and
Shields now and then. Every call is repeated until it is answered; then porcupine judges the histories, each call
must have one entry and one event, and two folds of each log from its first entry one digest, which for some rooms
is wasmtime's, too. Exits 1 when that is not so.`,
  options: {
    seconds: whole(120, "how long faults go on"),
    minutes: maybe(whole(10, "the same in minutes; goes before --seconds")),
    every: whole(5, "seconds from one Brain to the next"),
    rooms: whole(40, "counters"),
    callers: whole(16, "calls under way in each of them", { high: 100 }),
    nats: oneOf(["1", "3"], "1", "NATS servers"),
    seed: seed(),
    short: flag("with the times that its test has"),
  },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async (values, say) => {
    const { minutes, every, rooms, callers, nats, seed, short } = values;
    const seconds = minutes === undefined ? values.seconds : 60 * minutes;
    const elsewhere = await wasmtimeThere() ? 2 : 0;
    if (elsewhere === 0) {
      say("without .arqon/python (deno task test:python) nothing is folded in wasmtime");
    }
    const verdict = await runReducers({
      ...{ seconds, every_ms: short ? 2_000 : 1_000 * every, rooms, seed, elsewhere },
      ...{ callers_per_room: callers, servers: nats === "3" ? 3 : 1 },
    }, say);
    console.log(`\n${verdict.report.join("\n")}`);
    return verdict;
  });
}
