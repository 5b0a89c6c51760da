/** The plan capability of a Shield. */
import type { Capability } from "../capability.ts";
import { POLICIES } from "../policy/capability.ts";
import { SCHEMAS } from "../schema/capability.ts";
import { APPLY_ROUTES } from "./api.ts";
import { ROLLOUT_ROUTES } from "./rollout_api.ts";
import { startApplies } from "./start.ts";

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
