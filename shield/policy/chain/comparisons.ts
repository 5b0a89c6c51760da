/**
 * Compares the verdicts of the two versions of each policy of a canary on the same messages, at this Shield and for the
 * stage in force. In memory; `shield/apply/rollouts.ts` stores the counts.
 */
import type { Caller } from "../../message/caller.ts";
import { fuelBucket, SAMPLE_REASON_UNITS, SAMPLES_OF_KIND } from "../../../shared/rollout/tally.ts";
import type { PolicyTally, Sample } from "../../../shared/rollout/tally.ts";
import type { EvaluateRequest } from "../abi/policy.ts";
import type { PolicyBinding, PolicyOutcome } from "../../../shared/records/verdict.ts";
import type { ComparedStage, Side } from "./canary.ts";

/** An operation that was judged. */
export interface JudgedRequest extends Pick<EvaluateRequest, "tenant_id" | "chain"> {
  readonly caller: Caller;
  /** "" for a new connection. */
  readonly room_id: string;
  /** Unix ms. */
  readonly asked_ms: number;
}

type Counts = Pick<PolicyTally, "compared" | "enforced" | "refused" | "passed" | "faults">;
interface Draft {
  readonly counts: { -readonly [Member in keyof Counts]: Counts[Member] };
  readonly fuel: Readonly<Record<Side["version"], Map<number, number>>>;
  readonly samples: Sample[];
}
interface Held extends ComparedStage {
  readonly drafts: Map<string, Draft>;
}
interface Judged {
  readonly side: Side;
  readonly outcome: PolicyOutcome;
}
type Pair = Partial<Record<Side["version"], Judged>>;

/** The counts of all tenants with a canary. */
export class Comparisons {
  readonly #tenants = new Map<string, Held>();

  /** Starts to count a stage, and drops the counts of the previous stage. Undefined: no stage. */
  set(tenant_id: string, stage: ComparedStage | undefined): void {
    if (stage === undefined) return void this.#tenants.delete(tenant_id);
    const held = this.#tenants.get(tenant_id);
    const is_same = held?.id === stage.id && held.stage === stage.stage;
    this.#tenants.set(tenant_id, { ...stage, drafts: is_same ? held.drafts : new Map() });
  }

  /** The counts of the stage in force. */
  tallies(tenant_id: string): PolicyTally[] {
    const held = this.#tenants.get(tenant_id);
    return [...held?.drafts ?? []].map(([name, { counts, fuel, samples }]) => ({
      name,
      ...counts,
      fuel_old: [...fuel.old],
      fuel_new: [...fuel.new],
      samples: [...samples],
    }));
  }

  /** Drops the samples, which name users; the counts stay. */
  forgetSamples(tenant_id: string): void {
    for (const { samples } of this.#tenants.get(tenant_id)?.drafts.values() ?? []) {
      samples.length = 0;
    }
  }

  /** Counts a judged operation; for a tenant without a canary this costs one map lookup. */
  record(request: JudgedRequest, outcomes: readonly PolicyOutcome[]): void {
    const held = this.#tenants.get(request.tenant_id);
    if (held === undefined) return;
    const pairs = new Map<string, Pair>();
    for (const outcome of outcomes) {
      const side = sideOf(held, request.chain, outcome.name);
      if (side === undefined) continue;
      const pair = pairs.get(side.name) ?? {};
      pair[side.version] = { side, outcome };
      pairs.set(side.name, pair);
    }
    for (const [name, pair] of pairs) count(draftOf(held, name), pair, request);
  }
}

function sideOf(
  { sides }: ComparedStage,
  chain: readonly PolicyBinding[],
  name: string,
): Side | undefined {
  const binding = chain.find((one) => one.name === name);
  return binding === undefined ? undefined : sides.get(binding);
}

function draftOf({ drafts }: Held, name: string): Draft {
  const known = drafts.get(name);
  if (known !== undefined) return known;
  const counts = { compared: 0, enforced: 0, refused: 0, passed: 0, faults: 0 };
  const draft = { counts, fuel: { old: new Map(), new: new Map() }, samples: [] };
  drafts.set(name, draft);
  return draft;
}

/** Whether a version refuses. A version that did not run, because it does not apply, never does. */
const refuses = (judged: Judged | undefined): boolean =>
  judged !== undefined && judged.side.decides && !judged.outcome.allowed;

function count({ counts, fuel, samples }: Draft, pair: Pair, request: JudgedRequest): void {
  const { old, new: now } = pair;
  counts.compared++;
  if (now?.side.is_in_force === true || old?.side.is_in_force === false) counts.enforced++;
  for (const version of ["old", "new"] as const) {
    const judged = pair[version];
    if (judged === undefined) continue;
    const bucket = fuelBucket(judged.outcome.fuel);
    fuel[version].set(bucket, (fuel[version].get(bucket) ?? 0) + 1);
  }
  const before = refuses(old);
  const after = refuses(now);
  const is_fault = now?.outcome.fault !== undefined && old?.outcome.fault === undefined;
  if (is_fault) counts.faults++;
  if (after && !before) counts.refused++;
  if (before && !after) counts.passed++;
  if (before === after && !is_fault) return;
  const would = is_fault ? "fault" : after ? "refuse" : "pass";
  if (samples.filter((one) => one.would === would).length >= SAMPLES_OF_KIND) return;
  const { reason = "", fault } = (after || is_fault ? now : old)?.outcome ?? {};
  samples.push({
    would,
    user: request.caller.identity.user_id,
    room: request.room_id,
    reason: (fault ?? reason).slice(0, SAMPLE_REASON_UNITS).toWellFormed(),
    at_ms: request.asked_ms,
  });
}
