/**
 * Interleaved loads: each has separate connections, which stay open, and every other round runs in reverse order. Other
 * work on the machine then affects all loads about equally.
 */
import type { Group, Run } from "../plans/plan.ts";
import type { RunningTarget, WireSpec } from "../targets/target.ts";
import { type Load, type LoadReport, openLoad } from "./driver.ts";

/** A load that alternates with others, and the run of one turn. */
export interface Player {
  readonly name: string;
  readonly target: RunningTarget;
  readonly groups: readonly Group[];
  readonly sizes_bytes: readonly number[];
}

/** One turn of one load. */
export interface Turn {
  readonly name: string;
  /** Name of the run. */
  readonly at: string;
  readonly report: LoadReport;
}

/** A running bus as a target. Without a process id it has no CPU time and memory. */
export function busTarget(
  { pid, url }: { readonly pid?: number; readonly url: string },
  tokens: WireSpec["tokens"],
): RunningTarget {
  const wire = { protocol: "arqon", url, tokens } as const;
  const pids = pid === undefined ? [] : [pid];
  return { version: "", pids, wire, [Symbol.asyncDispose]: () => Promise.resolve() };
}

/** The runs of all players in one turn: at a rate or as fast as possible. */
export type Paces = Readonly<Record<string, Pick<Run, "pace" | "from">>>;

/** At this many messages per second; latencies start when a message is sent. */
export const atRate = (rate: number): Paces[string] => ({
  pace: { kind: "rate", rate, burst: 1 },
  from: "sent",
});

/** The turns of all players at all paces; each player does `warm` before the measurement. */
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

/** Whether messages were lost: neither delivered nor refused. */
export const isLost = ({ missing, problem_count }: LoadReport): boolean => missing > problem_count;
