/** What presence brings to a Shield. */
import type { Capability } from "../capability.ts";
import { type PresenceService, startPresence } from "./service.ts";

/** Who is in rooms. */
export const PRESENCE: Capability<PresenceService> = {
  name: "presence",
  title: "who is in rooms",
  open(env, { node_id, rooms: { classes } }) {
    const service = startPresence({ ...env, classes, node_id });
    return { own: service, gives: { presence: service }, close: () => service.close() };
  },
};
