/**
 * Who is hurt when, and how, in a durable run: a plan of faults from a seed. One NATS server at a time,
 * so that two of three are there, and one Shield at a time; both at once happens. Pure; `fleet.ts`
 * carries it out.
 */
import { natsNames } from "../faults/fault.ts";
import type { Fault, FaultKind, Range } from "../faults/fault.ts";
import type { Random } from "../presence_simulation/random.ts";
import type { Variant } from "./variant.ts";

/** The NATS servers. */
export const NATS = natsNames(3);
/** The Shields. */
export const SHIELDS = ["shield-0", "shield-1"] as const;

const NATS_KINDS: readonly FaultKind[] = ["kill", "stop"];
const SHIELD_KINDS: readonly FaultKind[] = ["kill", "stop", "restart"];

/** Each target once a round, each with every kind in as many rounds as there are kinds. */
function* order(
  targets: readonly string[],
  kinds: readonly FaultKind[],
  random: Random,
): Generator<Pick<Fault, "target" | "kind">, never> {
  const own = new Map(targets.map((name) => [name, random.shuffled(kinds)]));
  for (let round = 0;; round++) {
    for (const target of random.shuffled(targets)) {
      yield { target, kind: own.get(target)?.[round % kinds.length] as FaultKind };
    }
  }
}

/** The faults of one group, one after another. */
function inTurn(
  targets: readonly string[],
  kinds: readonly FaultKind[],
  duration_ms: number,
  { away_ms, pause_ms }: Pick<Variant, "away_ms" | "pause_ms">,
  random: Random,
): Fault[] {
  const between = ([low, high]: Range) => random.int(low, high);
  const faults: Fault[] = [];
  let at_ms = 0;
  for (const next of order(targets, kinds, random)) {
    at_ms += between(pause_ms);
    const fault = { ...next, at_ms, away_ms: between(away_ms) };
    at_ms += fault.away_ms;
    if (at_ms > duration_ms) return faults;
    faults.push(fault);
  }
  return faults;
}

/** The faults of `duration_ms`, by time; each ends within it. */
export function planFaults(
  duration_ms: number,
  variant: Pick<Variant, "away_ms" | "pause_ms">,
  random: Random,
): Fault[] {
  return [
    ...inTurn(NATS, NATS_KINDS, duration_ms, variant, random.fork(0)),
    ...inTurn(SHIELDS, SHIELD_KINDS, duration_ms, variant, random.fork(1)),
  ].sort((one, other) => one.at_ms - other.at_ms);
}
