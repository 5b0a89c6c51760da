/**
 * `deno task chaos [--focus WORD] [--minutes N | --seconds N] [--steps N] [--seed N] [--nats 0|1|3]`: random walks,
 * judged by the model of the bus. Some focuses are not walks: `reducers`, reducer rooms, judged by a linearizability
 * checker; `bridge`, transactions of PostgreSQL, judged by what committed; `site`, a production setup after
 * docs/deploy.md, lost twice. Exits with 1 and the first failing walk, and a shorter failing one.
 */
import { renderRows } from "../../bench/measure/table.ts";
import { runBridges } from "../bridge/run.ts";
import { maybe, oneOf, seed, whole } from "../harness/task_arguments.ts";
import { runTask, type Say } from "../harness/task.ts";
import type { Verdict } from "../harness/verdict.ts";
import { runProduction } from "../production/run.ts";
import { runReducers } from "../reducer_chaos/run.ts";
import { type Focus, FOCUSES } from "./plan.ts";
import { emptyTally, runWalks, sayTally } from "./run.ts";
import { openerOf } from "./world.ts";

/** The interval between faults of Brains, and the number of callers. */
const COUNTERS = { every_ms: 5_000, callers_per_room: 16 };
/** The number of writers, and the pause between two kills. */
const WRITERS = { writers: 4, batch: 500, calm_ms: [2_000, 10_000] } as const;
/** On a machine that runs a database, a bus and two bridges. */
const COMMITS_PER_SECOND = 500;
/** A room's load. */
const SITE = { rooms: 8, rate: 50, message_bytes: 1_000, calm: 500 };

/** Runs instead of walks, for about that time. */
interface Run {
  readonly rooms: number;
  readonly seconds: number;
  /** 0: one process. */
  readonly servers: 0 | 1 | 3;
  readonly seed: number;
}

const OTHERS: Readonly<Record<string, (run: Run, say: Say) => Promise<Verdict>>> = {
  async reducers({ rooms, ...run }, say) {
    const servers = run.servers || 1;
    return await runReducers({ ...COUNTERS, rooms: 4 * rooms, ...run, servers }, say);
  },
  async bridge({ seconds, seed }, say) {
    const plan = { ...WRITERS, transactions: seconds * COMMITS_PER_SECOND, seed };
    return await runBridges(plan, say) ??
      { problems: [], undecided: ["there is no PostgreSQL here"] };
  },
  /** As long as it takes. */
  async site(_run, say) {
    const { figures, problems } = await runProduction({ ...SITE, say });
    say(`\n${renderRows(["what", "figure"], figures.map(({ what, value }) => [what, value]))}`);
    return { problems };
  },
};

const USAGE = {
  command: "deno task chaos",
  about:
    `Walks by chance over what can be done with rooms, while faults strike; the model of the bus judges.
With the focus reducers, on NATS, counters are called without a pause while Brains are killed and cut off;
porcupine judges the histories, and folds of each log, some in wasmtime, come to one digest.
With bridge, transactions that publish commit and roll back while PostgreSQL, the bus and two bridges are killed.
With site, a production set-up goes through a rollout, a backup, its loss, the restore and a failover, as long as that takes.
Exits 1 with the first walk that goes wrong, and a shorter one that does.`,
  options: {
    focus: oneOf([...FOCUSES, ...Object.keys(OTHERS)], "all", "on what the rooms lay weight"),
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
    const other = OTHERS[focus];
    if (other !== undefined) {
      return await other({ rooms, seconds, servers: Number(nats) as Run["servers"], seed }, say);
    }
    const tally = emptyTally();
    const problems = await runWalks({
      focus: focus as Focus,
      steps,
      rooms,
      seed,
      seconds,
      tally,
      say,
      open: openerOf(nats),
    });
    say(sayTally(tally));
    return { problems, seed };
  });
}
