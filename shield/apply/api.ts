/**
 * `/v1/state` and `/v1/tenants/{tenant}/state` of the admin listener: lists tenants with settings, and reads or
 * replaces the whole state of a tenant in one step. It validates requests; `applies.ts` makes the step.
 */
import { ID, inQuery, list, object, TEXT } from "../openapi/openapi_parts.ts";
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import { TenantRoomClass } from "../../shared/config/schema_durable.ts";
import { SignatureRule } from "../../shared/config/schema_auth.ts";
import { MirrorRule, SchemaMapping } from "../../shared/config/schema_governance.ts";
import { OwnQuota } from "../../shared/config/schema_quota.ts";
import { TenantBudget } from "../../shared/config/schema_usage.ts";
import { listOnce } from "../../shared/config/values/schema_values.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { problemResponse } from "../../shared/problem.ts";
import { decodeRollout, isUnderWay, type Rollout } from "../../shared/rollout/rollout.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { canMatchBelow } from "../../shared/subjects/subject_pattern.ts";
import { isSchemaId, SCHEMA_ID_RULE } from "../../shared/schema_id.ts";
import { STAGED_SCHEMAS_MAX, StagedSchema } from "../../shared/records/bus_schemas.ts";
import {
  StateHook,
  StateReducer,
  StateSchedule,
  TENANT_RULES_MAX,
} from "../../shared/records/tenant_settings.ts";
import { PolicyModuleError } from "../../wasm/module/errors.ts";
import { settingsWithin } from "../../shared/listeners/request_body.ts";
import { listingAnswer } from "../../shared/http1/answer.ts";
import { type AdminCall, AdminTable, jsonBody, withBody } from "../admin/routing/admin_routes.ts";
import { inTurn, requireScope } from "../admin/routing/admin_scope.ts";
import { MODULE, type PolicyAdminContext } from "../policy/admin_api.ts";
import { readQuery } from "../admin/routing/query.ts";
import { Policies } from "../policy/chain/chain.ts";
import { requireMessages, settled } from "../schema/admin/admin_schemas.ts";
import type { SchemaAdminContext } from "../schema/admin/admin_schemas.ts";
import { stagedBytes } from "../schema/registry/register.ts";
import type { Settings } from "../settings/settings.ts";
import { needsDecision, STATE_KINDS, type Wanted } from "./decision.ts";
import { type DocumentLists, type Documents, documentsHash, madeSecrets } from "./documents.ts";
import type { Applies, StoredState } from "./applies.ts";
import type { BusApplies } from "./bus_applies.ts";
import type { TenantSettings } from "../../shared/records/tenant_settings.ts";
import type { Given } from "../capability.ts";
import { within } from "../../shared/within.ts";

const OBJECT = { type: "object" };

/** The largest body, in bytes: twice the largest document. */
const BODY_BYTES = 2_097_152;
/** How long an answer waits for its change to be in force in this process, in ms. */
const IN_FORCE_MS = 5_000;
const SCHEMAS_OFF = "schemas are switched off on this Shield";

/** What the admin API needs of the process. */
export interface ApplyAdminContext extends Pick<Env, "log" | "node_id"> {
  readonly config: Pick<Config, "auth" | "journal" | "limits" | "platform" | "policy" | "rooms">;
  readonly applies: Applies;
  readonly settings: Settings;
  /** Schemas of the whole bus; undefined if they are switched off. */
  readonly bus: BusApplies | undefined;
  /** Kinds of state that are stored as separate documents. */
  readonly documents: Documents;
  readonly rollouts: Pick<KeyValue, "get">;
  readonly policies: PolicyAdminContext;
  /** Undefined if schemas are switched off: mappings are then not checked. */
  readonly schemas: SchemaAdminContext | undefined;
  readonly given: CountedLimits;
}

/** Limits of lists that differ from `TENANT_RULES_MAX`. */
const LISTS_MAX: Readonly<Record<string, number>> = {
  schemas: STAGED_SCHEMAS_MAX,
  schedules: 10_000,
};

/** A list whose entries are unique in one of `members`. */
function listOf<Z extends z.ZodType>(list: string, entry: Z, ...members: string[]) {
  return listOnce(list, entry, LISTS_MAX[list] ?? TENANT_RULES_MAX, members);
}

