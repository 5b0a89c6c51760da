/** The presence capability of a Brain. */
import type { BrainCapability } from "../capability.ts";
import { startMembership } from "../membership/service.ts";
import { memberCommands } from "./member_commands.ts";
import { presenceFigures } from "./metrics.ts";
import { startBrainPresence } from "./service.ts";

/** The members of rooms, the owners of rooms, and the journals of members. */
export const PRESENCE: BrainCapability = {
  name: "presence",
  title: "who is in rooms, and which Brain owns which; and the journals of members",
  async open(env) {
    const { view, health, drain } = await startBrainPresence(env);
    try {
      // Independent of the other capabilities, which may wait long for their storage.
      const membership = await startMembership({ ...env, view });
      const checks = () => ({ presence: health() });
      const commands = memberCommands({ ...env, view });
      return {
        gives: { view },
        ...{ commands, checks, leave: drain, drain: () => membership.drain() },
        figures: () => presenceFigures(env.registry, env.now),
      };
    } catch (error) {
      await drain();
      throw error;
    }
  },
};
