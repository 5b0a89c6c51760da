/** Centrifugo's protocol as a capability of a Shield. */
import { INSPECT } from "../admin/inspect/capability.ts";
import { endMs } from "../auth/claims.ts";
import type { Capability, Parts } from "../capability.ts";
import { createEntrance } from "../connection/entrance.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { createApi } from "./api.ts";
import { readApiKeys } from "./api_keys.ts";
import { requireNamespace } from "./channel.ts";
import { type SendOrder, startOrders } from "./orders.ts";
import { grantsOf } from "./tokens.ts";
import { type CentrifugoEntry, createCentrifugoEntry, isIn } from "./entry.ts";

/** The endpoints by their Shields in the process. */
const ENTRIES = new WeakMap<Parts, CentrifugoEntry>();

/** The capability for clients and backends that speak Centrifugo's protocol. */
export const CENTRIFUGO: Capability<SendOrder> = {
  name: "centrifugo",
  title: "clients and backends that speak Centrifugo's protocol",
  config: ["centrifugo"],
  grantsOf({ config: { centrifugo: { enabled, room_prefix } } }, claims) {
    return enabled ? grantsOf(claims, room_prefix) : undefined;
  },
  /** Throws when a file that `[centrifugo]` names cannot be read. */
  foreign(env, parts, door) {
    const { config: { auth, centrifugo, limits }, readTextFile, now } = env;
    if (!centrifugo.enabled) return undefined;
    const { authenticator, stats, tenants, operations, running, socket_server } = parts;
    const { node_id, forwarding, rooms: { classes } } = parts;
    const { room_prefix, declared_namespaces, server_side } = centrifugo;
    const isServerSide = isIn(server_side);
    const untilOf = (expire_at: number) =>
      expire_at === 0 ? Infinity : endMs(expire_at, now(), auth.clock_skew_seconds * 1_000);
    const requireKnown = (tenant_id: string, channel: string, room_id: string) => {
      if (!declared_namespaces) return;
      requireNamespace(channel, room_prefix, classes.of(tenant_id, room_id).pattern);
    };
    const api = createApi({
      ...env,
      ...operations.context,
      ...door,
      limits,
      stats,
      tenants,
      room_prefix,
      requireKnown,
      isServerSide,
      untilOf,
      rates: new HttpRates(parts.rates, now),
      keys: readApiKeys(centrifugo, readTextFile, env.reloading),
      lists: () => running.of(INSPECT),
      orders: () => running.of(CENTRIFUGO),
    });
    const entry = createCentrifugoEntry({
      ...env,
      authenticator,
      stats,
      socket_server,
      node_id,
      forwarding,
      ...door,
      enter: createEntrance(door.entrance),
      requireKnown,
      isServerSide,
      untilOf,
      hasDeltas: (tenant_id, room_id) => classes.of(tenant_id, room_id).delta === "fossil",
      isLossy(tenant_id, room_id) {
        const { durable, slow_reader } = classes.of(tenant_id, room_id);
        return !durable && slow_reader !== "disconnect";
      },
    });
    ENTRIES.set(parts, entry);
    return (...args) => api(...args) ?? entry.answer(...args);
  },
  async start({ log }, parts) {
    const entry = ENTRIES.get(parts);
    const drain = () => entry?.drain();
    return entry === undefined ? { drain } : { drain, own: await startOrders({ ...parts, log }) };
  },
};