/** The wanted state in a request. */
export const StateBody = z.strictObject({
  /** The revisions that the change was planned on; 0 for a document that does not exist. */
  basis: z.strictObject({
    settings: z.int().min(0),
    policies: z.int().min(0),
    /** The hash of hooks, schedules and reducers; absent: they are not compared. */
    documents: z.string().regex(/^[0-9a-f]{64}$/).optional(),
  }),
  policies: Policies.optional(),
  mirror: listOf("mirror", MirrorRule, "prefix"),
  mappings: listOf("mappings", SchemaMapping, "subject"),
  rooms: listOf("rooms", TenantRoomClass, "room"),
  quotas: listOf("quotas", OwnQuota, "unit"),
  budgets: listOf("budgets", TenantBudget, "per", "unit", "action"),
  require_signature: listOf("require_signature", SignatureRule, "role", "room"),
  hooks: listOf("hooks", StateHook, "id"),
  schedules: listOf("schedules", StateSchedule, "id"),
  reducers: listOf("reducers", StateReducer, "class"),
  /** Versions that are already stored. */
  schemas: listOf("schemas", StagedSchema, "schema_id"),
});
type StateBody = z.output<typeof StateBody>;

/** A state to check: modules may be missing here, and the sets of `schemas` are checked by themselves. */
const CheckBody = StateBody.omit({ basis: true, schemas: true }).extend({
  schemas: z.array(z.string().refine(isSchemaId, { error: SCHEMA_ID_RULE })).max(STAGED_SCHEMAS_MAX)
    .default([]),
});
type CheckBody = z.output<typeof CheckBody>;

/** Schemas for the whole bus, whose versions are already stored. */
const BusBody = z.strictObject({ schemas: listOf("schemas", StagedSchema, "schema_id") });
type BusBody = z.output<typeof BusBody>;

/** Reads a body with a state. Rejects with `invalid-settings`. */
export const readStateBody = settingsWithin(BODY_BYTES);

/** The routes of a tenant's whole state, and of the state of the bus. */
export const APPLY_ROUTES = new AdminTable<ApplyAdminContext>(
  "state",
  {
    "GET /v1/state": {
      id: "listStates",
      summary: "lists tenants with run-time settings, from policies to quotas",
      answer: object({ node_id: ID, tenants: list(ID) }),
      scope: "bus",
      handle: listStates,
    },
    "PUT /v1/state": {
      audit: "state.apply_bus",
      id: "applyBusState",
      summary: "activates stored versions of schemas for the whole bus, all or none",
      answer: object({ node_id: ID, apply: {}, schemas: list(ID) }),
      refusals: [409, 429],
      scope: "bus",
      ...withBody(jsonBody(BusBody, readStateBody), applyToBus),
    },
    "GET /v1/tenants/{tenant}/state": {
      id: "getTenantState",
      summary: "shows the effective state of a tenant, from policies to quotas, and its revisions",
      answer: object({ tenant: ID, basis: OBJECT, policies: list(OBJECT), applied: {} }),
      scope: "tenant-in-path",
      handle: show,
    },
    "PUT /v1/tenants/{tenant}/state": {
      audit: "state.apply",
      id: "applyTenantState",
      summary:
        "replaces the given kinds of state in one step, if nothing has changed since `basis`",
      answer: object({ tenant: ID, basis: OBJECT, policies: list(OBJECT), applied: {} }),
      refusals: [409, 429],
      scope: "tenant-in-path",
      ...withBody(jsonBody(StateBody, readStateBody), apply),
    },
    "POST /v1/tenants/{tenant}/state/check": {
      audit: { refused: "state.check" },
      id: "checkTenantState",
      summary: "refuses what an apply would refuse, and changes nothing",
      answer: object({ tenant: ID }),
      refusals: [409, 429],
      scope: "tenant-in-path",
      ...withBody(jsonBody(CheckBody, readStateBody), check),
    },
    "POST /v1/tenants/{tenant}/state/modules": {
      audit: { refused: "state.check_module" },
      id: "checkStateModule",
      summary: "refuses a module that an apply could not use, and stores nothing",
      query: [inQuery("class", "pattern of the rooms whose program it is; absent: a policy", TEXT)],
      answer: object({ tenant: ID }),
      refusals: [404, 413, 415, 429],
      scope: "tenant-in-path",
      ...withBody(MODULE, checkModule),
    },
  },
  stateRefusal,
);

