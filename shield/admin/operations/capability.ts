/** The moderation capability of a Shield. */
import type { Capability } from "../../capability.ts";
import { BAN_ROUTES } from "./bans_api.ts";
import { REVOCATION_ROUTES } from "./revocations_api.ts";

/** Bans and revoked tokens. */
export const MODERATION: Capability = {
  name: "moderation",
  title: "banned users and revoked tokens",
  admin: {
    tables: [REVOCATION_ROUTES, BAN_ROUTES],
    tags: { revocations: "withdrawn tokens", bans: "banned users" },
  },
  start({ config: { auth, limits }, now, ...env }, { revocations, bans, bans_bucket, node_id }) {
    const { held, bucket } = revocations;
    const log = env.log.child({ part: "revocations" });
    const withdrawn = { revocations: held, bucket, auth, limits, log, now, node_id };
    const banned = { bans, bucket: bans_bucket, node_id, log: env.log };
    return {
      routes: [...REVOCATION_ROUTES.serve(withdrawn), ...BAN_ROUTES.serve(banned)],
    };
  },
};
