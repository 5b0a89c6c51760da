/**
 * How an apply over two documents is decided. Pure. The settings' document carries all that the apply
 * writes; the version of the policies after `base_version` says, once and for all, whether it is made:
 * whoever reads the two comes to the same answer, and nobody waits for anybody. Who writes is `applies.ts`.
 */
import type { StagedSchema } from "../../shared/records/staged_schema.ts";
import type { PendingApply, TenantSettings } from "../../shared/records/tenant_settings.ts";
import { DOCUMENT_KINDS } from "../settings/document_kinds.ts";
import type { DocumentKindName } from "../settings/document_kinds.ts";
import { applyWords } from "../policy/chain/canary_turn.ts";
import { withPolicies } from "../policy/chain/chain.ts";
import type { PolicyDocument } from "../policy/chain/chain.ts";

/** The kinds of what a tenant has that an apply replaces, each as a whole. */
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

/** What is to be in force; an absent kind stays as it is. */
export type Wanted =
  & {
    readonly [Kind in typeof STATE_KINDS[number]]?: PendingApply[Kind] | undefined;
  }
  & {
    /** Versions of schemas, which are stored already. */
    readonly schemas?: readonly StagedSchema[] | undefined;
  };

/** Whether the policies' document decides about it: it changes the policies, or schemas that come with them. */
export function needsDecision({ policies, schemas = [] }: Wanted): boolean {
  return policies !== undefined || schemas.length > 0;
}

/** Whether it says anything of kinds that are documents of their own. */
export function hasDocuments(wanted: Wanted): boolean {
  return DOCUMENT_KINDS.some((kind) => wanted[kind] !== undefined);
}

/** What of those kinds is there. */
export function documentsOf(wanted: Wanted): Pick<PendingApply, DocumentKindName> {
  const given = DOCUMENT_KINDS.filter((kind) => wanted[kind] !== undefined);
  return Object.fromEntries(given.map((kind) => [kind, [...wanted[kind] ?? []]]));
}

/** `open`: the policies still are as they were; `lost`: somebody else made their next version. */
export type Decision = "open" | "made" | "lost";

/** What has become of an apply, by the tenant's policies as they are now or were a moment ago. */
export function decisionOf(
  { id, base_version }: Pick<PendingApply, "id" | "base_version">,
  { current, history }: PolicyDocument,
): Decision {
  if (current.version === base_version) return "open";
  const next = [...history, current].find(({ version }) => version === base_version + 1);
  return next?.change === applyWords(id) ? "made" : "lost";
}

/** The policies' document that the apply makes of the one it began from. Throws `invalid-policy`. */
export function policiesAfter(document: PolicyDocument, pending: PendingApply): PolicyDocument {
  const { policies, id, by, at_ms } = pending;
  return withPolicies(document, policies, applyWords(id), { by, at_ms });
}

/** The settings after an apply that is made. */
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

/** What of quotas, budgets and demands for signatures is there. */
export function limitsOf(
  { quotas, budgets, require_signature }: Pick<Wanted, "quotas" | "budgets" | "require_signature">,
): Pick<PendingApply, "quotas" | "budgets" | "require_signature"> {
  return {
    ...(quotas === undefined ? {} : { quotas }),
    ...(budgets === undefined ? {} : { budgets }),
    ...(require_signature === undefined ? {} : { require_signature }),
  };
}

/** The settings without an apply that is lost. */
export function withoutPending({ pending: _, ...settings }: TenantSettings): TenantSettings {
  return settings as TenantSettings;
}