/** The refusal of an invalid module; undefined for any other error. */
export function stateRefusal(error: unknown): Response | undefined {
  return error instanceof PolicyModuleError
    ? problemResponse(new ArqonError("invalid-policy", error.message, { cause: error }))
    : undefined;
}

async function view(
  { documents }: ApplyAdminContext,
  tenant: string,
  { settings: { settings, revision }, policies }: StoredState,
) {
  const { current } = policies.document;
  const lists = await documents.list(tenant);
  return {
    basis: {
      settings: revision,
      policies: policies.revision,
      documents: await documentsHash(tenant, lists),
    },
    policies: current.policies,
    mirror: settings.mirror.rules,
    mappings: settings.mappings,
    rooms: settings.rooms,
    quotas: settings.quotas ?? [],
    budgets: settings.budgets ?? [],
    require_signature: settings.require_signature ?? [],
    ...lists,
    versions: {
      settings: { version: settings.version, by: settings.by, at_ms: settings.changed_ms },
      policies: {
        version: current.version,
        by: current.by,
        at_ms: current.at_ms,
        change: current.change,
      },
    },
    applied: settings.applied ?? null,
  };
}

/** What the configuration of this Shield adds to the tenant's state: a plan decides with both. */
function configured({ config, schemas }: ApplyAdminContext, tenant: string) {
  const { auth, journal: { journal }, limits, policy, rooms } = config;
  const { overseer, registry } = config.platform;
  const classes = rooms.filter((one) => one.tenant === "*" || one.tenant === tenant);
  return {
    mappings: schemas === undefined
      ? []
      : registry.mappings.filter(({ subject }) => canMatchBelow(subject, `in.t.${tenant}.`)),
    require_signature: auth.require_signature,
    fuel_limit: overseer.fuel_limit,
    chain_fuel_limit: policy.chain_fuel_limit,
    max_frame_bytes: limits.max_frame_bytes,
    /** The decisions that the journal has of rooms without a class of the tenant's own. */
    journals: [...classes, { room: "*" }].map((one: Partial<typeof classes[0]>) => (
      { room: one.room, journal: one.journal ?? journal, journal_share: one.journal_share ?? 1 }
    )),
  };
}

/** The state that a rollout puts in force with its last step, without secrets. */
function broughtBy(rollout: Rollout) {
  const { mirror, schemas = [] } = rollout;
  const lists = Object.fromEntries(STATE_KINDS.map((kind) => [kind, rollout[kind]]));
  const hooks = rollout.hooks?.map((one) => ({ ...one as StateHook, secret: undefined }));
  return { ...lists, mirror: mirror?.rules, hooks, schemas };
}

/** Every tenant with policies, settings, or other documents of state. */
async function listStates(context: ApplyAdminContext): Promise<Response> {
  const { settings, policies: { registry }, bus, documents, node_id } = context;
  await bus?.finish();
  const with_policies = registry.tenants().map(({ tenant }) => tenant);
  const all = [...settings.tenants(), ...with_policies, ...await documents.tenants()];
  return Response.json({ node_id, tenants: [...new Set(all)].sort() });
}

async function show(context: ApplyAdminContext, { tenant }: AdminCall): Promise<Response> {
  const { applies, bus } = context;
  // Schemas of a decided apply are part of the state.
  await bus?.finish();
  // The rollout is read before the state: if it ends in between, the state includes it.
  const rollout = await rolloutUnderWay(context, tenant);
  const stored = await applies.read(tenant);
  const coming = rollout && {
    id: rollout.id,
    by: rollout.by,
    state: rollout.state,
    brings: broughtBy(rollout),
  };
  const now = await view(context, tenant, stored);
  const configuration = configured(context, tenant);
  return listingAnswer(tenant, { tenant, ...now, rollout: coming ?? null, configuration });
}

