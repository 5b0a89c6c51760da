/**
 * A stored rollout: the latest of each tenant in the bucket `ARQON_ROLLOUTS`, and beside it each Shield's report. Only
 * the form; `decision.ts` has the steps.
 */
import { z } from "zod";
import { StoredRoomClass } from "../config/schema_durable.ts";
import { SignatureRule } from "../config/schema_auth.ts";
import { MirrorRule, SchemaMapping } from "../config/schema_governance.ts";
import { OwnQuota } from "../config/schema_quota.ts";
import { TenantBudget } from "../config/schema_usage.ts";
import { STAGED_SCHEMAS_MAX, StagedSchema } from "../records/bus_schemas.ts";
import { DocumentLists } from "../records/tenant_settings.ts";
import { CONDITIONS_MAX } from "./condition.ts";
import { PolicyTally, Sample } from "./tally.ts";
import { parseStored, storedBytes } from "../records/stored.ts";

/** The shares after the first one, as far as they are larger. */
const SHARES = [0.1, 0.5, 1];
/** The most earlier rollouts that are kept. */
export const PAST_MAX = 10;
/** Samples of all policies that an ended rollout keeps. */
export const ENDED_SAMPLES_MAX = 16;
/** A Shield without a report for this long is not waited for, in ms: five times the report interval. */
export const FRESH_MS = 10_000;

const Count = z.int().min(0);
const Words = z.string().max(1_024);

/** The states of a rollout: the last two are final. */
export const ROLLOUT_STATES = ["running", "paused", "applying", "applied", "returned"] as const;

const Ended = z.looseObject({
  /** Unix ms. */
  at_ms: Count,
  why: Words,
  /** The breached condition; absent: it ended for another reason. */
  condition: z.string().max(64).optional(),
  policy: z.string().max(64).optional(),
  samples: z.array(Sample).max(ENDED_SAMPLES_MAX).default([]),
  /** The counts until then. */
  tallies: z.array(PolicyTally).max(128).default([]),
});

const Past = z.looseObject({
  id: z.string(),
  by: z.string(),
  began_ms: Count,
  ended_ms: Count,
  state: z.enum(ROLLOUT_STATES),
  why: Words,
});

// Loose: a write of this version keeps members of a later one.
const Document = z.looseObject({
  format: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{32}$/),
  by: z.string().max(256),
  began_ms: Count,
  /** Revisions of the tenant's two documents, which the last step checks. */
  basis: z.strictObject({ settings: Count, policies: Count, documents: z.string().optional() }),
  /** The version of the policies that the rollout started from: with any other it does nothing. */
  base_version: Count,
  /** All policies of the new state, checked where they are used. */
  policies: z.array(z.looseObject({ name: z.string().max(64) })).max(64),
  mirror: z.strictObject({ rules: z.array(MirrorRule) }).optional(),
  mappings: z.array(SchemaMapping).optional(),
  rooms: z.array(StoredRoomClass).optional(),
  quotas: z.array(OwnQuota).optional(),
  budgets: z.array(TenantBudget).optional(),
  require_signature: z.array(SignatureRule).optional(),
  ...DocumentLists,
  /** Stored schema versions that come into force with the last step. */
  schemas: z.array(StagedSchema).max(STAGED_SCHEMAS_MAX).optional(),
  /** Names of the policies that differ. */
  changed: z.array(z.string().max(64)).min(1).max(128),
  /** Shares of the traffic that the new policies judge; the first is 0, the last 1. */
  shares: z.array(z.number().min(0).max(1)).min(2).max(16),
  hold_ms: Count,
  /** Messages that each changed policy must have judged at each share. */
  at_least: Count,
  /** Those of its request, and the default one. */
  conditions: z.array(z.string().max(64)).max(CONDITIONS_MAX + 1),
  state: z.enum(ROLLOUT_STATES),
  /** The index in `shares`, and since when, Unix ms. */
  stage: Count,
  stage_ms: Count,
  /** The counts at the last share, from the start of its last step until that has ended. */
  counted: z.array(PolicyTally).max(128).optional(),
  ended: Ended.optional(),
  past: z.array(Past).max(PAST_MAX).default([]),
});

/** The decoded document. */
export type Rollout = z.output<typeof Document>;

/** An earlier rollout, in short. */
type PastRollout = z.output<typeof Past>;

const Report = z.looseObject({
  id: z.string(),
  stage: Count,
  /** Increases with each report, so that no two are equal. */
  beat: Count,
  /** The time of the report by the Shield's clock, Unix ms. */
  at_ms: Count,
  /** The Shield's counts at this stage. */
  tallies: z.array(PolicyTally).max(128),
  /** Why the Shield does not run it; `retry`: it may later. Absent: it runs. */
  problem: z.looseObject({
    kind: z.enum(["retry", "refused", "superseded"]),
    detail: Words,
  }).optional(),
});
/** The report of one Shield. */
export type RolloutReport = z.output<typeof Report>;

/** The shares of a rollout that begins with `first`, a fraction above 0. */
export function sharesFrom(first: number): number[] {
  return [0, first, ...SHARES.filter((share) => share > first)];
}

/** Whether it has not ended. */
export const isUnderWay = ({ state }: Pick<Rollout, "state">): boolean =>
  state === "running" || state === "paused" || state === "applying";

/** The current share of its policies. */
export const shareOf = ({ shares, stage }: Rollout): number => shares[stage] ?? 0;

/** A rollout in the form of the earlier ones. */
export function pastOf({ id, by, began_ms, state, ended }: Rollout): PastRollout {
  return { id, by, began_ms, ended_ms: ended?.at_ms ?? 0, state, why: ended?.why ?? "" };
}

/** The stored form of a rollout or a report. */
export const encodeRollout: (value: Rollout | RolloutReport) => Uint8Array = storedBytes;

/** A stored rollout, or what is wrong with the bytes. */
export const decodeRollout = (bytes: Uint8Array) => parseStored(bytes, Document, "rollout");
/** A stored report, or what is wrong with the bytes. */
export const decodeReport = (bytes: Uint8Array) => parseStored(bytes, Report, "rollout");
