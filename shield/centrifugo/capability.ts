/** What Centrifugo's protocol brings to a Shield. */
import type { Capability } from "../capability.ts";
import { createEntrance } from "../connection/entrance.ts";
import type { Parts } from "../parts.ts";
import { type CentrifugoEntry, createCentrifugoEntry } from "./entry.ts";

/** The endpoint of each Shield of the process that has one. */
const ENTRIES = new WeakMap<Parts, CentrifugoEntry>();

/** Clients that speak Centrifugo's protocol. */
export const CENTRIFUGO: Capability = {
  name: "centrifugo",
  title: "clients that speak Centrifugo's protocol",
  foreign(env, parts, door) {
    if (!env.config.centrifugo.enabled) return undefined;
    const { authenticator, stats, socket_server, node_id, forwarding, rooms } = parts;
    const entry = createCentrifugoEntry({
      ...env,
      ...{ authenticator, stats, socket_server, node_id, forwarding, ...door },
      enter: createEntrance(door.entrance),
      hasDeltas: (tenant_id, room_id) => rooms.classes.of(tenant_id, room_id).delta === "fossil",
    });
    ENTRIES.set(parts, entry);
    return entry.answer;
  },
  start: (_, parts) => ({ drain: () => ENTRIES.get(parts)?.drain() }),
};
