/** What moderation brings to a Shield. */
import type { Capability } from "../../capability.ts";
import { BAN_ROUTES } from "./bans_api.ts";
import { REVOCATION_ROUTES } from "./revocations_api.ts";

/** Users who are kept out, and withdrawn tokens. */
export const MODERATION: Capability = {
  name: "moderation",
  title: "users who are kept out, and withdrawn tokens",
  admin: {
    tables: [REVOCATION_ROUTES, BAN_ROUTES],
    tags: { revocations: "withdrawn tokens", bans: "users who are kept out" },
  },
  start: ({ log }, { revocations, bans, bans_bucket: bucket, node_id }) => ({
    routes: [
      ...REVOCATION_ROUTES.serve(revocations.admin),
      ...BAN_ROUTES.serve({ bans, bucket, node_id, log }),
    ],
  }),
};
