/** What plan brings to a Shield. */
import type { Capability } from "../capability.ts";
import { POLICIES } from "../policy/capability.ts";
import { QUOTA } from "../quota/capability.ts";
import { SCHEMAS } from "../schema/capability.ts";
import { USAGE } from "../usage/capability.ts";
import { HOOKS } from "../hooks/capability.ts";
import { REDUCERS } from "../reducers/capability.ts";
import { SCHEDULES } from "../schedules/capability.ts";
import { APPLY_ROUTES } from "./api.ts";
import { ROLLOUT_ROUTES } from "./rollout_api.ts";
import { startApplies } from "./start.ts";

/** A tenant's whole state, and rollouts of it. */
export const PLAN: Capability = {
  name: "plan",
  title: "a tenant's whole state, and rollouts of it",
  admin: {
    tables: [APPLY_ROUTES, ROLLOUT_ROUTES],
    tags: { state: "a tenant's whole state, and rollouts of it" },
  },
  async start(env, parts) {
    const [hooks, reducers] = [parts.running.of(HOOKS), parts.running.of(REDUCERS)];
    const automation = { hooks, reducers, schedules: parts.running.of(SCHEDULES) };
    const { running, settings, node_id } = parts;
    const [policies, schemas] = [running.of(POLICIES)?.admin, running.of(SCHEMAS)?.admin];
    const counted = { quota: running.of(QUOTA), usage: running.of(USAGE) };
    const own = { settings, node_id, policies, schemas, ...counted };
    const { admin: { state, rollouts }, close } = await startApplies(env, own, automation);
    return {
      routes: [...APPLY_ROUTES.serve(state), ...ROLLOUT_ROUTES.serve(rollouts)],
      drain: close,
    };
  },
};
