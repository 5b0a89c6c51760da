/** What mirror brings to a Shield. */
import type { Capability } from "../capability.ts";
import { MIRROR_ROUTES } from "./admin_api.ts";

/** Copies of traffic. */
export const MIRROR: Capability = {
  name: "mirror",
  title: "copies of traffic",
  admin: { tables: [MIRROR_ROUTES], tags: { mirror: "copies of traffic" } },
  start: (_env, { mirroring }) => ({
    routes: MIRROR_ROUTES.serve(mirroring.admin),
    follows: [{ keys: ["platform.mirroring.rules"], renew: () => mirroring.renew() }],
  }),
};
