/** What Centrifugo's protocol brings to a Shield. */
import type { Capability } from "../capability.ts";
import { createEntrance } from "../connection/entrance.ts";
import { createCentrifugoEntry } from "./entry.ts";

/** Clients that speak Centrifugo's protocol. */
export const CENTRIFUGO: Capability = {
  name: "centrifugo",
  title: "clients that speak Centrifugo's protocol",
  foreign(env, { authenticator, stats, socket_server }, door) {
    if (!env.config.centrifugo.enabled) return undefined;
    return createCentrifugoEntry({
      ...env,
      ...{ authenticator, stats, socket_server, ...door },
      isDraining: door.entrance.isDraining,
      enter: createEntrance(door.entrance),
    });
  },
};
