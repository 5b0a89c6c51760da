/**
 * Settings of a tenant made at run time: mirror rules, schema mappings, room classes, quotas, budgets, required
 * signatures, as one document in the bucket `ARQON_TENANTS` under the tenant. Only the form: the Shield reads and
 * writes it.
 */
import { isId } from "@arqon/proto";
import { z } from "zod";
import { StoredRoomClass } from "../config/schema_durable.ts";
import { SignatureRule } from "../config/schema_auth.ts";
import { MirrorRule, SchemaMapping } from "../config/schema_governance.ts";
import { OwnQuota } from "../config/schema_quota.ts";
import { TenantBudget } from "../config/schema_usage.ts";
import { STAGED_SCHEMAS_MAX, StagedSchema } from "./bus_schemas.ts";
import { parseStored, storedBytes } from "./stored.ts";
import { TenantHook } from "../config/automation/hooks.ts";
import { id, roomPattern } from "../config/values/schema_values.ts";
import { refuseWhen, ScheduleBody } from "./schedule.ts";

/** Keys: `[tenant_id]`. */
export const TENANTS_BUCKET = "ARQON_TENANTS";

/** The most rules, mappings or classes of one tenant, each. */
export const TENANT_RULES_MAX = 1_000;
/** The most budgets of one tenant: one for each period, unit and action. */
export const TENANT_BUDGETS_MAX = 66;

/** Settings that few tenants have; absent if never set. */
const Limits = {
  /** Only operators set these and budgets: at most one for each unit. */
  quotas: z.array(OwnQuota).max(2).optional(),
  budgets: z.array(TenantBudget).max(TENANT_BUDGETS_MAX).optional(),
  /** Added to those of the configuration. */
  require_signature: z.array(SignatureRule).max(TENANT_RULES_MAX).optional(),
};

/** Items of one kind, each a document of its own. */
const Things = z.array(z.unknown()).max(10_000).optional();

/**
 * Kinds of state with one document for each item, as an apply carries them: checked before, and parsed again where they
 * are written (`shield/apply/`).
 */
export const DocumentLists = { hooks: Things, schedules: Things, reducers: Things };

const ApplyId = z.string().regex(/^[0-9a-f]{32}$/);

/**
 * A running apply with all of its writes: any Shield can finish it (`shield/apply/`). `base_version` is the version of
 * the tenant's policies it started from.
 */
const Pending = z.looseObject({
  id: ApplyId,
  by: z.string(),
  at_ms: z.int().min(0),
  base_version: z.int().min(0),
  /** As in the policies' document, which is checked where they are written. */
  policies: z.array(z.unknown()),
  mirror: z.strictObject({ rules: z.array(MirrorRule).max(TENANT_RULES_MAX) }),
  mappings: z.array(SchemaMapping).max(TENANT_RULES_MAX),
  rooms: z.array(StoredRoomClass).max(TENANT_RULES_MAX),
  /** Schema versions that come into force with the decision; absent: none. */
  schemas: z.array(StagedSchema).max(STAGED_SCHEMAS_MAX).optional(),
  ...Limits,
  ...DocumentLists,
  /** It changes no policies, so this write was the decision. */
  decided: z.literal(true).optional(),
});

/** A running apply, decoded. */
export type PendingApply = z.output<typeof Pending>;

/** The last finished apply: what it put in force, so that later manual changes can be reported. */
const Applied = z.looseObject({
  id: ApplyId,
  by: z.string(),
  at_ms: z.int().min(0),
  settings_version: z.int().min(0),
  policies_version: z.int().min(0),
});

// Loose: a write of this version keeps members of a later one.
const Document = z.looseObject({
  format: z.literal(1),
  version: z.int().min(0),
  mirror: z.strictObject({ rules: z.array(MirrorRule).max(TENANT_RULES_MAX) }).default({
    rules: [],
  }),
  mappings: z.array(SchemaMapping).max(TENANT_RULES_MAX).default([]),
  rooms: z.array(StoredRoomClass).max(TENANT_RULES_MAX).default([]),
  ...Limits,
  by: z.string().default(""),
  changed_ms: z.int().min(0).default(0),
  pending: Pending.optional(),
  applied: Applied.optional(),
});

/** A tenant's settings; unknown members are kept. */
export type TenantSettings = z.output<typeof Document>;

/** The defaults of a tenant without settings. */
export function emptySettings(): TenantSettings {
  const none = { mirror: { rules: [] }, mappings: [], rooms: [] };
  return { format: 1, version: 0, ...none, by: "", changed_ms: 0 };
}

/** The stored form. */
export const encodeSettings = (settings: TenantSettings): Uint8Array => storedBytes(settings);

/** The settings, or what is wrong with the bytes. Rules may only name the tenant's own subjects. */
export function decodeSettings(
  tenant_id: string,
  bytes: Uint8Array,
): { readonly settings: TenantSettings } | { readonly problem: string } {
  const parsed = parseStored(bytes, Document, "settings of a tenant");
  if ("problem" in parsed) return parsed;
  const problem = foreignSubject(tenant_id, parsed.value);
  return problem === undefined ? { settings: parsed.value } : { problem };
}

/** The first rule or mapping that names another tenant's subjects, as a text; undefined: none. */
function foreignSubject(
  tenant_id: string,
  { mirror, mappings }: Pick<TenantSettings, "mirror" | "mappings">,
): string | undefined {
  if (!isId(tenant_id)) return "not a tenant id";
  const own = `in.t.${tenant_id}.`;
  const subjects = [...mirror.rules.map(({ prefix }) => prefix), ...mappings.map((m) => m.subject)];
  const foreign = subjects.find((subject) => !subject.startsWith(own));
  return foreign === undefined
    ? undefined
    : `${JSON.stringify(foreign)} does not begin with ${own}`;
}

/** The kinds of separate documents. */
export const DOCUMENT_KINDS = ["hooks", "schedules", "reducers"] as const;
/** The name of a kind. */
export type DocumentKindName = typeof DOCUMENT_KINDS[number];

const paused = z.boolean().optional().describe("absent: unchanged, and a new one is not paused");

/** A hook; without a secret it keeps its secret, and a new hook gets a generated one. */
export const StateHook = z.strictObject({ id, ...TenantHook.shape, paused });
export type StateHook = z.output<typeof StateHook>;

/** A schedule. */
export const StateSchedule = z.strictObject({ id, ...ScheduleBody.shape, paused })
  .superRefine(refuseWhen);
/** A schedule. */
export type StateSchedule = z.output<typeof StateSchedule>;

/** The module that a room class runs, instead of the configured file. */
export const StateReducer = z.strictObject({
  class: roomPattern,
  sha256: z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lowercase hex digits" }),
});
export type StateReducer = z.output<typeof StateReducer>;
