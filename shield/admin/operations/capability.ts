/** The moderation capability of a Shield. */
import type { Capability } from "../../capability.ts";
import { BAN_ROUTES } from "./bans_api.ts";
import { REVOCATION_ROUTES } from "./revocations_api.ts";
import { startSignalWrites } from "./signal_writes.ts";

/** Bans and revoked tokens, by admins and by signals of backends. */
export const MODERATION: Capability = {
  name: "moderation",
  title: "banned users and revoked tokens",
  admin: {
    tables: [REVOCATION_ROUTES, BAN_ROUTES],
    tags: { revocations: "withdrawn tokens", bans: "banned users" },
  },
  start(options, { revocations, bans, bans_bucket, node_id, signals, time }) {
    const { config: { auth, limits }, now, ...env } = options;
    const { held, bucket } = revocations;
    const log = env.log.child({ part: "revocations" });
    const withdrawn = { revocations: held, bucket, auth, limits, log, now, node_id };
    const banned = { bans, bucket: bans_bucket, node_id, log: env.log };
    // By a clock of its own that is ahead, a Shield would drop a ban that has not ended.
    const by_store = { now: () => time.now() };
    const signalled = { ...options, ...by_store, ...revocations, bans, bans_bucket, signals };
    return {
      clientsGone: startSignalWrites(signalled).close,
      routes: [...REVOCATION_ROUTES.serve(withdrawn), ...BAN_ROUTES.serve(banned)],
    };
  },
};
