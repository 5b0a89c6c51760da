/**
 * Finds entries of the audit log: by tenant, actor, action, outcome and time, a bounded part of the log at
 * a time, in slices, so that nothing else waits. Who may see what is here too; requests are `api.ts`.
 */
import { decodeEntry, entryHash } from "../../shared/audit/entry.ts";
import type { AuditEntry, HashedEntry } from "../../shared/audit/entry.ts";
import type { AuditOutcome } from "../../shared/audit/outcome.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import type { Ledger, LedgerEntry } from "../../shared/spine/contract/ledger.ts";

/** Entries that one question looks at; the answer says where to go on. */
const SCANNED_MAX = 10_000;
/** Entries of one slice: a few milliseconds. */
const SLICE = 250;
/** Clocks of Shields differ: entries may be so much older than those before them. */
const CLOCK_SKEW_MS = 60_000;
/** Entries behind a page in which the outcome of a change may stand that began on it. */
const OUTCOMES_AHEAD = 500;

/** What is looked for; an absent member matches everything. */
export interface AuditQuery {
  /** About this tenant. */
  readonly tenant?: string | undefined;
  /** User id. */
  readonly actor?: string | undefined;
  /** An action, or the part before its dot. */
  readonly action?: string | undefined;
  readonly outcome?: AuditOutcome | undefined;
  /** Unix ms. */
  readonly since_ms?: number | undefined;
  readonly until_ms?: number | undefined;
  /** Entries above this place, the oldest first. */
  readonly after?: number | undefined;
  /** Entries below this place, the newest first; absent, and without `after`: from the newest on. */
  readonly before?: number | undefined;
  readonly limit: number;
}

/** An entry as an answer shows it. */
export type ShownEntry = AuditEntry & Pick<HashedEntry, "hash">;

/** What was found. */
export interface AuditPage {
  readonly entries: readonly ShownEntry[];
  /** `after` or `before` of the next page; null: there is no more now. */
  readonly next: number | null;
}

/**
 * The entry as an admin of that tenant may see it: what its own admins did, and what operators did to
 * the tenant, whose address is theirs; undefined for anything else. Operators (undefined) see all.
 */
function visibleTo(
  entry: ShownEntry,
  only_tenant: string | undefined,
): ShownEntry | undefined {
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

function shown({ payload }: LedgerEntry): ShownEntry | undefined {
  const decoded = decodeEntry(payload);
  // What cannot be read is a matter of `arq audit verify`, which names it.
  return "entry" in decoded ? { ...decoded.entry, hash: entryHash(payload) } : undefined;
}

/** Requests whose outcome is among these entries. */
function outcomesOf(entries: readonly LedgerEntry[], ended: Set<string>): void {
  for (const one of entries) {
    const entry = shown(one);
    if (entry !== undefined && entry.outcome !== "begun") ended.add(entry.request);
  }
}

/** The newest first. A change that began is left out when its outcome is known. */
async function backward(
  ledger: Ledger,
  query: AuditQuery,
  only_tenant: string | undefined,
): Promise<AuditPage> {
  const { last_offset, first_offset } = await ledger.status();
  const entries: ShownEntry[] = [];
  const ended = new Set<string>();
  let before = Math.min(query.before ?? last_offset + 1, last_offset + 1);
  if (before <= last_offset) {
    outcomesOf(await ledger.read({ after: before - 1, limit: OUTCOMES_AHEAD }), ended);
  }
  for (let scanned = 0; before > first_offset && scanned < SCANNED_MAX; scanned += SLICE) {
    const after = Math.max(first_offset - 1, before - 1 - SLICE);
    const slice = await ledger.read({ after, limit: before - 1 - after });
    for (const one of slice.filter(({ offset }) => offset < before).reverse()) {
      before = one.offset;
      const entry = shown(one);
      if (entry === undefined) continue;
      if (entry.at_ms < (query.since_ms ?? 0) - CLOCK_SKEW_MS) return { entries, next: null };
      const is_open = entry.outcome === "begun" && !ended.has(entry.request);
      if (entry.outcome !== "begun") ended.add(entry.request);
      else if (!is_open) continue;
      const visible = isWanted(entry, query) ? visibleTo(entry, only_tenant) : undefined;
      if (visible !== undefined) entries.push(visible);
      if (entries.length === query.limit) {
        return { entries, next: before > first_offset ? before : null };
      }
    }
    before = Math.min(before, after + 1);
    await turn();
  }
  return { entries, next: before > first_offset ? before : null };
}

/** The oldest first, without beginnings: each has its outcome later. */
async function forward(
  ledger: Ledger,
  query: AuditQuery,
  only_tenant: string | undefined,
): Promise<AuditPage> {
  const { last_offset } = await ledger.status();
  const entries: ShownEntry[] = [];
  let after = query.after ?? 0;
  for (let scanned = 0; after < last_offset && scanned < SCANNED_MAX; scanned += SLICE) {
    const slice = await ledger.read({ after, limit: SLICE });
    if (slice.length === 0) break;
    for (const one of slice) {
      after = one.offset;
      const entry = shown(one);
      if (entry === undefined || entry.outcome === "begun" || !isWanted(entry, query)) continue;
      const visible = visibleTo(entry, only_tenant);
      if (visible !== undefined) entries.push(visible);
      if (entries.length === query.limit) return { entries, next: after };
    }
    await turn();
  }
  return { entries, next: after };
}

/** What a query finds, as that admin may see it. Rejects with what the ledger says. */
export function findEntries(
  ledger: Ledger,
  query: AuditQuery,
  only_tenant: string | undefined,
): Promise<AuditPage> {
  return query.after === undefined
    ? backward(ledger, query, only_tenant)
    : forward(ledger, query, only_tenant);
}
