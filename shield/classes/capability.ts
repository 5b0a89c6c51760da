/** The classes capability of a Shield: the classes of rooms on the admin API. */
import type { Capability } from "../capability.ts";
import { ROOM_ROUTES } from "./api.ts";

/** The capability, for a Shield's list. */
export const CLASSES: Capability = {
  name: "classes",
  title: "the classes of rooms on the admin API",
  admin: { tables: [ROOM_ROUTES], tags: { "room classes": "options of rooms" } },
  start(env, { rooms: { classes }, settings, logs, node_id }) {
    const log = env.log.child({ part: "rooms" });
    return { routes: ROOM_ROUTES.serve({ classes, settings, logs, log, node_id }) };
  },
};
