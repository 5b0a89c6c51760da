/**
 * Interleaved loads: each has separate connections, which stay open, and every other round runs in reverse order. Other
 * work on the machine then affects all loads about equally.
 */
import { median } from "../../measure/statistics.ts";
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
  { rounds, seconds, warm, warmup_seconds = 0 }: {
    readonly rounds: number;
    readonly seconds: number;
    readonly warm: readonly (Pick<Run, "pace" | "seconds">)[];
    /** Of each turn, for what a message costs later than it is delivered. */
    readonly warmup_seconds?: number;
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
        const report = await load.run({ ...pace, seconds, sizes_bytes, warmup_seconds });
        turns.push({ name, at, report });
      }
    }
  }
  return turns;
}

/** Whether messages were lost: neither delivered nor refused. */
export const isLost = ({ missing, problem_count }: LoadReport): boolean => missing > problem_count;

/** The price of a message in one row: medians over its turns. */
export interface Price {
  readonly name: string;
  /** CPU time of the process for each message, all threads. */
  readonly cpu_us: number;
  /** The same, as a multiple of that of another row in the same round. */
  readonly of_other: number;
  readonly p50_us: number;
  readonly p99_us: number;
  /** Whether messages were lost. */
  readonly missing: boolean;
}

/** The price in the turns of a row, compared with those of another one. */
export function priceOf(turns: readonly Turn[], name: string, other: string): Price {
  const of = (row: string) => turns.filter((turn) => turn.name === row).map(({ report }) => report);
  const mine = of(name);
  const others = of(other);
  const delay = (key: "p50_ms" | "p99_ms") =>
    median(mine.map(({ latency }) => latency[key])) * 1_000;
  return {
    name,
    cpu_us: median(mine.map(({ cpu_us }) => cpu_us)),
    of_other: median(mine.map(({ cpu_us }, round) => cpu_us / others[round]!.cpu_us)),
    p50_us: delay("p50_ms"),
    p99_us: delay("p99_ms"),
    missing: mine.some(isLost),
  };
}
