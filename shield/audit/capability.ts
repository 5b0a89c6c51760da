/** The audit capability of a Shield: the record of actions on the admin API. */
import type { Capability } from "../capability.ts";
import { AUDIT_ROUTES } from "./api.ts";
import { startAudit } from "./start.ts";

/** The capability, for a Shield's list. */
export const AUDIT: Capability = {
  name: "audit",
  title: "the record of actions on the admin API",
  config: ["audit"],
  stores: ["ARQON_AUDIT"],
  admin: { tables: [AUDIT_ROUTES], tags: { audit: "the record of actions on this API" } },
  start(env, { node_id }) {
    const { trail, admin, close } = startAudit({ ...env, node_id });
    return { trail, routes: AUDIT_ROUTES.serve(admin), [Symbol.asyncDispose]: close };
  },
};
