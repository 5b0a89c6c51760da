/** The Pusher capability of a Shield. */
import { INSPECT } from "../admin/inspect/capability.ts";
import type { Capability } from "../capability.ts";
import { createEntrance } from "../connection/entrance.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { readApps, renewSecrets } from "./apps.ts";
import { createPusherEntry } from "./entry.ts";

/** Clients and backends that speak the Pusher protocol. */
export const PUSHER: Capability = {
  name: "pusher",
  title: "clients and backends that speak the Pusher protocol",
  config: ["pusher"],
  /** Throws when a file that `[pusher]` names cannot be read. */
  foreign(env, { operations, stats, tenants, hub, ...parts }, door) {
    const { config: { pusher, limits }, readTextFile, now } = env;
    if (pusher.apps.length === 0) return undefined;
    const apps = readApps(pusher, readTextFile);
    // Returns a promise, so that an error rejects the reading of the configuration.
    // deno-lint-ignore require-await
    env.reloading?.onRead(async () => renewSecrets(apps, pusher, readTextFile));
    return createPusherEntry({
      ...env,
      ...operations.context,
      limits,
      stats,
      tenants,
      hub,
      ...door,
      rates: new HttpRates(parts.rates, now),
      apps,
      lists: () => parts.running.of(INSPECT),
      enter: createEntrance(door.entrance),
      socket_server: parts.socket_server,
    });
  },
};
