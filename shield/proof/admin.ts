/** `/v1/proof` of the admin listener: makes new keys for transparency logs. */
import type { Env } from "../../shared/env.ts";
import { type AdminCall, AdminTable } from "../admin/routing/admin_routes.ts";
import { Id, readQuery } from "../admin/routing/query.ts";
import { ID, inQuery, object } from "../openapi/openapi_parts.ts";
import { BUS } from "./service.ts";
import type { ProofKeys } from "./keys.ts";

interface ProofAdminContext extends Pick<Env, "log" | "node_id"> {
  readonly keys: Pick<ProofKeys, "rotate">;
}

/** The routes of transparency logs. */
export const PROOF_ADMIN_ROUTES = new AdminTable<ProofAdminContext>("proof", {
  "POST /v1/proof/rotate": {
    audit: "proof.rotate",
    id: "rotateProofKey",
    summary:
      "makes a new key for a tenant's transparency logs; the previous key also keeps signing",
    query: [inQuery("tenant", "the tenant; absent: the records of the bus", ID)],
    answer: object({ node_id: ID }),
    scope: "tenant-in-query",
    handle: rotate,
  },
});

async function rotate({ keys, log, node_id }: ProofAdminContext, { url, by }: AdminCall) {
  const { tenant } = readQuery(url, { tenant: Id.optional() });
  await keys.rotate(tenant ?? BUS);
  log.info("transparency logs have a new key", { tenant_id: tenant, by });
  return Response.json({ node_id }, { headers: { "cache-control": "no-store" } });
}
