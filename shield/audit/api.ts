/**
 * `/v1/audit` of the admin listener: searches the audit log, and gives out its entries as they are
 * stored. Whether the caller is an admin has been checked before; nothing here writes.
 */
import { z } from "zod";
import { ArqonError } from "@arqon/proto";
import { AUDIT_OUTCOMES } from "../../shared/audit/outcome.ts";
import type { Env } from "../../shared/env.ts";
import type { Ledger } from "../../shared/spine/contract/ledger.ts";
import { AdminTable } from "../admin/routing/admin_routes.ts";
import type { AdminCall } from "../admin/routing/admin_routes.ts";
import { AUDIT_ABOUT } from "./openapi_audit.ts";
import { Id, Limit, readQuery } from "../admin/routing/query.ts";
import { findEntries } from "./read.ts";

const NEWLINE = new Uint8Array([0x0a]);

/** What the admin API needs of the process. */
export interface AuditAdminContext extends Pick<Env, "log" | "node_id"> {
  /** Opens the ledger; rejects while it cannot be opened. */
  readonly ledger: () => Promise<Ledger>;
}

const whole = z.string().regex(/^[0-9]{1,16}$/, { error: "expected a whole number" })
  .transform(Number).refine(Number.isSafeInteger, { error: "expected a whole number" });
const name = (units: number) => z.string().min(1).max(units);

const Wanted = {
  tenant: Id.optional(),
  actor: name(256).optional(),
  action: z.string().regex(/^[a-z_]{1,32}(\.[a-z_]{1,32})?$/, {
    error: 'expected an action, for example "policy.deploy", or its part, for example "policy"',
  }).optional(),
  outcome: z.enum(AUDIT_OUTCOMES, { error: `expected one of ${AUDIT_OUTCOMES.join(", ")}` })
    .optional(),
  since_ms: whole.optional(),
  until_ms: whole.optional(),
  after: whole.optional(),
  before: whole.optional(),
  limit: Limit,
};
const Exported = { after: whole.optional(), limit: Limit };

/** The routes of the audit log's admin API. */
export const AUDIT_ROUTES = new AdminTable<AuditAdminContext>({
  "/v1/audit": { GET: { scope: "own", about: AUDIT_ABOUT.listAudit, handle: list } },
  // Whole entries one after the other are a chain; the entries of one tenant are not.
  "/v1/audit/entries": { GET: { scope: "bus", about: AUDIT_ABOUT.exportAudit, handle: entries } },
});

async function list(
  { ledger, node_id }: AuditAdminContext,
  { url, only_tenant }: AdminCall,
): Promise<Response> {
  const query = readQuery(url, Wanted);
  if (query.after !== undefined && query.before !== undefined) {
    throw new ArqonError("invalid-settings", "after, before: expected one of them");
  }
  const log = await ledger();
  const page = await findEntries(log, query, only_tenant);
  return Response.json({ node_id, ...page });
}

async function entries(
  { ledger }: AuditAdminContext,
  { url }: AdminCall,
): Promise<Response> {
  const { after = 0, limit } = readQuery(url, Exported);
  const page = await (await ledger()).read({ after, limit });
  const lines = page.flatMap(({ payload }) => [payload as Uint8Array<ArrayBuffer>, NEWLINE]);
  return new Response(new Blob(lines), {
    headers: { "content-type": "application/x-ndjson" },
  });
}
