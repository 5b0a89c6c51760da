/** The plan capability of a Shield. */
import type { Capability } from "../capability.ts";
import { POLICIES } from "../policy/capability.ts";
import { SCHEMAS } from "../schema/capability.ts";
import { APPLY_ROUTES, type ApplyAdminContext, type CountedLimits } from "./api.ts";
import { ROLLOUT_ROUTES, type RolloutAdminContext } from "./rollout_api.ts";
import { TENANTS_BUCKET } from "../../shared/records/tenant_settings.ts";
import type { Env } from "../../shared/env.ts";
import type { PolicyAdminContext } from "../policy/admin_api.ts";
import type { SchemaAdminContext } from "../schema/admin/admin_schemas.ts";
import { Applies, type AppliesOptions } from "./applies.ts";
import { BusApplies } from "./bus_applies.ts";
import { Documents } from "./documents.ts";
import { openRollouts, type RolloutsOptions } from "./rollouts.ts";
import { promote, stagedBytes } from "../schema/registry/register.ts";
import type { DocumentKinds } from "../settings/document_kinds.ts";

/** The parts of the process that applies act on; a part that is switched off has no context. */
interface ApplyParts extends Pick<ApplyAdminContext, "settings" | "node_id"> {
  readonly policies: PolicyAdminContext | undefined;
  readonly schemas: SchemaAdminContext | undefined;
  readonly given: CountedLimits;
  readonly kinds: DocumentKinds;
}

interface ApplyStart
  extends
    Pick<AppliesOptions, "log" | "now" | "random">,
    Pick<Env, "spine">,
    Pick<ApplyAdminContext, "config"> {}

interface StartedApplies {
  /** For the admin API; undefined if policies are switched off. */
  readonly admin: {
    readonly state: ApplyAdminContext | undefined;
    readonly rollouts: RolloutAdminContext | undefined;
  };
  close(): void;
}

/** How staged schemas are activated; undefined if schemas are switched off. */
function promotionOf(
  schemas: SchemaAdminContext | undefined,
): Pick<AppliesOptions, "promote"> & Pick<RolloutsOptions, "requireStaged"> {
  if (schemas === undefined) return {};
  const { store, versions_max } = schemas;
  return {
    promote: (staged, decided) => promote(store, staged, { ...decided, versions_max }),
    async requireStaged(all) {
      for (const staged of all) await stagedBytes(store, staged);
    },
  };
}

async function openBus(
  { spine, log, now, random }: ApplyStart,
  promote: AppliesOptions["promote"],
  requireStaged: RolloutsOptions["requireStaged"],
): Promise<BusApplies | undefined> {
  if (promote === undefined || requireStaged === undefined) return undefined;
  const bucket = await spine.keyValue(TENANTS_BUCKET);
  return new BusApplies({ bucket, promote, requireStaged, log, now, random });
}

/** Starts to finish applies and rollouts of any Shield. Rejects with `spine-unavailable`. */
async function startApplies(start: ApplyStart, parts: ApplyParts): Promise<StartedApplies> {
  const { config, log, now, spine, random } = start;
  const { settings, node_id, schemas, policies, given } = parts;
  if (policies === undefined) {
    return { admin: { state: undefined, rollouts: undefined }, close: () => {} };
  }
  const { registry } = policies;
  const { requireStaged, ...promoting } = promotionOf(schemas);
  const bus = await openBus(start, promoting.promote, requireStaged);
  const documents = new Documents(parts.kinds);
  const stores = { settings, policies: registry.store, documents };
  const applies = new Applies({ ...start, ...stores, ...promoting });
  const own_part = requireStaged === undefined ? {} : { requireStaged };
  const rolling = { spine, registry, applies, node_id, log, now, ...own_part };
  const running = await openRollouts(rolling);
  const { bucket: rollouts } = running;
  const own = { applies, bus, given, settings, documents, rollouts, policies, schemas };
  const state = { ...own, config, log, node_id };
  return {
    admin: { state, rollouts: { state, bucket: rollouts, log, now, random, node_id } },
    close() {
      running.close();
      bus?.close();
      applies.close();
    },
  };
}

/** A tenant's whole state, and rollouts of it. */
export const PLAN: Capability = {
  name: "plan",
  title: "a tenant's whole state, and rollouts of it",
  tenant: ["pending", "applied"],
  stores: ["ARQON_ROLLOUTS"],
  admin: {
    tables: [APPLY_ROUTES, ROLLOUT_ROUTES],
    tags: { state: "a tenant's whole state, and rollouts of it" },
  },
  async start(env, parts) {
    const { running, settings, node_id } = parts;
    const policies = running.of(POLICIES)?.admin;
    const schemas = running.of(SCHEMAS)?.admin;
    const { given } = running;
    const own = { settings, node_id, policies, schemas, given, kinds: running.kinds() };
    const { admin: { state, rollouts }, close } = await startApplies(env, own);
    return {
      routes: [...APPLY_ROUTES.serve(state), ...ROLLOUT_ROUTES.serve(rollouts)],
      drain: close,
    };
  },
};
