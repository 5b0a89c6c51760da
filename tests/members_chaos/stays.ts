/**
 * Which stays of which their members were told stand in no journal, and why that may be: what their Shield met, and
 * whether any journal was written meanwhile. Pure. Times are of the run's clock.
 */
import { stayKey } from "../chaos/registry.ts";
import type { ToldStay } from "../chaos/registry.ts";
import type { FaultKind } from "../faults/fault.ts";

/** A fault that began. */
export interface Blow {
  readonly target: string;
  readonly kind: FaultKind;
  readonly from_ms: number;
}

/** What stands in the journals of all rooms. */
export interface Written {
  /** `stayKey` of each `joined`. */
  readonly joined: ReadonlySet<string>;
  /** When each change was written. */
  readonly times_ms: readonly number[];
}

/** Stays of one kind. */
export interface Lacking {
  /** In words. */
  readonly why: string;
  /** Their Shield went on, so that nothing excuses it. */
  readonly is_wrong: boolean;
  readonly stays: readonly ToldStay[];
}

const ENDS: Partial<Record<FaultKind, string>> = { kill: "killed", restart: "restarted" };
/** What a client knows of its end comes so much later than the blow, at most. */
const LATE_MS = 1_000;

/** Those that stand nowhere, by why, the most first. */
export function lackingOf(
  told: readonly ToldStay[],
  { joined, times_ms }: Written,
  blows: readonly Blow[],
): Lacking[] {
  const kinds = new Map<string, { is_wrong: boolean; stays: ToldStay[] }>();
  for (const stay of told) {
    if (joined.has(stayKey(stay))) continue;
    const { node_id, told_ms, end, ended_ms } = stay;
    const blow = blows.filter(({ target, kind, from_ms }) =>
      target === node_id && ENDS[kind] !== undefined && from_ms >= told_ms
    ).toSorted((one, other) =>
      one.from_ms - other.from_ms
    )[0];
    let why = end === undefined ? "is still there" : `${end}, and its Shield lived on`;
    if (blow !== undefined) {
      const { from_ms, kind } = blow;
      const was_there = ended_ms >= from_ms || (end === "lost" && ended_ms > from_ms - LATE_MS);
      const how = was_there ? "there when" : "gone before";
      const some = times_ms.some((at_ms) => at_ms > told_ms && at_ms < from_ms);
      why = `${how} its Shield was ${ENDS[kind]}; ` +
        (some ? "some journal was written meanwhile" : "no journal was written meanwhile");
    }
    const own = kinds.get(why) ?? { is_wrong: blow === undefined, stays: [] };
    own.stays.push(stay);
    kinds.set(why, own);
  }
  return [...kinds].map(([why, one]) => ({ why, ...one }))
    .toSorted((one, other) => other.stays.length - one.stays.length);
}

/** Stays that nothing excuses, of which no journal says that it misses them: what is wrong, in words. */
export function lostIn(lacking: readonly Lacking[], missed: number): string[] {
  const wrong = lacking.filter(({ is_wrong }) => is_wrong);
  const count = wrong.reduce((sum, { stays }) => sum + stays.length, 0);
  if (count <= missed) return [];
  const first = wrong.flatMap(({ why, stays }) => stays.map((stay) => `${why}: ${stayKey(stay)}`));
  return [
    `${count} stays are in no journal, ${missed} are told as missed; ${
      first.slice(0, 5).join("; ")
    }`,
  ];
}
