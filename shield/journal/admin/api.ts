/**
 * `/v1/journal/…` of the admin listener: says how much of a tenant's journal there is, erases a user from it.
 * Whether the caller may is checked before.
 */
import { z } from "zod";
import type { Logger } from "../../../shared/logs/log.ts";
import { readValue } from "../../admin/routing/admin_body.ts";
import { AdminTable, jsonBody, tenantInBody } from "../../admin/routing/admin_routes.ts";
import type { AdminCall } from "../../admin/routing/admin_routes.ts";
import { checked, Id, readQuery } from "../../admin/routing/query.ts";
import { JOURNAL_ABOUT } from "./openapi_journal.ts";
import type { JournalPlace } from "../place.ts";

/** Largest body, in bytes. */
const BODY_BYTES = 4_096;
const NO_STORE = { "cache-control": "no-store" };

/** What the admin API needs of the process. */
export interface JournalAdminContext {
  readonly place: JournalPlace;
  readonly log: Logger;
  /** The id of this Shield. */
  readonly node_id: string;
}

const Erased = z.strictObject({
  tenant: Id,
  user: z.string().min(1).max(256),
});

/** The routes of the journal's admin API. */
export const JOURNAL_ROUTES = new AdminTable<JournalAdminContext>({
  "/v1/journal/status": {
    GET: { scope: "tenant-in-query", about: JOURNAL_ABOUT.journalStatus, handle: status },
  },
  "/v1/journal/erase": {
    POST: tenantInBody(
      JOURNAL_ABOUT.eraseFromJournal,
      jsonBody(
        Erased,
        async (request, schema) => checked(await readValue(request, BODY_BYTES), schema),
      ),
      erase,
    ),
  },
});

async function status(
  { place, node_id }: JournalAdminContext,
  { url }: AdminCall,
): Promise<Response> {
  const { tenant } = readQuery(url, { tenant: Id });
  const { blocks, bytes, first_ms, last_ms } = await (await place.store()).status(tenant);
  const times = { first_ms: first_ms ?? null, last_ms: last_ms ?? null };
  return Response.json({ node_id, tenant, blocks, bytes, ...times }, { headers: NO_STORE });
}

async function erase(
  { place, log, node_id }: JournalAdminContext,
  { by }: AdminCall,
  { tenant, user }: z.output<typeof Erased>,
): Promise<Response> {
  const erased = await (await place.keys()).erase(tenant, user, place.max_age_ms);
  // Who it was stands in the audit log alone.
  log.info("a user was erased from the journal", { tenant_id: tenant, by, keys: erased });
  return Response.json({ node_id, tenant, erased: erased > 0 }, { headers: NO_STORE });
}
