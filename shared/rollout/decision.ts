/**
 * The next step of a rollout: from its document and the Shields' reports to its next document. Pure, so that any number
 * of Brains may decide at once: they write by compare-and-set, and all but one fail. `brain/rollouts/` reads and
 * writes.
 */
import { firstBreach } from "./breach.ts";
import { type Condition, readCondition } from "./condition.ts";
import { ENDED_SAMPLES_MAX, type Rollout, type RolloutReport } from "./rollout.ts";
import { type PolicyTally, summed } from "./tally.ts";

/** The known state of the Shields. */
export interface Seen {
  /** The last report of each node, those of stopped Shields included. */
  readonly reports: ReadonlyMap<string, RolloutReport>;
  /** The nodes that were seen recently. */
  readonly fresh: ReadonlySet<string>;
  /**
   * For how long this Brain has seen the stage, with reports without a gap, in ms by its monotonic clock. Undefined: it
   * only shows the state, and trusts the wall clocks.
   */
  readonly held_ms: number | undefined;
}

/** The next document, or what it waits for. */
export type Decision =
  | { readonly next: Rollout }
  | { readonly waits: string };

/** The conditions of a rollout; invalid ones were refused before it was stored. */
function conditionsOf({ conditions }: Pick<Rollout, "conditions">): Condition[] {
  return conditions.map(readCondition).flatMap((one) => "problem" in one ? [] : [one]);
}

/** The counts of all Shields at one stage of the rollout. */
export function talliesAt(
  { id }: Pick<Rollout, "id">,
  stage: number,
  reports: Iterable<RolloutReport>,
): PolicyTally[] {
  const own = [...reports].filter((report) => report.id === id && report.stage === stage);
  return summed(own.map(({ tallies }) => tallies));
}

/** The counts that an ended rollout keeps. */
export function countedEnd(tallies: readonly PolicyTally[]) {
  const samples = tallies.flatMap((tally) => tally.samples).slice(0, ENDED_SAMPLES_MAX);
  return { tallies: [...tallies], samples };
}

/** The rollout after its rollback; `why` as a text. */
export function returned(
  rollout: Rollout,
  now_ms: number,
  why: string,
  more: Partial<NonNullable<Rollout["ended"]>> = {},
): Rollout {
  const ended = { samples: [], tallies: [], ...more, at_ms: now_ms, why: why.slice(0, 1_024) };
  const { counted: _, ...about } = rollout;
  return { ...about, state: "returned", ended };
}

function brokenBy(rollout: Rollout, { reports }: Seen, now_ms: number): Rollout | undefined {
  const conditions = conditionsOf(rollout);
  const stages = new Set([...reports.values()].map(({ stage }) => stage));
  for (const stage of [...stages].sort((a, b) => a - b)) {
    const tallies = talliesAt(rollout, stage, reports.values());
    const breach = firstBreach(conditions, tallies);
    if (breach === undefined) continue;
    const { condition, policy, found, samples } = breach;
    const why = `${condition} was violated by ${policy}: ${found}`;
    return returned(rollout, now_ms, why, { condition, policy, samples: [...samples], tallies });
  }
  return undefined;
}

function refusedBy(rollout: Rollout, { reports }: Seen, now_ms: number): Rollout | undefined {
  for (const [node_id, { id, problem }] of reports) {
    if (id !== rollout.id || problem === undefined || problem.kind === "retry") continue;
    const tallies = talliesAt(rollout, rollout.stage, reports.values());
    return returned(rollout, now_ms, `${node_id}: ${problem.detail}`, countedEnd(tallies));
  }
  return undefined;
}

/** The changed policy with the fewest messages, if there are too few. */
function lacking({ changed, at_least }: Rollout, tallies: readonly PolicyTally[]) {
  const counts = changed.map((name) => ({
    name,
    compared: tallies.find((tally) => tally.name === name)?.compared ?? 0,
  }));
  const least = counts.sort((a, b) => a.compared - b.compared)[0];
  return least !== undefined && least.compared < at_least ? least : undefined;
}

/** What the rollout waits for at its stage; "" if it may continue. */
export function waitsFor(rollout: Rollout, seen: Seen, now_ms: number): string {
  const { id, stage, state, stage_ms, hold_ms, at_least } = rollout;
  if (state === "paused") return "paused";
  const lively = [...seen.reports].filter(([node, report]) =>
    seen.fresh.has(node) && report.id === id
  );
  if (lively.length === 0) return "no Shield has reported yet";
  for (const [node_id, { problem, stage: there }] of lively) {
    if (problem !== undefined) return `${node_id}: ${problem.detail}`;
    if (there !== stage) return `${node_id} is not ready yet`;
  }
  const few = lacking(rollout, talliesAt(rollout, stage, seen.reports.values()));
  if (few !== undefined) {
    return `${few.compared} of ${at_least} messages for ${few.name}: it needs more traffic`;
  }
  const left_ms = hold_ms - (seen.held_ms ?? now_ms - stage_ms);
  return left_ms > 0 ? `holds for ${Math.ceil(left_ms / 1_000)} s more` : "";
}

/** The next step of a rollout. `now_ms` is Unix ms. */
export function decide(rollout: Rollout, seen: Seen, now_ms: number): Decision {
  const { state, stage, shares } = rollout;
  if (state !== "running" && state !== "paused") return { waits: state };
  const ended = refusedBy(rollout, seen, now_ms) ?? brokenBy(rollout, seen, now_ms);
  if (ended !== undefined) return { next: ended };
  const waits = waitsFor(rollout, seen, now_ms);
  if (waits !== "") return { waits };
  if (stage + 1 >= shares.length) {
    const counted = talliesAt(rollout, stage, seen.reports.values());
    return { next: { ...rollout, state: "applying", counted } };
  }
  return { next: { ...rollout, stage: stage + 1, stage_ms: now_ms } };
}

/** An operator's order. */
export type Order = "pause" | "resume" | "abort";

/** The rollout after an order; the same object if it changes nothing; undefined if it is too late. */
export function ordered(
  rollout: Rollout,
  order: Order,
  by: string,
  now_ms: number,
): Rollout | undefined {
  const { state } = rollout;
  switch (order) {
    case "pause":
      if (state === "paused") return rollout;
      return state === "running" ? { ...rollout, state: "paused" } : undefined;
    case "resume":
      if (state === "running") return rollout;
      // Time before the pause does not count.
      return state === "paused" ? { ...rollout, state: "running", stage_ms: now_ms } : undefined;
    case "abort":
      if (state === "returned") return rollout;
      if (state !== "running" && state !== "paused") return undefined;
      return returned(rollout, now_ms, `aborted by ${by}`);
    default:
      return order satisfies never;
  }
}
