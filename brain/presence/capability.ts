/** The presence capability of a Brain. */
import type { BrainCapability } from "../capability.ts";
import { startMembership } from "../membership/service.ts";
import { memberCommands } from "./member_commands.ts";
import { presenceFigures } from "./metrics.ts";
import { startBrainPresence } from "./service.ts";

/** The members of rooms, and their journals. */
export const PRESENCE: BrainCapability = {
  name: "presence",
  title: "who is in rooms, and the journals of members",
  async open(env) {
    const { view, health, close } = await startBrainPresence(env);
    try {
      // Independent of the other capabilities, which may wait long for their storage.
      const membership = await startMembership({ ...env, view });
      const checks = () => ({ presence: health() });
      const commands = memberCommands({ ...env, view });
      return {
        gives: { view },
        commands,
        checks,
        drain: () => membership.drain(),
        leave: () => Promise.resolve(close()),
        figures: () => presenceFigures(env.registry, env.now),
      };
    } catch (error) {
      close();
      throw error;
    }
  },
};
