/** The plan capability of a Brain. */
import type { BrainCapability } from "../capability.ts";
import { startRollouts } from "./service.ts";

/** Rollouts of a tenant's state, which proceed or roll back by the reports of Shields. */
export const PLAN: BrainCapability = {
  name: "plan",
  title: "rollouts of a tenant's state, which go on or back by what Shields report",
  async start(env) {
    const rollouts = await startRollouts(env);
    return { drain: () => Promise.resolve(rollouts.close()) };
  },
};
