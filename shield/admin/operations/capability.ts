/** The moderation capability of a Shield. */
import type { Capability } from "../../capability.ts";
import { BAN_ROUTES } from "./bans_api.ts";
import { REVOCATION_ROUTES } from "./revocations_api.ts";
import { revokeTokens } from "./revoke.ts";
import { startSignalWrites } from "./signal_writes.ts";
import { receiveSignals } from "./signals.ts";

/** Bans and revoked tokens, by admins and by signals of backends, and kicks. */
export const MODERATION: Capability = {
  name: "moderation",
  title: "kicks, banned users and revoked tokens",
  admin: {
    tables: [REVOCATION_ROUTES, BAN_ROUTES],
    tags: { revocations: "withdrawn tokens", bans: "banned users" },
  },
  start(
    options,
    { revocations, bans, bans_bucket, node_id, connections, removals, presence, time },
  ) {
    const { config: { auth, limits }, now, ...env } = options;
    const { held, bucket } = revocations;
    const log = env.log.child({ part: "revocations" });
    const withdrawn = { revocations: held, bucket, auth, limits, log, now, node_id };
    const banned = { bans, bucket: bans_bucket, node_id, log: env.log };
    // By a clock of its own that is ahead, a Shield would drop a ban that has not ended.
    const by_store = { ...options, now: () => time.now() };
    const { writes, close } = startSignalWrites({
      ...by_store,
      bans,
      bans_bucket,
      bucket,
      revoke: (tenant_id, wanted) => revokeTokens(withdrawn, tenant_id, wanted),
    });
    const stop = receiveSignals({ ...by_store, connections, removals, presence, writes });
    return {
      clientsGone: close,
      routes: [...REVOCATION_ROUTES.serve(withdrawn), ...BAN_ROUTES.serve(banned)],
      [Symbol.asyncDispose]: () => Promise.resolve(stop()),
    };
  },
};
