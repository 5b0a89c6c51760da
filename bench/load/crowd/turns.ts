/**
 * Loads that take turns: each on connections of its own, which stay open, in the opposite order in every other round.
 * What else the machine does is then about the same for all.
 */
import type { Group, Run } from "../plans/plan.ts";
import type { RunningTarget, WireSpec } from "../targets/target.ts";
import { type Load, type LoadReport, openLoad } from "./driver.ts";

/** A load that takes turns with others, and the run of a turn. */
export interface Player {
  readonly name: string;
  readonly target: RunningTarget;
  readonly groups: readonly Group[];
  readonly sizes_bytes: readonly number[];
}

/** One turn of one load. */
export interface Turn {
  readonly name: string;
  /** What the run was, by its name. */
  readonly at: string;
  readonly report: LoadReport;
}

/** A bus that runs already, as a target. Without a process id it has no CPU time and memory. */
export function busTarget(
  { pid, url }: { readonly pid?: number; readonly url: string },
  tokens: WireSpec["tokens"],
): RunningTarget {
  const wire = { protocol: "arqon", url, tokens } as const;
  const pids = pid === undefined ? [] : [pid];
  return { version: "", pids, wire, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** What all players do in one turn: at a rate or as fast as it goes. */
export type Paces = Readonly<Record<string, Pick<Run, "pace" | "from">>>;

/** At so many messages a second, from when each is sent. */
export const atRate = (rate: number): Paces[string] => ({
  pace: { kind: "rate", rate, burst: 1 },
  from: "sent",
});

/** The turns of all players at all paces; `warm` is what each does before anything counts. */
export async function inTurns(
  players: readonly Player[],
  paces: Paces,
  { rounds, seconds, warm }: {
    readonly rounds: number;
    readonly seconds: number;
    readonly warm: readonly (Pick<Run, "pace" | "seconds">)[];
  },
): Promise<Turn[]> {
  await using owned = new AsyncDisposableStack();
  const loads: (readonly [Player, Load])[] = [];
  for (const player of players) {
    const { groups, target, name } = player;
    console.error(`${name}, warming up ...`);
    const load = owned.use(await openLoad(target, { groups, processes: 1, echo: false }));
    loads.push([player, load]);
    const { sizes_bytes } = player;
    for (const run of warm) await load.run({ ...run, sizes_bytes, warmup_seconds: 0 });
  }
  const turns: Turn[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [at, pace] of Object.entries(paces)) {
      console.error(`${at}, round ${round + 1} of ${rounds} ...`);
      for (const [{ name, sizes_bytes }, load] of round % 2 === 0 ? loads : loads.toReversed()) {
        const report = await load.run({ ...pace, seconds, sizes_bytes, warmup_seconds: 0 });
        turns.push({ name, at, report });
      }
    }
  }
  return turns;
}

/** Whether messages neither came nor were refused. */
export const isLost = ({ missing, problem_count }: LoadReport): boolean => missing > problem_count;
