/** The hooks capability of a Brain. */
import type { BrainCapability } from "../capability.ts";
import { announceRooms } from "./announced_rooms.ts";
import { HookLifeEvents } from "./life_events.ts";
import { startHooks } from "./service.ts";

/** URLs that are called after events. */
export const HOOKS: BrainCapability = {
  name: "hooks",
  title: "URLs that are called for events",
  async open(env) {
    const life_events = await HookLifeEvents.open(env);
    return {
      gives: { reportRooms: (rooms) => announceRooms(env, life_events, rooms) },
      drain: () => Promise.resolve(life_events.close()),
    };
  },
  start: startHooks,
};
