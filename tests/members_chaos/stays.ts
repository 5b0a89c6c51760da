/**
 * Which stays of which their members were told stand in no journal, and why that may be: what their Shield met, and
 * whether a Brain that knew of them lived until their journal was written. Pure. Times are of the run's clock.
 */
import { stayKey } from "../chaos/registry.ts";
import type { ToldStay } from "../chaos/registry.ts";
import type { FaultKind } from "../faults/fault.ts";

/** A fault that began. */
export interface Blow {
  readonly target: string;
  readonly kind: FaultKind;
  readonly from_ms: number;
  /** Its target was up again; Infinity: never. */
  to_ms: number;
}

/** What stands in the journals of all rooms. */
export interface Written {
  /** `stayKey` of each `joined`. */
  readonly joined: ReadonlySet<string>;
  /** When each change was written, by room. */
  readonly times_ms: ReadonlyMap<string, readonly number[]>;
}

/** What happened to the processes. */
export interface History {
  readonly blows: readonly Blow[];
  readonly brains: readonly string[];
  /** When all was well for a while. */
  readonly quiets_ms: readonly number[];
}

/** Stays of one kind. */
export interface Lacking {
  /** In words. */
  readonly why: string;
  /** Their Shield lived on: nothing excuses them. */
  readonly is_wrong: boolean;
  readonly stays: readonly ToldStay[];
  /** Of the first one: when it came, when it went, and when its Shield ended; `undefined`: it did not. */
  readonly times_ms: readonly (number | undefined)[];
}

const ENDS: Partial<Record<FaultKind, string>> = { kill: "killed", restart: "restarted" };
/** What a client knows of its end comes so much later than the blow, at most. */
const LATE_MS = 1_000;
/** Within this a Brain knows that a Shield is gone: the members of one that stops have `move_grace_ms`. */
const SOON_MS = 15_000;

/** The first blow that ends the process from then on: one that is told to stop still serves for a while. */
function endOf(blows: readonly Blow[], name: string, from_ms: number): Blow | undefined {
  return blows.filter((blow) =>
    blow.target === name && ENDS[blow.kind] !== undefined && blow.to_ms > from_ms
  ).toSorted((one, other) => one.from_ms - other.from_ms)[0];
}

function kindOf(stay: ToldStay, written: Written, { blows, brains, quiets_ms }: History) {
  const { node_id, told_ms, end, ended_ms, room } = stay;
  const blow = endOf(blows, node_id, told_ms);
  const ended = blow?.from_ms ?? Infinity;
  if (end === undefined && blow === undefined) return { why: "is still there", is_wrong: true };
  if (blow === undefined || quiets_ms.some((at_ms) => at_ms > ended_ms && at_ms < ended)) {
    return { why: `${end}, and its Shield lived on`, is_wrong: true };
  }
  const was_there = ended_ms >= ended || (end === "lost" && ended_ms > ended - LATE_MS);
  const how = was_there ? "there when" : "gone before";
  const last_ms = Math.min(ended_ms, ended);
  const next_ms = written.times_ms.get(room)?.find((at_ms) => at_ms > ended + SOON_MS) ?? Infinity;
  const has_witness = brains.some((name) => {
    const ends = blows.filter((one) => one.target === name && ENDS[one.kind] !== undefined);
    // A life is from the end of one blow to the next.
    const starts = [-Infinity, ...ends.map(({ to_ms }) => to_ms)];
    return starts.some((from_ms) =>
      from_ms < Math.max(last_ms, ended - SOON_MS) &&
      ends.every((one) => one.from_ms < from_ms || one.from_ms > next_ms)
    );
  });
  const until = has_witness
    ? "a Brain lived on"
    : "so were all Brains before its journal was written";
  return { why: `${how} its Shield was ${ENDS[blow.kind]}; ${until}`, is_wrong: false };
}

/** Those that stand nowhere, by why, the most first. */
export function lackingOf(
  told: readonly ToldStay[],
  written: Written,
  history: History,
): Lacking[] {
  const kinds = new Map<string, Omit<Lacking, "why" | "stays"> & { stays: ToldStay[] }>();
  for (const stay of told) {
    if (written.joined.has(stayKey(stay))) continue;
    const { node_id, told_ms, end, ended_ms } = stay;
    const { why, is_wrong } = kindOf(stay, written, history);
    const times = [told_ms, end && ended_ms, endOf(history.blows, node_id, told_ms)?.from_ms];
    const own = kinds.get(why) ?? { is_wrong, stays: [], times_ms: times };
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
