/**
 * `/v1/rollouts` of the admin listener: starts a rollout, shows it, and accepts orders. It checks the wanted state and
 * writes the rollout's document; `rollouts.ts` and the Brains run the rollout.
 */
import { about, ID, list, object, TEXT } from "../openapi/openapi_parts.ts";
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { Env } from "../../shared/env.ts";
import { CONDITIONS_MAX, readCondition, withDefault } from "../../shared/rollout/condition.ts";
import { countedEnd, ordered, talliesAt, waitsFor } from "../../shared/rollout/decision.ts";
import type { Order } from "../../shared/rollout/decision.ts";
import {
  decodeReport,
  decodeRollout,
  encodeRollout,
  FRESH_MS,
  isUnderWay,
  PAST_MAX,
  pastOf,
  shareOf,
  sharesFrom,
} from "../../shared/rollout/rollout.ts";
import type { Rollout, RolloutReport } from "../../shared/rollout/rollout.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { slice } from "../../shared/turns/slices.ts";
import { type AdminCall, AdminTable, jsonBody, withBody } from "../admin/routing/admin_routes.ts";
import { Id, readQuery } from "../admin/routing/query.ts";
import { canaryLists } from "../policy/chain/canary.ts";
import { checkState, readStateBody, StateBody, stateRefusal } from "./api.ts";
import type { ApplyAdminContext } from "./api.ts";
import { hasDocuments, STATE_KINDS } from "./decision.ts";
import { madeSecrets } from "./documents.ts";
import { fuelAt, type PolicyTally } from "../../shared/rollout/tally.ts";

const OBJECT = { type: "object" };
const ROLLOUT = object({
  tenant: ID,
  rollout: OBJECT,
  share: { type: "number" },
  waits: TEXT,
  tallies: list(OBJECT),
  nodes: list(OBJECT),
});

/** The list's row of a stored rollout that cannot be read. */
const UNREADABLE = { id: "", by: "", began_ms: 0, ended_ms: 0, state: "unreadable", share: null };

/** The longest time at one share: a week, in ms. */
const HOLD_MS_MAX = 604_800_000;
const AT_LEAST_MAX = 1_000_000_000;

/** What the admin API needs of the process. */
export interface RolloutAdminContext extends Pick<Env, "log" | "node_id" | "now"> {
  readonly state: ApplyAdminContext;
  readonly bucket: KeyValue;
  readonly random: (size_bytes: number) => Uint8Array;
}

const Condition = z.string().max(64).superRefine((text, context) => {
  const read = readCondition(text);
  if ("problem" in read) context.addIssue({ code: "custom", message: read.problem });
});

const RolloutBody = StateBody.extend({
  /** The first share of the traffic. */
  canary: z.number().gt(0).max(1),
  /** How long each share is held, in ms. */
  for_ms: z.int().min(0).max(HOLD_MS_MAX),
  abort_if: z.array(Condition).max(CONDITIONS_MAX).default([]),
  /** The number of messages that each changed policy must have judged at each share. */
  at_least: z.int().min(1).max(AT_LEAST_MAX).default(100),
});
type RolloutBody = z.output<typeof RolloutBody>;

const LIST_QUERY = { tenant: Id.optional().meta(about("only of this tenant", TEXT)) };
const ORDER_QUERY = {
  rollout: Id.optional().describe("only if this is the tenant's latest rollout"),
};

const order = (given: Order) => ({
  query: ORDER_QUERY,
  scope: "tenant-in-path" as const,
  handle: (context: RolloutAdminContext, call: AdminCall) => obey(context, call, given),
});

/** The routes of rollouts. */
export const ROLLOUT_ROUTES = new AdminTable<RolloutAdminContext>("state", {
  "GET /v1/rollouts": {
    id: "listRollouts",
    summary: "lists the latest rollout of each tenant, and earlier ones",
    query: LIST_QUERY,
    answer: object({ node_id: ID, rollouts: list(OBJECT) }),
    scope: "own",
    handle: listAll,
  },
  "GET /v1/rollouts/{tenant}": {
    id: "getRollout",
    summary: "shows a tenant's latest rollout: its progress, what it waits for, and its counts",
    answer: ROLLOUT,
    refusals: [404],
    scope: "tenant-in-path",
    handle: show,
  },
  "POST /v1/rollouts/{tenant}": {
    audit: "rollout.start",
    id: "startRollout",
    summary: "activates a state in steps, and rolls it back if a condition is violated",
    answer: ROLLOUT,
    refusals: [409, 429],
    scope: "tenant-in-path",
    ...withBody(jsonBody(RolloutBody, readStateBody), start),
  },
  "POST /v1/rollouts/{tenant}/pause": {
    audit: "rollout.pause",
    id: "pauseRollout",
    summary: "pauses a rollout at its share; its conditions are still checked",
    answer: ROLLOUT,
    refusals: [404, 409],
    ...order("pause"),
  },
  "POST /v1/rollouts/{tenant}/resume": {
    audit: "rollout.resume",
    id: "resumeRollout",
    summary: "resumes a paused rollout",
    answer: ROLLOUT,
    refusals: [404, 409],
    ...order("resume"),
  },
  "POST /v1/rollouts/{tenant}/abort": {
    audit: "rollout.abort",
    id: "abortRollout",
    summary: "aborts a rollout: the old state is in force again",
    answer: ROLLOUT,
    refusals: [404, 409],
    ...order("abort"),
  },
}, stateRefusal);

