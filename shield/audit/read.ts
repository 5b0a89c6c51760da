/**
 * Finds entries of the audit log by tenant, actor, action, outcome and time: a bounded part of the log
 * at a time, in slices, so that nothing else waits. It also decides which entries an admin may see;
 * requests are `api.ts`.
 */
import { decodeEntry, entryHash } from "../../shared/audit/entry.ts";
import type { AuditEntry, HashedEntry } from "../../shared/audit/entry.ts";
import type { AuditOutcome } from "../../shared/audit/outcome.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import type { Ledger, LedgerEntry } from "../../shared/spine/contract/ledger.ts";

/** The most entries that one question reads; the answer says where to go on. */
const SCANNED_MAX = 10_000;
/** The entries of one slice, which take a few milliseconds. */
const SLICE = 250;
/** How much older an entry may be than those before it, in ms, as clocks of Shields differ. */
const CLOCK_SKEW_MS = 60_000;
/** How many entries after a page may have the outcome of a change that began on the page. */
const OUTCOMES_AHEAD = 500;

/** A search; an absent member matches everything. */
export interface AuditQuery {
  /** The tenant that entries are about. */
  readonly tenant?: string | undefined;
  /** The user id of the actor. */
  readonly actor?: string | undefined;
  /** An action, or the part before its dot. */
  readonly action?: string | undefined;
  readonly outcome?: AuditOutcome | undefined;
  /** Unix ms. */
  readonly since_ms?: number | undefined;
  readonly until_ms?: number | undefined;
  /** The place above which entries are wanted, the oldest first. */
  readonly after?: number | undefined;
  /**
   * The place below which entries are wanted, the newest first; absent, and without `after`: from the
   * newest on.
   */
  readonly before?: number | undefined;
  readonly limit: number;
}

/** An entry as an answer shows it. */
export type ShownEntry = AuditEntry & Pick<HashedEntry, "hash">;

/** A page of found entries. */
export interface AuditPage {
  readonly entries: readonly ShownEntry[];
  /** The `after` or `before` of the next page; null when there is no more now. */
  readonly next: number | null;
}

/**
 * The entry as an admin of that tenant may see it: what the tenant's own admins did, and what operators
 * did to the tenant, without the operators' addresses; undefined for any other entry. Operators (an
 * undefined tenant) see all.
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
  // An entry that cannot be read is named by `arq audit verify`.
  return "entry" in decoded ? { ...decoded.entry, hash: entryHash(payload) } : undefined;
}

/** Collects the requests whose outcome is among these entries. */
function outcomesOf(entries: readonly LedgerEntry[], ended: Set<string>): void {
  for (const one of entries) {
    const entry = shown(one);
    if (entry !== undefined && entry.outcome !== "begun") ended.add(entry.request);
  }
}

/** Searches with the newest first. A change that began is left out when its outcome is known. */
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

/** Searches with the oldest first, without beginnings: each has its outcome later. */
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

/** Finds the entries of a query, as that admin may see them. Rejects as the ledger does. */
export function findEntries(
  ledger: Ledger,
  query: AuditQuery,
  only_tenant: string | undefined,
): Promise<AuditPage> {
  return query.after === undefined
    ? backward(ledger, query, only_tenant)
    : forward(ledger, query, only_tenant);
}
