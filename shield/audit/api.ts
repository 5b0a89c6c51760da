/**
 * `/v1/audit` of the admin listener: searches the audit log, and returns its entries as stored. The caller is
 * authorized already; nothing here writes.
 */
import {
  about,
  BOOLEAN,
  COUNT,
  ID,
  list,
  object,
  TEXT,
  UNIX_MS,
} from "../openapi/openapi_parts.ts";
import type { Schema } from "../openapi/openapi_parts.ts";
import { z } from "zod";
import { ArqonError } from "@arqon/proto";
import { AUDIT_OUTCOMES } from "../../shared/audit/outcome.ts";
import type { Env } from "../../shared/env.ts";
import type { AuditLog } from "../../shared/audit/log.ts";
import type { StoredBlock } from "../../shared/spine/contract/block_store.ts";
import { type AdminCall, AdminTable } from "../admin/routing/admin_routes.ts";
import { boundedText, Id, Limit, readQuery, wholeNumber } from "../admin/routing/query.ts";
import { decodeEntry, entryHash } from "../../shared/audit/entry.ts";
import type { AuditEntry, HashedEntry } from "../../shared/audit/entry.ts";
import { slice as piece, STRANGERS } from "../../shared/turns/slices.ts";

const HASH: Schema = { type: "string", pattern: "^[0-9a-f]{64}$" };
const orNull = (type: string): Schema => ({ type: [type, "null"] });

const ENTRY = object({
  format: { type: "integer", const: 1 },
  seq: { type: "integer", minimum: 1, description: "position in the log" },
  previous: { ...HASH, description: "hash of the previous entry" },
  hash: { ...HASH, description: "SHA-256 of this entry as stored" },
  at_ms: UNIX_MS,
  node: { ...TEXT, description: "the Shield that wrote it" },
  request: { ...TEXT, description: "the same in both entries of one request" },
  outcome: { type: "string", enum: [...AUDIT_OUTCOMES] },
  action: {
    ...TEXT,
    description:
      "x-arqon-audit of the route; read: of another one that was refused; access: of none",
  },
  tenant: { ...orNull("string"), description: "what it is about; null: no tenant, or all" },
  by: { ...orNull("string"), description: "user id; null: nobody with a good token" },
  by_tenant: orNull("string"),
  operator: BOOLEAN,
  from: { ...TEXT, description: "address; empty if it is an operator's and hidden from you" },
  method: TEXT,
  path: TEXT,
  about: { type: "object" },
  status: orNull("integer"),
  reason: orNull("string"),
  count: { ...COUNT, description: "number of equal refusals that this entry stands for" },
});

const NEWLINE = new Uint8Array([0x0a]);

/** What the routes of the audit log read. */
export interface AuditAdminContext extends Pick<Env, "log" | "node_id"> {
  /** Opens the log; rejects while it cannot be opened. */
  readonly open: () => Promise<AuditLog>;
}

const Wanted = {
  tenant: Id.optional().describe("only requests about this tenant"),
  actor: boundedText(256, "only requests by this user"),
  action: z.string().regex(/^[a-z_]{1,32}(\.[a-z_]{1,32})?$/, {
    error: 'expected an action, for example "policy.deploy", or its part, for example "policy"',
  }).optional().meta(about("an action, or the part before its dot", TEXT)),
  outcome: z.enum(AUDIT_OUTCOMES, { error: `expected one of ${AUDIT_OUTCOMES.join(", ")}` })
    .optional().describe("outcome"),
  since_ms: wholeNumber("not before this time"),
  until_ms: wholeNumber("not after this time"),
  after: wholeNumber("only entries after this position, oldest first"),
  before: wholeNumber("only entries before this position, newest first"),
  limit: Limit,
};
const Exported = { after: wholeNumber("only entries after this position"), limit: Limit };

/** The routes of the audit log's admin API. */
export const AUDIT_ROUTES = new AdminTable<AuditAdminContext>("audit", {
  "GET /v1/audit": {
    audit: { refused: "audit.read" },
    id: "listAudit",
    summary: "searches actions on the admin API, newest first",
    query: Wanted,
    answer: object({
      node_id: ID,
      entries: list(ENTRY),
      next: {
        type: ["integer", "null"],
        description: "`after` or `before` for the next page; null: this is the last",
      },
    }),
    scope: "own",
    handle: listed,
  },
  // Only the consecutive entries of all tenants form a chain.
  "GET /v1/audit/entries": {
    audit: { refused: "audit.export" },
    id: "exportAudit",
    summary: "reads entries exactly as stored, one per line, oldest first",
    query: Exported,
    answer: TEXT,
    type: "application/x-ndjson",
    scope: "bus",
    handle: entries,
  },
});

async function listed(
  { open, node_id }: AuditAdminContext,
  { url, only_tenant }: AdminCall,
): Promise<Response> {
  const query = readQuery(url, Wanted);
  if (query.after !== undefined && query.before !== undefined) {
    throw new ArqonError("invalid-settings", "after, before: expected one of them");
  }
  const page = await findEntries(await open(), query, only_tenant);
  return Response.json({ node_id, ...page });
}

async function entries({ open }: AuditAdminContext, { url }: AdminCall): Promise<Response> {
  const { after = 0, limit } = readQuery(url, Exported);
  const page = await (await open()).read(after, limit);
  const lines = page.flatMap(({ payload }) => [payload as Uint8Array<ArrayBuffer>, NEWLINE]);
  return new Response(new Blob(lines), { headers: { "content-type": "application/x-ndjson" } });
}