interface Stored {
  readonly rollout: Rollout | undefined;
  readonly revision: number;
}

/**
 * The tenant's latest rollout. Rejects with `settings-conflict` if the stored document is invalid; `is_replaced`: only
 * for one of a newer ArqonBus, since a damaged one is not run.
 */
async function stored(bucket: KeyValue, tenant: string, is_replaced = false): Promise<Stored> {
  const entry = await bucket.get([tenant]);
  if (entry === undefined) return { rollout: undefined, revision: 0 };
  const { revision } = entry;
  const decoded = decodeRollout(entry.value);
  if ("value" in decoded) return { rollout: decoded.value, revision };
  if (is_replaced && decoded.is_newer !== true) return { rollout: undefined, revision };
  throw new ArqonError("settings-conflict", `the rollout cannot be read: ${decoded.problem}`);
}

const none = (tenant: string) => new ArqonError("policy-unknown", `${tenant} has had no rollout`);

const view = (
  { bucket, now }: RolloutAdminContext,
  tenant: string,
  rollout: Rollout,
) => rolloutView({ bucket, now_ms: now() }, tenant, rollout);

async function show(context: RolloutAdminContext, { tenant }: AdminCall): Promise<Response> {
  const { rollout } = await stored(context.bucket, tenant);
  if (rollout === undefined) throw none(tenant);
  return Response.json(await view(context, tenant, rollout));
}

async function listAll(
  { bucket, node_id }: RolloutAdminContext,
  call: AdminCall,
): Promise<Response> {
  const { url, only_tenant } = call;
  const { tenant = only_tenant } = readQuery(url, LIST_QUERY);
  const keys = await bucket.keys(tenant === undefined ? [] : [tenant]);
  const tenants = keys.filter(({ length }) => length === 1).map(([name = ""]) => name).sort();
  const rollouts = [];
  for (const name of tenants) {
    await slice(call.tenant_id);
    const entry = await bucket.get([name]);
    if (entry === undefined) continue;
    const decoded = decodeRollout(entry.value);
    if ("problem" in decoded) {
      // It is not run, and hides no other one.
      rollouts.push({ ...UNREADABLE, tenant: name, why: decoded.problem });
      continue;
    }
    const { value: rollout } = decoded;
    const { past } = rollout;
    rollouts.push({ tenant: name, ...pastOf(rollout), share: shareOf(rollout) });
    rollouts.push(...past.map((one) => ({ tenant: name, ...one, share: null })));
  }
  return Response.json({ node_id, rollouts });
}

async function start(
  context: RolloutAdminContext,
  call: AdminCall,
  { basis, mirror, canary, for_ms, abort_if, at_least, ...wanted }: RolloutBody,
): Promise<Response> {
  const { tenant, by } = call;
  const { state: { applies, policies: { registry } }, bucket, log, now, random } = context;
  const { settings, policies } = await applies.read(tenant);
  const is_fresh = settings.revision === basis.settings && policies.revision === basis.policies;
  if (!is_fresh) {
    throw new ArqonError("settings-conflict", "the plan is stale, nothing was changed");
  }
  if (wanted.policies === undefined) {
    throw new ArqonError("invalid-policy", "a canary needs policies, and none are given");
  }
  const { current } = policies.document;
  const { changed } = canaryLists(current.policies, wanted.policies);
  const { modules, lists } = await checkState(context.state, call, wanted);
  for (const [sha256, bytes] of modules) await registry.store.keepModule(sha256, bytes);
  const began_ms = now();
  const made = {
    format: 1 as const,
    id: random(16).toHex(),
    by,
    began_ms,
    basis: hasDocuments(wanted) ? basis : { settings: basis.settings, policies: basis.policies },
    base_version: current.version,
    ...wanted,
    ...lists,
    policies: wanted.policies,
    ...(mirror === undefined ? {} : { mirror: { rules: mirror } }),
    changed: [...changed],
    shares: sharesFrom(canary),
    hold_ms: for_ms,
    at_least,
    conditions: withDefault(abort_if),
    state: "running" as const,
    stage: 0,
    stage_ms: began_ms,
  };
  const rollout = await changeDocument(async (mayLose) => {
    const { rollout: before, revision } = await stored(bucket, tenant, true);
    if (before !== undefined && isUnderWay(before)) {
      const words = `rollout ${before.id} by ${JSON.stringify(before.by)} is under way`;
      throw new ArqonError("settings-conflict", `${words}, nothing was changed`);
    }
    const past = before === undefined ? [] : [pastOf(before), ...before.past].slice(0, PAST_MAX);
    const next: Rollout = { ...made, past };
    await mayLose(bucket.update([tenant], encodeRollout(next), revision));
    return next;
  });
  log.info("a rollout begins", { tenant_id: tenant, rollout: rollout.id, by });
  const secrets = madeSecrets(wanted.hooks, lists.hooks);
  return Response.json({ ...await view(context, tenant, rollout), secrets });
}

