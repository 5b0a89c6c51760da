/**
 * Compares candidates' verdicts on mirrored traffic with production's: counts and a few examples for each tenant and
 * candidate. In memory, written by `verdicts.ts` (for shadow consumers) and `mirror.ts` (for candidates that ran here).
 */
import { isWithinShare } from "../../shared/turns/fair_bound.ts";
import type { CandidateVerdict } from "../message/gates.ts";

/** A message on which candidate and production differ. */
interface DiffExample {
  /** The message's trace id; "" if it was refused and its client had sent none. */
  readonly trace_id: string;
  readonly room: string;
  /** The event's type; "" if it is unknown here. */
  readonly type: string;
  readonly would: "allow" | "refuse";
  readonly reason: string;
  /** Unix ms. */
  readonly at_ms: number;
}

/** One candidate of a tenant, compared. */
interface CandidateDiff {
  readonly tenant: string;
  readonly candidate: string;
  /** Messages that were compared. */
  readonly mirrored: number;
  readonly agree: number;
  readonly would_refuse: number;
  /** Messages that production refused, but this candidate would have let through. */
  readonly would_allow: number;
  /** Verdicts about messages that this Shield did not mirror, or no longer remembers. */
  readonly unmatched: number;
  /** The latest examples, oldest first. */
  readonly examples: readonly DiffExample[];
}

/** The outcome of one verdict. */
export type DiffOutcome = "agree" | "would-refuse" | "would-allow" | "unmatched" | "overflow";

/** The most examples that one candidate keeps; the latest stay. */
export const EXAMPLES_MAX = 16;
/** The longest reason of an example, in UTF-16 units. */
const REASON_UNITS = 256;

type Draft = { -readonly [Key in Exclude<keyof CandidateDiff, "examples">]: CandidateDiff[Key] } & {
  examples: DiffExample[];
};

/** The part of an example that describes its message. */
export type Compared = Pick<DiffExample, "trace_id" | "room" | "type" | "at_ms">;

/** The candidates of all tenants, which share `candidates_max`. Further ones are counted as overflow. */
export class DiffBook {
  readonly #candidates_max: number;
  readonly #count: (outcome: DiffOutcome) => void;
  readonly #tenants = new Map<string, Map<string, Draft>>();
  #size = 0;

  constructor(candidates_max: number, count: (outcome: DiffOutcome) => void = () => {}) {
    this.#candidates_max = candidates_max;
    this.#count = count;
  }

  /** The number of kept candidates. */
  get size(): number {
    return this.#size;
  }

  compare(verdict: CandidateVerdict, production_refused: boolean, message: Compared): void {
    const draft = this.#draft(verdict);
    if (draft === undefined) return this.#count("overflow");
    draft.mirrored++;
    if (verdict.refuse === production_refused) {
      draft.agree++;
      return this.#count("agree");
    }
    if (verdict.refuse) draft.would_refuse++;
    else draft.would_allow++;
    const { trace_id, room, type, at_ms } = message;
    const would = verdict.refuse ? "refuse" : "allow";
    const reason = verdict.reason.slice(0, REASON_UNITS);
    draft.examples.push({ trace_id, room, type, would, reason, at_ms });
    if (draft.examples.length > EXAMPLES_MAX) draft.examples.shift();
    this.#count(`would-${would}`);
  }

  /** Counts a verdict about an unknown message. */
  unmatched(verdict: CandidateVerdict): void {
    const draft = this.#draft(verdict);
    if (draft === undefined) return this.#count("overflow");
    draft.unmatched++;
    this.#count("unmatched");
  }

  /** The tenant's candidates, sorted by name. */
  list(tenant_id: string): CandidateDiff[] {
    const drafts = [...this.#tenants.get(tenant_id)?.values() ?? []];
    drafts.sort((a, b) => a.candidate < b.candidate ? -1 : 1);
    return drafts.map((draft) => ({ ...draft, examples: [...draft.examples] }));
  }

  /** Clears the tenant's candidates, or only the one of that name. Returns the number of cleared ones. */
  reset(tenant_id: string, candidate?: string): number {
    const drafts = this.#tenants.get(tenant_id);
    if (drafts === undefined) return 0;
    const before = drafts.size;
    if (candidate === undefined) drafts.clear();
    else drafts.delete(candidate);
    const forgotten = before - drafts.size;
    if (drafts.size === 0) this.#tenants.delete(tenant_id);
    this.#size -= forgotten;
    return forgotten;
  }

  /** Drops the tenant's examples, whose reasons may quote messages; the counts stay. */
  forgetExamples(tenant_id: string): void {
    for (const { examples } of this.#tenants.get(tenant_id)?.values() ?? []) examples.length = 0;
  }

  #draft({ tenant_id, candidate }: CandidateVerdict): Draft | undefined {
    const drafts = this.#tenants.get(tenant_id);
    const known = drafts?.get(candidate);
    if (known !== undefined) return known;
    if (!isWithinShare(this.#candidates_max, this.#size, drafts?.size ?? 0)) return undefined;
    const draft: Draft = {
      tenant: tenant_id,
      candidate,
      mirrored: 0,
      agree: 0,
      would_refuse: 0,
      would_allow: 0,
      unmatched: 0,
      examples: [],
    };
    if (drafts === undefined) this.#tenants.set(tenant_id, new Map([[candidate, draft]]));
    else drafts.set(candidate, draft);
    this.#size++;
    return draft;
  }
}