async function apply(
  context: ApplyAdminContext,
  call: AdminCall,
  { basis, mirror, ...wanted }: StateBody,
): Promise<Response> {
  const { tenant, by } = call;
  if (needsDecision(wanted)) await requireNoRollout(context, tenant);
  const { applies, policies: { registry }, schemas, settings, log, node_id } = context;
  const { modules, lists } = await checkState(context, call, wanted);
  const rules = mirror === undefined ? {} : { mirror: { rules: mirror } };
  const given = { ...wanted, ...rules, ...lists };
  const stored = await applies.apply(tenant, basis, given, by);
  for (const [sha256, bytes] of modules) await registry.store.keepModule(sha256, bytes);
  const { id } = stored.settings.settings.applied ?? { id: "" };
  log.info("a tenant's state was applied", { tenant_id: tenant, apply: id, by });
  const reached = await Promise.all([
    settings.reached(tenant, stored.settings.revision, IN_FORCE_MS),
    stored.policies.revision === 0 ||
    registry.reached(tenant, stored.policies.revision, IN_FORCE_MS),
  ]);
  // Budgets are read from the settings, so they follow them.
  reached.push(given.budgets === undefined || await stands(context, tenant));
  await refreshed(schemas, wanted.schemas);
  const here = registry.tenant(tenant);
  const policies = { state: here?.state ?? null, detail: here?.detail ?? null };
  const in_force = reached.every(Boolean) && (here === undefined || here.state === "active");
  const secrets = madeSecrets(wanted.hooks, lists.hooks);
  const now = await view(context, tenant, stored);
  return listingAnswer(tenant, { tenant, ...now, secrets, here: { node_id, in_force, policies } });
}

async function check(
  context: ApplyAdminContext,
  call: AdminCall,
  { mirror, schemas, ...wanted }: CheckBody,
): Promise<Response> {
  const { tenant, by } = call;
  const { lists } = await checkState(context, call, wanted, { schemas });
  const rules = mirror === undefined ? {} : { mirror: { rules: mirror } };
  const planned = await context.applies.planned(tenant, { ...wanted, ...rules, ...lists }, by);
  context.settings.require(tenant, planned);
  return Response.json({ tenant });
}

async function checkModule(
  { policies, documents }: ApplyAdminContext,
  call: AdminCall,
  bytes: Uint8Array,
): Promise<Response> {
  const { tenant, url } = call;
  const { class: pattern } = readQuery(url, { class: z.string().optional() });
  if (pattern === undefined) await inTurn(call, tenant, () => policies.check(bytes));
  else await documents.checkModule("reducers", call, pattern, bytes);
  return Response.json({ tenant });
}

/** Whether the tenant's budgets are in force here: their usage was read in time. */
async function stands({ given }: ApplyAdminContext, tenant: string): Promise<boolean> {
  const standing = given.standBudgets?.(tenant) ?? Promise.resolve();
  // Unread budgets are not in force.
  return await within(IN_FORCE_MS, standing.then(() => true, () => false), () => false);
}

/** Resolves once this Shield enforces the new state, or the timeout has passed. */
async function refreshed(
  schemas: ApplyAdminContext["schemas"],
  changed: readonly StagedSchema[] = [],
): Promise<void> {
  if (schemas === undefined) return;
  for (const { schema_id } of changed) schemas.cache.refresh(schema_id);
  await settled(schemas);
}

async function applyToBus(
  { bus, schemas: admin, log, node_id }: ApplyAdminContext,
  { by }: AdminCall,
  { schemas = [] }: BusBody,
): Promise<Response> {
  if (bus === undefined) throw new ArqonError("invalid-settings", SCHEMAS_OFF);
  if (schemas.length === 0) return Response.json({ node_id, apply: null, schemas: [] });
  const id = await bus.apply(schemas, by);
  log.info("schemas of the bus were applied", { apply: id, by, schemas: schemas.length });
  await refreshed(admin, schemas);
  return Response.json({ node_id, apply: id, schemas: schemas.map(({ schema_id }) => schema_id) });
}

/** The tenant's running rollout, if it can be read. */
async function rolloutUnderWay(
  { rollouts }: ApplyAdminContext,
  tenant: string,
): Promise<Rollout | undefined> {
  const entry = await rollouts.get([tenant]);
  const decoded = entry === undefined ? undefined : decodeRollout(entry.value);
  if (decoded === undefined || !("value" in decoded)) return undefined;
  return isUnderWay(decoded.value) ? decoded.value : undefined;
}

/** A policy change during a rollout would end the rollout. Rejects with `settings-conflict`. */
async function requireNoRollout(context: ApplyAdminContext, tenant: string): Promise<void> {
  const rollout = await rolloutUnderWay(context, tenant);
  if (rollout === undefined) return;
  const { id, by } = rollout;
  const detail = `rollout ${id} by ${JSON.stringify(by)} is under way, nothing was changed`;
  throw new ArqonError("settings-conflict", detail);
}