/** A rollout that ends, with its counts until now. */
async function withTallies(bucket: KeyValue, tenant: string, next: Rollout): Promise<Rollout> {
  const reports = await reportsOf(bucket, tenant);
  const tallies = talliesAt(next, next.stage, reports.values());
  return { ...next, ended: { ...next.ended!, ...countedEnd(tallies) } };
}

async function obey(
  context: RolloutAdminContext,
  { tenant, by, url }: AdminCall,
  given: Order,
): Promise<Response> {
  const { bucket, log, now } = context;
  const { rollout: only } = readQuery(url, ORDER_QUERY);
  const rollout = await changeDocument(async (mayLose) => {
    const { rollout: before, revision } = await stored(bucket, tenant);
    if (before === undefined) throw none(tenant);
    if (only !== undefined && only !== before.id) {
      const detail = `rollout ${only} has ended, and rollout ${before.id} is the latest`;
      throw new ArqonError("settings-conflict", detail);
    }
    const next = ordered(before, given, by, now());
    if (next === undefined) {
      const detail = `rollout ${before.id} is ${before.state}: it can no longer be ${given}d`;
      throw new ArqonError("settings-conflict", detail.replace("abortd", "aborted"));
    }
    if (next === before) return next;
    const written = next.ended === undefined ? next : await withTallies(bucket, tenant, next);
    await mayLose(bucket.update([tenant], encodeRollout(written), revision));
    return written;
  });
  log.info("a rollout was given an order", { tenant_id: tenant, rollout: rollout.id, given, by });
  return Response.json(await view(context, tenant, rollout));
}

/** The source of a view, and its time in Unix ms. */
interface ViewSource {
  readonly bucket: Pick<KeyValue, "get" | "keys">;
  readonly now_ms: number;
}

/** The reports of Shields about a tenant's rollout, by node, including dead Shields. */
async function reportsOf(
  bucket: ViewSource["bucket"],
  tenant: string,
): Promise<Map<string, RolloutReport>> {
  const reports = new Map<string, RolloutReport>();
  for (const key of await bucket.keys([tenant])) {
    const [, node_id] = key;
    await slice(tenant);
    const entry = node_id === undefined ? undefined : await bucket.get(key);
    const decoded = entry === undefined ? undefined : decodeReport(entry.value);
    if (decoded !== undefined && "value" in decoded) reports.set(node_id!, decoded.value);
  }
  return reports;
}

function tallyView({ fuel_old, fuel_new, ...counts }: PolicyTally) {
  const quantiles = (of: PolicyTally["fuel_old"]) => ({
    p50: fuelAt(of, 0.5).fuel,
    p99: fuelAt(of, 0.99).fuel,
  });
  return { ...counts, fuel: { old: quantiles(fuel_old), new: quantiles(fuel_new) } };
}

/** Whether the Shield has reported recently, by its clock and ours. */
const isFresh = ({ at_ms }: RolloutReport, now_ms: number): boolean =>
  Math.abs(now_ms - at_ms) <= FRESH_MS;

function waitsOf(rollout: Rollout, reports: Map<string, RolloutReport>, now_ms: number): string {
  const fresh = [...reports].filter(([, report]) => isFresh(report, now_ms));
  const seen = { reports, fresh: new Set(fresh.map(([node_id]) => node_id)), held_ms: undefined };
  return waitsFor(rollout, seen, now_ms) || "a Brain makes the next step";
}

/** The view of a rollout. Rejects with `spine-unavailable`. */
export async function rolloutView(
  { bucket, now_ms }: ViewSource,
  tenant: string,
  rollout: Rollout,
) {
  const { counted, ended, ...whole } = rollout;
  const about: Partial<typeof whole> = { ...whole };
  for (const kind of STATE_KINDS) delete about[kind];
  const reports = isUnderWay(rollout) ? await reportsOf(bucket, tenant) : new Map();
  const own = [...reports].filter(([, { id }]) => id === rollout.id);
  const is_live = rollout.state === "running" || rollout.state === "paused";
  const { tallies: of_end, ...end } = ended ?? {};
  const tallies = of_end ?? counted ?? talliesAt(rollout, rollout.stage, reports.values());
  return {
    tenant,
    rollout: { ...about, ended: ended === undefined ? null : end },
    share: shareOf(rollout),
    waits: is_live ? waitsOf(rollout, reports, now_ms) : "",
    tallies: tallies.map(tallyView),
    nodes: own.map(([node_id, report]) => ({
      node_id,
      stage: report.stage,
      problem: report.problem?.detail ?? null,
      silent: !isFresh(report, now_ms),
    })),
  };
}