/** The most entries that one request reads; the answer says where to continue. */
const SCANNED_MAX = 10_000;
/** The entries of one slice, which take a few milliseconds. A search ends at a slice that is too old as a whole. */
const SLICE = 250;
/** How much older an entry may be than those before it, in ms, as clocks of Shields differ. */
const CLOCK_SKEW_MS = 60_000;
/** The most entries after a page that are searched for the outcome of a change that began on the page. */
const OUTCOMES_AHEAD = 500;

/** A search; an absent member matches everything. */
type AuditQuery = z.output<z.ZodObject<typeof Wanted>>;

/** An entry as an answer shows it. */
type ShownEntry = AuditEntry & Pick<HashedEntry, "hash">;

interface AuditPage {
  readonly entries: readonly ShownEntry[];
  /** The cursor of the next page, for `after` or `before`; null while there are no further entries. */
  readonly next: number | null;
}

/**
 * The entry as an admin of that tenant may see it: actions of the tenant's own admins, and operators' actions on the
 * tenant, without the operators' addresses; undefined for any other entry. Operators (an undefined tenant) see all.
 */
function visibleTo(entry: ShownEntry, only_tenant: string | undefined): ShownEntry | undefined {
  if (only_tenant === undefined) return entry;
  if (!entry.operator) return entry.by_tenant === only_tenant ? entry : undefined;
  return entry.tenant === only_tenant ? { ...entry, from: "" } : undefined;
}

function isWanted(entry: AuditEntry, query: AuditQuery): boolean {
  const { tenant, actor, action, outcome, since_ms = 0, until_ms = Infinity } = query;
  return (tenant === undefined || entry.tenant === tenant) &&
    (actor === undefined || entry.by === actor) &&
    (action === undefined || entry.action === action || entry.action.startsWith(`${action}.`)) &&
    (outcome === undefined || entry.outcome === outcome) &&
    entry.at_ms >= since_ms && entry.at_ms <= until_ms;
}

function shown({ payload }: StoredBlock): ShownEntry | undefined {
  const decoded = decodeEntry(payload);
  // `arq audit verify` reports unreadable entries.
  return "entry" in decoded ? { ...decoded.entry, hash: entryHash(payload) } : undefined;
}

/** Collects the requests whose outcome is among these entries. */
function outcomesOf(entries: readonly StoredBlock[], ended: Set<string>): void {
  for (const one of entries) {
    const entry = shown(one);
    if (entry !== undefined && entry.outcome !== "begun") ended.add(entry.request);
  }
}

/** Searches, newest first. A beginning is omitted if its outcome is known. */
async function backward(
  log: AuditLog,
  query: AuditQuery,
  only_tenant: string | undefined,
): Promise<AuditPage> {
  const { last, first } = await log.status();
  const entries: ShownEntry[] = [];
  const ended = new Set<string>();
  let before = Math.min(query.before ?? last + 1, last + 1);
  if (before <= last) {
    outcomesOf(await log.read(before - 1, OUTCOMES_AHEAD), ended);
  }
  for (let scanned = 0; before > first && scanned < SCANNED_MAX; scanned += SLICE) {
    const after = Math.max(first - 1, before - 1 - SLICE);
    const slice = await log.read(after, before - 1 - after);
    await piece(only_tenant ?? STRANGERS);
    // Of one entry alone, the clock may have been wrong.
    let is_past = slice.length > 0;
    for (const one of slice.filter(({ cursor }) => cursor < before).reverse()) {
      before = one.cursor;
      const entry = shown(one);
      is_past &&= entry !== undefined && entry.at_ms < (query.since_ms ?? 0) - CLOCK_SKEW_MS;
      if (entry === undefined) continue;
      const is_open = entry.outcome === "begun" && !ended.has(entry.request);
      if (entry.outcome !== "begun") ended.add(entry.request);
      else if (!is_open) continue;
      const visible = isWanted(entry, query) ? visibleTo(entry, only_tenant) : undefined;
      if (visible !== undefined) entries.push(visible);
      if (entries.length === query.limit) {
        return { entries, next: before > first ? before : null };
      }
    }
    if (is_past) return { entries, next: null };
    before = Math.min(before, after + 1);
  }
  return { entries, next: before > first ? before : null };
}

/** Searches, oldest first, without beginnings: each has its outcome later. */
async function forward(
  log: AuditLog,
  query: AuditQuery,
  only_tenant: string | undefined,
): Promise<AuditPage> {
  const { last } = await log.status();
  const entries: ShownEntry[] = [];
  let after = query.after ?? 0;
  if (after > last) {
    // The position belongs to a removed log: entries of its replacement would be skipped.
    throw new ArqonError("invalid-settings", `after: the log ends at ${last}`);
  }
  for (let scanned = 0; after < last && scanned < SCANNED_MAX; scanned += SLICE) {
    const slice = await log.read(after, SLICE);
    if (slice.length === 0) break;
    await piece(only_tenant ?? STRANGERS);
    for (const one of slice) {
      after = one.cursor;
      const entry = shown(one);
      if (entry === undefined || entry.outcome === "begun" || !isWanted(entry, query)) continue;
      const visible = visibleTo(entry, only_tenant);
      if (visible !== undefined) entries.push(visible);
      if (entries.length === query.limit) return { entries, next: after };
    }
  }
  return { entries, next: after };
}

/** Finds the entries of a query, as that admin may see them. Rejects as the log does. */
function findEntries(
  log: AuditLog,
  query: AuditQuery,
  only_tenant: string | undefined,
): Promise<AuditPage> {
  return query.after === undefined
    ? backward(log, query, only_tenant)
    : forward(log, query, only_tenant);
}
