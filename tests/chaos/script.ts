/**
 * Who is hurt when, and how: a plan of faults from a seed. Pure; `fleet.ts` carries it out.
 */
import type { Fault, FaultKind, Range } from "../faults/fault.ts";
import type { Random } from "../presence_simulation/random.ts";
import type { Variant } from "./variant.ts";

/** Who can be hurt. */
export interface Targets {
  /** Brains and Shields. */
  readonly processes: readonly string[];
  /** Those that are stopped for long once. */
  readonly shields: readonly string[];
  /** One, or the servers of a cluster. */
  readonly nats: readonly string[];
  /** In front of the Shields. */
  readonly balancers: readonly string[];
}

const KINDS: readonly FaultKind[] = ["kill", "stop", "restart", "cut"];
/** Of a NATS server that has others beside it. */
const MEMBER_KINDS: readonly FaultKind[] = ["kill", "stop", "restart"];
/** How often another fault begins while the one before is still there. */
const OVERLAP = 0.3;
/** How often something else than a process is hurt between two processes. */
const ELSEWHERE = 0.25;

/** The NATS servers that have others beside them. */
const membersOf = ({ nats }: Targets): readonly string[] => nats.length > 1 ? nats : [];

/**
 * Targets and kinds without end: each process, and each server of a NATS cluster, once a round, with
 * every kind in as many rounds as there are kinds.
 */
function* order(
  targets: Targets,
  random: Random,
): Generator<Pick<Fault, "target" | "kind">, never> {
  const members = membersOf(targets);
  const names = [...targets.processes, ...members];
  const kinds = new Map(names.map((name) => [
    name,
    random.shuffled(members.includes(name) ? MEMBER_KINDS : KINDS),
  ]));
  for (let round = 0;; round++) {
    for (const target of random.shuffled(names)) {
      const own = kinds.get(target) as FaultKind[];
      yield { target, kind: own[round % own.length] as FaultKind };
      if (!random.chance(ELSEWHERE)) continue;
      yield members.length === 0 && random.chance(0.5)
        ? { target: random.pick(targets.nats), kind: random.pick(["kill", "stop"]) }
        : { target: random.pick(targets.balancers), kind: "cut" };
    }
  }
}

/**
 * The faults of `duration_ms`, by time; each ends within it. When it is long enough, one of them
 * stops a Shield for `long_stop_ms` while the others go on.
 */
export function planFaults(
  duration_ms: number,
  targets: Targets,
  variant: Pick<Variant, "away_ms" | "freeze_ms" | "pause_ms" | "long_stop_ms">,
  random: Random,
): Fault[] {
  const faults: Fault[] = [];
  const { pause_ms: pause_range, long_stop_ms } = variant;
  const members = membersOf(targets);
  const between = ([low, high]: Range) => random.int(low, high);
  const long_at_ms = between(pause_range);
  const with_long = duration_ms >= long_at_ms + 2 * long_stop_ms;
  const long = { target: random.pick(targets.shields), kind: "stop" as const };
  if (with_long) faults.push({ ...long, at_ms: long_at_ms, away_ms: long_stop_ms });
  const taken_ms = with_long ? long_at_ms + long_stop_ms : 0;
  let at_ms = 0;
  for (const next of order(targets, random)) {
    at_ms += between(pause_range);
    const freezes = next.kind === "stop" && members.includes(next.target);
    const away_ms = between(freezes ? variant.freeze_ms : variant.away_ms);
    if (at_ms + away_ms > duration_ms) break;
    if (next.target === long.target && at_ms < taken_ms) continue;
    faults.push({ ...next, at_ms, away_ms });
    if (!random.chance(OVERLAP)) at_ms += away_ms;
  }
  return faults.sort((one, other) => one.at_ms - other.at_ms);
}