/** A checked state: modules of policies by their sha256, and the documents in their stored form. */
interface CheckedState {
  readonly modules: Map<string, Uint8Array>;
  readonly lists: DocumentLists;
}

/** What an apply stores before its state, and a check does not. */
interface Coming {
  readonly schemas: readonly string[];
}

/** Checks the wanted state, in the tenant's turn; with `coming`, modules that are not stored are coming, too. */
export async function checkState(
  context: ApplyAdminContext,
  { tenant, checks, only_tenant }: Pick<AdminCall, "tenant" | "checks" | "only_tenant">,
  { policies, mappings, rooms, schemas: versions = [], hooks, schedules, reducers, ...limits }:
    Pick<
      StateBody,
      | "policies"
      | "mappings"
      | "rooms"
      | "quotas"
      | "budgets"
      | "schemas"
      | "hooks"
      | "schedules"
      | "reducers"
    >,
  coming?: Coming,
): Promise<CheckedState> {
  const { schemas, settings, given, documents } = context;
  const before = (await settings.read(tenant)).settings;
  requireLimits(given, { only_tenant }, before, limits);
  const modules = await inTurn(
    { checks },
    tenant,
    () => requireModules(context, policies, coming !== undefined),
  );
  if (versions.length > 0) requireScope("bus", { only_tenant }, []);
  if (schemas === undefined && versions.length > 0) {
    throw new ArqonError("invalid-settings", SCHEMAS_OFF);
  }
  if (schemas !== undefined) {
    const staged = new Map<string, Uint8Array>();
    for (const one of versions) staged.set(one.schema_id, await stagedBytes(schemas.store, one));
    if (mappings !== undefined) {
      const known = mappings.filter(({ schema_id }) => !coming?.schemas.includes(schema_id));
      await inTurn({ checks }, tenant, () => requireMessages(schemas, known, staged));
      schemas.mappings.requireRoom(tenant, mappings);
    }
  }
  const given_lists = { rooms, hooks, schedules, reducers };
  const lists = await documents.check(tenant, given_lists, coming !== undefined);
  return { modules, lists };
}

async function requireModules(
  { policies: { registry: { store }, check } }: ApplyAdminContext,
  policies: StateBody["policies"] = [],
  may_come: boolean,
): Promise<Map<string, Uint8Array>> {
  const modules = new Map<string, Uint8Array>();
  for (const { name, sha256, hooks } of policies) {
    const bytes = modules.get(sha256) ?? await store.module(sha256);
    if (bytes === undefined) {
      if (may_come) continue;
      const detail = `${name}: module ${sha256} has not been uploaded`;
      throw new ArqonError("policy-unknown", detail);
    }
    modules.set(sha256, bytes);
    const { hooks: there } = await check(bytes);
    const lacking = hooks.filter((hook) => !there.includes(hook));
    if (lacking.length === 0) continue;
    const exports = lacking.map((hook) => `arqon_${hook}`).join(", ");
    throw new ArqonError("invalid-policy", `${name}: the module does not export ${exports}`);
  }
  return modules;
}

/** The limits that this Shield counts. */
export type CountedLimits = Pick<Given, "has_quotas" | "standBudgets">;

const NEEDS = {
  quotas: "[quota] is not in the configuration of this Shield, so nothing counts them",
  budgets: "[usage] enabled is not true on this Shield, so nothing counts them",
} as const;

/**
 * Accepts unchanged limits. Throws `role-forbidden` (403) for changed ones from a tenant's own admin, and
 * `invalid-settings` for those that this Shield does not count.
 */
function requireLimits(
  { has_quotas, standBudgets }: CountedLimits,
  { only_tenant }: Pick<AdminCall, "only_tenant">,
  before: Pick<TenantSettings, "quotas" | "budgets">,
  wanted: Pick<Wanted, "quotas" | "budgets">,
): void {
  const counted = { quotas: has_quotas, budgets: standBudgets !== undefined };
  for (const kind of ["quotas", "budgets"] as const) {
    const list = wanted[kind];
    if (list === undefined || JSON.stringify(list) === JSON.stringify(before[kind] ?? [])) continue;
    requireScope("bus", { only_tenant }, []);
    if (list.length === 0 || counted[kind]) continue;
    throw new ArqonError("invalid-settings", `${kind}: ${NEEDS[kind]}`);
  }
}
