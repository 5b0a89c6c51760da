/**
 * The decision of an apply over two documents. Pure. The settings' document contains the whole apply; the version of
 * the policies after `base_version` decides it for ever. Every reader of the two documents gets the same decision,
 * without waiting for others. `applies.ts` writes them.
 */
import type { StagedSchema } from "../../shared/records/bus_schemas.ts";
import type {
  DocumentKindName,
  PendingApply,
  TenantSettings,
} from "../../shared/records/tenant_settings.ts";
import { DOCUMENT_KINDS } from "../../shared/records/tenant_settings.ts";
import { applyWords } from "../policy/chain/canary.ts";
import { type PolicyDocument, withPolicies } from "../policy/chain/chain.ts";

/** The kinds of a tenant's state; an apply replaces each of them as a whole. */
export const STATE_KINDS = [
  "policies",
  "mirror",
  "mappings",
  "rooms",
  "quotas",
  "budgets",
  "require_signature",
  ...DOCUMENT_KINDS,
] as const;

/** The wanted state; an absent kind is unchanged. */
export type Wanted =
  & {
    readonly [Kind in typeof STATE_KINDS[number]]?: PendingApply[Kind] | undefined;
  }
  & {
    /** Versions of schemas that are already stored. */
    readonly schemas?: readonly StagedSchema[] | undefined;
  };

/** Whether the policies' document decides the apply: it changes policies, or schemas that are activated with them. */
export function needsDecision({ policies, schemas = [] }: Wanted): boolean {
  return policies !== undefined || schemas.length > 0;
}

/** Whether it has kinds that are separate documents. */
export function hasDocuments(wanted: Wanted): boolean {
  return DOCUMENT_KINDS.some((kind) => wanted[kind] !== undefined);
}

/** Its kinds that are separate documents. */
export function documentsOf(wanted: Wanted): Pick<PendingApply, DocumentKindName> {
  const given = DOCUMENT_KINDS.filter((kind) => wanted[kind] !== undefined);
  return Object.fromEntries(given.map((kind) => [kind, [...wanted[kind] ?? []]]));
}

/** `open`: the policies are unchanged; `lost`: another writer made their next version. */
export type Decision = "open" | "made" | "lost";

/** The outcome of an apply, by the current or slightly older policies of the tenant. */
export function decisionOf(
  { id, base_version }: Pick<PendingApply, "id" | "base_version">,
  { current, history }: PolicyDocument,
): Decision {
  if (current.version === base_version) return "open";
  const next = [...history, current].find(({ version }) => version === base_version + 1);
  return next?.change === applyWords(id) ? "made" : "lost";
}

/** The policies' document that results from the apply. Throws `invalid-policy`. */
export function policiesAfter(document: PolicyDocument, pending: PendingApply): PolicyDocument {
  const { policies, id, by, at_ms } = pending;
  return withPolicies(document, policies, applyWords(id), { by, at_ms });
}

/** The settings after an apply that was made. */
export function settingsAfter(
  settings: TenantSettings,
  pending: PendingApply,
  policies_version: number,
): TenantSettings {
  const { id, by, at_ms, mirror, mappings, rooms } = pending;
  const limits = limitsOf(pending);
  const version = settings.version + 1;
  const applied = { id, by, at_ms, settings_version: version, policies_version };
  const changed = { mirror, mappings, rooms, ...limits, version, by, changed_ms: at_ms };
  return { ...withoutPending(settings), ...changed, applied };
}

/** The quotas, budgets and signature requirements among them. */
export function limitsOf(
  { quotas, budgets, require_signature }: Pick<Wanted, "quotas" | "budgets" | "require_signature">,
): Pick<PendingApply, "quotas" | "budgets" | "require_signature"> {
  return {
    ...(quotas === undefined ? {} : { quotas }),
    ...(budgets === undefined ? {} : { budgets }),
    ...(require_signature === undefined ? {} : { require_signature }),
  };
}

/** The settings without a lost apply. */
export function withoutPending({ pending: _, ...settings }: TenantSettings): TenantSettings {
  return settings as TenantSettings;
}
