/**
 * Reads a tenant's journal: block by block, each decrypted with its users' keys, a limited part at a time and in
 * slices, so that other work is not delayed. An unreadable block is a gap. `capability.ts` has the requests.
 */
import { ArqonError } from "@arqon/proto";
import { isOtherStore, readBlocks } from "../../../shared/blocks/read_blocks.ts";
import { ClosedBlock, damagedHole } from "../../../shared/journal/block.ts";
import type { BlockHead, BlockHole } from "../../../shared/journal/block.ts";
import type { UserKeys } from "../../../shared/journal/user_keys.ts";
import { DamagedBlock } from "../../../shared/journal/block_bytes.ts";
import { isHole, type JournalLine, RECORD_FORMAT } from "../../../shared/journal/record.ts";
import type { BlockStore, StoredBlock } from "../../../shared/spine/contract/block_store.ts";
import { slice as piece } from "../../../shared/turns/slices.ts";
import type { JournalPlace } from "../journal_place.ts";
import { createHash } from "node:crypto";

/** Blocks fetched at once. */
const PAGE_BLOCKS = 16;
/** Lines of one slice, about a millisecond. */
const SLICE_LINES = 64;
const SLICE_SECTIONS = 16;
/** The most that one answer reads; `next` continues. */
const BLOCKS_MAX = 256;
const BYTES_MAX = 16_777_216;
/** The first window of the search for the newest lines. */
const WINDOW_MS = 4_000;
/** The most that a decision may be younger than its block, in ms, as clocks differ. */
const CLOCK_SKEW_MS = 60_000;
/** The most that a block may be stored after its first decision, in ms. */
const LATE_MS = 600_000;
/** A block stored this much before the previous one shows that the clock jumped back, in ms. */
const STEP_MS = 1_000;
/** The reason of a gap after such a jump: nothing is missing, but times are out of order. */
const SET_BACK = "clock-set-back";

/** The sources of a journal: its store, its keys, and gaps that no block reports. */
export interface JournalReading {
  readonly store: () => Promise<BlockStore>;
  readonly keys: () => Promise<UserKeys>;
  /** The gaps of Shields that ended without writing all, which no block reports. */
  readonly ends: (tenant_id: string) => Promise<readonly JournalLine[]>;
}

/** Reads the journal at that place. */
export const readingOf = (place: JournalPlace): JournalReading => ({
  store: () => place.store(),
  keys: () => place.keys(),
  ends: (tenant_id) => place.silentEnds(tenant_id),
});

/** The end of an answer. */
export interface JournalEnd {
  readonly next: JournalPlaceText;
  /** Whether there were no more lines at that time. */
  readonly is_end: boolean;
  /** For the newest lines: older ones were omitted or not searched. */
  readonly is_cut?: boolean;
}

/** An additional filter of lines, and a limit of lines read. */
interface JournalFilter {
  /** Skips blocks stored before, Unix ms; absent: those that the query's times exclude. */
  readonly from_ms?: number;
  readonly lines?: number;
  readonly isMeant?: (line: JournalLine) => boolean;
}

/**
 * The matching lines, a few at a time, up to the limits of matches and of lines read. Rejects with errors of the store
 * and the keys.
 */
export async function* readJournal(
  reading: JournalReading,
  query: JournalQuery,
  { lines: lines_max = Infinity, isMeant = () => true, ...filter }: JournalFilter = {},
): AsyncGenerator<readonly JournalLine[], JournalEnd> {
  const store = await reading.store();
  const { tenant: tenant_id, limit } = query;
  const { oldest_ms, youngest_ms } = await storedWithin(store, query);
  const { from_ms = oldest_ms } = filter;
  await requireOwn(store, query);
  let next: JournalPlaceText = query.after ?? { block: 0, lines: undefined };
  const tenant_mark = tenantMark(tenant_id);
  const placeAt = ({ cursor: block, time_ms: stored_ms }: StoredBlock, lines?: number) => ({
    block,
    lines,
    mark: { tenant: tenant_mark, stored_ms },
  });
  const sequence = new BlockSequence(next.seen ?? "");
  const endAt = (place: JournalPlaceText, is_end: boolean): JournalEnd => ({
    next: { ...place, seen: sequence.text() },
    is_end,
  });
  let found = 0;
  let blocks = 0;
  let bytes = 0;
  let looked = 0;
  let stored_ms = 0;
  if (query.after === undefined) {
    const ends = (await reading.ends(tenant_id)).filter((line) =>
      isWanted(line, query) && isMeant(line)
    );
    found = Math.min(ends.length, limit);
    if (found > 0) yield ends.slice(0, found);
    if (found === limit) return endAt(next, false);
  }
  const { block, lines } = next;
  const after = lines === undefined ? block : block - 1;
  const from = block > 0 ? { after } : from_ms === undefined ? {} : { from_ms };
  for await (const one of readBlocks(store, { tenant_id, ...from, limit: PAGE_BLOCKS })) {
    const is_later = one.time_ms > youngest_ms + LATE_MS;
    if (is_later && !await isSetBack(store, tenant_id, one)) return endAt(next, true);
    const back = setBack(query, one, stored_ms).filter(isMeant);
    stored_ms = one.time_ms;
    if (back.length > 0) {
      yield back;
      if (++found === limit) return endAt(next, false);
    }
    let at = 0;
    const skipped = one.cursor === next.block ? next.lines ?? 0 : 0;
    for await (const slice of slicesOf(reading, query, one, sequence)) {
      const wanted: JournalLine[] = [];
      for (const line of slice) {
        if (++at <= skipped || !isWanted(line, query) || !isMeant(line)) continue;
        wanted.push(line);
        if (++found < limit) continue;
        yield wanted;
        return endAt(placeAt(one, at), false);
      }
      if (wanted.length > 0) yield wanted;
      // Lines of the previous answer are not counted, or paging would not advance.
      if (at > skipped) looked += slice.length;
      if (looked >= lines_max) return endAt(placeAt(one, at), false);
    }
    next = placeAt(one);
    bytes += one.payload.length;
    if (++blocks >= BLOCKS_MAX || bytes >= BYTES_MAX) return endAt(next, false);
  }
  return endAt(next, true);
}

/**
 * Throws `invalid-settings` for a position in the journal of another tenant, or in a store that was recreated since:
 * its earlier blocks have not been read. What was stored after the block has a higher cursor, as long as the store is
 * the same.
 */
async function requireOwn(store: BlockStore, { tenant, after }: JournalQuery): Promise<void> {
  if (after?.mark === undefined) return;
  const { block, mark: { tenant: of, stored_ms } } = after;
  const refuse = (whose: string) => {
    const detail = `after: it belongs to ${whose}; read from the beginning, without after`;
    throw new ArqonError("invalid-settings", detail);
  };
  if (of !== tenantMark(tenant)) refuse("another tenant's journal");
  const { blocks: [there] } = await store.read({ tenant_id: tenant, after: block - 1, limit: 1 });
  const last = { cursor: block, time_ms: stored_ms, newest_ms: stored_ms };
  const is_other = await isOtherStore(store, tenant, last, there);
  if (is_other) refuse("a journal that was removed");
}

/**
 * The newest matching lines, in the order of `readJournal`. A store reads forwards only: a window before the newest
 * block, or before `until_ms`, is doubled until it has enough lines, or exceeds one answer's limit; then its lines are
 * read again.
 */
export async function* readNewest(
  reading: JournalReading,
  query: JournalQuery,
): AsyncGenerator<readonly JournalLine[], JournalEnd> {
  const store = await reading.store();
  const { first_ms = 0, last_ms = 0 } = await store.status(query.tenant);
  const { oldest_ms: asked_ms = 0, youngest_ms } = await storedWithin(store, query);
  const oldest_ms = Math.max(first_ms, asked_ms);
  const { limit } = query;
  const all = { ...query, limit: Infinity };
  let skipped = 0;
  let from_ms = oldest_ms;
  let is_cut = false;
  for (let back_ms = WINDOW_MS;; back_ms *= 2) {
    const start_ms = Math.max(oldest_ms, Math.min(last_ms, youngest_ms) - back_ms);
    const { found, is_end } = await counted(readJournal(reading, all, { from_ms: start_ms }));
    // The smallest window is always used.
    if (!is_end && back_ms > WINDOW_MS) {
      is_cut = true;
      break;
    }
    [skipped, from_ms, is_cut] = [Math.max(0, found - limit), start_ms, !is_end || found > limit];
    if (!is_end || found >= limit || start_ms <= oldest_ms) break;
  }
  is_cut ||= from_ms > oldest_ms;
  for (const pages = readJournal(reading, all, { from_ms });;) {
    const { done, value } = await pages.next();
    if (done === true) return { ...value, is_cut };
    const lines = value.slice(skipped);
    skipped = Math.max(0, skipped - value.length);
    if (lines.length > 0) yield lines;
  }
}

/**
 * The storage times of blocks with the queried times, by the store's clock; the oldest is undefined if any block may
 * match.
 */
async function storedWithin(store: BlockStore, { since_ms, until_ms = Infinity }: JournalQuery) {
  const is_all = since_ms === undefined && until_ms === Infinity;
  const ahead_ms = is_all ? 0 : await store.aheadMs();
  // This only widens the search: blocks may have been stored before the clock jumped.
  const oldest_ms = since_ms === undefined
    ? undefined
    : Math.max(0, since_ms - CLOCK_SKEW_MS + Math.min(0, ahead_ms));
  return { oldest_ms, youngest_ms: until_ms + Math.max(0, ahead_ms) };
}

/** Whether the store's clock jumped back after that block: its newest block is older. */
async function isSetBack(
  store: BlockStore,
  tenant_id: string,
  { time_ms }: StoredBlock,
): Promise<boolean> {
  const { last_ms = 0 } = await store.status(tenant_id);
  return last_ms < time_ms;
}

/** The gap for a clock that jumped back between that block and the previous one. */
function setBack(
  query: JournalQuery,
  { node_id: node, time_ms: from_ms }: StoredBlock,
  to_ms: number,
): readonly JournalLine[] {
  if (from_ms > to_ms - STEP_MS) return [];
  const hole = { node, tenant: query.tenant, from_ms, to_ms, records: 0, why: SET_BACK };
  const line = { format: RECORD_FORMAT, hole } as const;
  return isWanted(line, query) ? [line] : [];
}

/** The number of lines, and whether that is all of them. */
async function counted(
  pages: AsyncGenerator<readonly JournalLine[], JournalEnd>,
): Promise<{ readonly found: number; readonly is_end: boolean }> {
  for (let found = 0;;) {
    const { done, value } = await pages.next();
    if (done === true) return { found, is_end: value.is_end };
    found += value.length;
  }
}

/** All lines of a block. Rejects with errors of the keys. */
export async function linesOf(
  reading: Pick<JournalReading, "keys">,
  tenant: string,
  block: StoredBlock,
): Promise<readonly JournalLine[]> {
  const slices = slicesOf(reading, { tenant, limit: Infinity }, block, new BlockSequence(""));
  return (await Array.fromAsync(slices)).flat();
}

/**
 * All lines of a block, in slices; none for a block outside the query's times, or read before. Once all were taken, the
 * block is part of the sequence.
 */
async function* slicesOf(
  { keys }: Pick<JournalReading, "keys">,
  { tenant, since_ms = 0, until_ms = Infinity }: JournalQuery,
  { node_id, time_ms, payload }: StoredBlock,
  sequence: BlockSequence,
): AsyncGenerator<readonly JournalLine[]> {
  // A skipped block takes a slice, too, as its checksum is verified.
  await piece(tenant);
  let slice: JournalLine[] = [];
  let taken = () => sequence.forget(node_id);
  try {
    const closed = new ClosedBlock(payload);
    const { head, key_ids } = closed;
    if (head.tenant !== tenant || head.node !== node_id) {
      throw new DamagedBlock("it belongs to another tenant");
    }
    taken = () => sequence.add(head, time_ms);
    const hole = sequence.problemOf(head, time_ms);
    if (hole !== undefined) {
      slice.push({ format: RECORD_FORMAT, hole: { node: node_id, tenant, ...hole } });
    }
    const is_beside = head.to_ms < since_ms || head.from_ms > until_ms;
    const is_left_out = head.records > 0 && head.holes.length === 0 && is_beside ||
      hole?.why === "doubled";
    const given = is_left_out || key_ids.length === 0
      ? []
      : await (await keys()).forReading(tenant, key_ids);
    const opening = closed.open(given);
    let opened = is_left_out ? { done: true, value: [] } as const : opening.next();
    for (let at = 1; opened.done !== true; opened = opening.next()) {
      if (at++ % SLICE_SECTIONS === 0) await piece(tenant);
    }
    for (const line of is_left_out ? [] : closed.lines(opened.value)) {
      if (slice.push(line) < SLICE_LINES) continue;
      yield slice;
      await piece(tenant);
      slice = [];
    }
  } catch (error) {
    if (!(error instanceof DamagedBlock)) throw error;
    slice.push(damagedHole({ tenant, node: node_id, stored_ms: time_ms }, error));
  }
  if (slice.length > 0) yield slice;
  taken();
}

/** The outcomes of a query. `fault`: a policy could not decide. */
export const OUTCOMES = ["allowed", "refused", "fault"] as const;

/** A query; an absent member matches everything. Gaps match every query except by time. */
export interface JournalQuery {
  readonly tenant: string;
  readonly room?: string | undefined;
  /** After an erasure nothing matches a user, a connection, a trace or a message. */
  readonly user?: string | undefined;
  readonly connection?: string | undefined;
  readonly trace?: string | undefined;
  readonly message_id?: string | undefined;
  /** The name of a policy that ran. */
  readonly policy?: string | undefined;
  readonly outcome?: typeof OUTCOMES[number] | undefined;
  /** Unix ms, both inclusive. */
  readonly since_ms?: number | undefined;
  readonly until_ms?: number | undefined;
  readonly after?: JournalPlaceText | undefined;
  /** The most lines in an answer. */
  readonly limit: number;
}

/** The distinction of blocks with the same cursor, of another tenant or in another store. */
interface BlockMark {
  /** The tenant's mark, from `tenantMark`. */
  readonly tenant: string;
  /** When it was stored, Unix ms. */
  readonly stored_ms: number;
}

/** A position in the journal: everything up to this block, or only its first `lines` lines. */
export interface JournalPlaceText {
  readonly block: number;
  readonly lines: number | undefined;
  /** Absent: there is no block, or the position is of an earlier version. */
  readonly mark?: BlockMark | undefined;
  /** The last block of each writer, as `BlockSequence` writes it; absent: none. */
  readonly seen?: string;
}

const MARK_BYTES = 6;

/** A short mark of a tenant, for positions. */
const tenantMark = (tenant_id: string): string =>
  createHash("sha256").update(tenant_id).digest().subarray(0, MARK_BYTES).toString("base64url");

/** The position as text, `7` or `7.3`, with `seen` and the mark of the block. */
export function placeText({ block, lines, mark, seen = "" }: JournalPlaceText): string {
  const place = lines === undefined ? block : `${block}.${lines}`;
  const marked = mark === undefined ? "" : `~${mark.tenant}.${mark.stored_ms.toString(36)}`;
  return `${place}${seen}${marked}`;
}

/** The position in a text; undefined for any other text. */
export function parsePlace(text: string): JournalPlaceText | undefined {
  const found = /^(\d{1,15})(?:\.(\d{1,7}))?(~.*?)??(?:~([\w-]{8})\.([0-9a-z]{1,11}))?$/.exec(text);
  const [, block, lines, seen = "", tenant, stored] = found ?? [];
  if (block === undefined || !SEQUENCE_PATTERN.test(seen)) return undefined;
  const mark = tenant === undefined || stored === undefined
    ? undefined
    : { tenant, stored_ms: parseInt(stored, 36) };
  const at = { block: Number(block), lines: lines === undefined ? undefined : Number(lines) };
  return { ...at, mark, seen };
}

function isWanted(line: JournalLine, query: JournalQuery): boolean {
  const { since_ms = 0, until_ms = Infinity } = query;
  if (isHole(line)) return line.hole.to_ms >= since_ms && line.hole.from_ms <= until_ms;
  const { room, user, connection, trace, message_id, policy, outcome } = query;
  return line.time_ms >= since_ms && line.time_ms <= until_ms &&
    (room === undefined || line.room === room) &&
    (user === undefined || line.sender?.user === user) &&
    (connection === undefined || line.sender?.connection === connection) &&
    (trace === undefined || line.trace === trace) &&
    (message_id === undefined || line.message_id === message_id) &&
    (policy === undefined || line.policies.some(({ name }) => name === policy)) &&
    (outcome === undefined || outcomeIs(line, outcome));
}

function outcomeIs(
  { allowed, policies }: Exclude<JournalLine, { hole: unknown }>,
  outcome: typeof OUTCOMES[number],
): boolean {
  switch (outcome) {
    case "allowed":
      return allowed;
    case "refused":
      return !allowed;
    case "fault":
      return policies.some(({ fault }) => fault !== null);
    default:
      return outcome satisfies never;
  }
}

/** The most series in an answer's `next`: those that wrote last. */
const SERIES_MAX = 32;
const NODE_BYTES = 6;

/** The form of the text. */
const SEQUENCE_PATTERN = /^(?:~[\w-]{8}(?:\.[0-9a-z]{1,11}){3}){0,32}$/;

interface Last {
  readonly number: number;
  readonly stored_ms: number;
}

/** The last block read of each series. */
class BlockSequence {
  readonly #last = new Map<string, Last>();

  /** Continues from the text of an answer. */
  constructor(text: string) {
    for (const part of text.split("~").slice(1)) {
      const [node = "", series = "", number = "", stored = ""] = part.split(".");
      const last = { number: parseInt(number, 36), stored_ms: parseInt(stored, 36) };
      this.#last.set(`${node}.${series}`, last);
    }
  }

  /** The problem before this block; undefined: none, or its series is new. */
  problemOf(head: BlockHead, stored_ms: number): BlockHole | undefined {
    const last = this.#last.get(keyOf(head));
    if (last === undefined || head.number === last.number + 1) return undefined;
    const about = { from_ms: Math.min(last.stored_ms, stored_ms), to_ms: stored_ms };
    return head.number > last.number
      ? { ...about, records: null, why: "removed" }
      : { ...about, records: 0, why: "doubled" };
  }

  add(head: BlockHead, stored_ms: number): void {
    const key = keyOf(head);
    const number = Math.max(head.number, this.#last.get(key)?.number ?? 0);
    this.#last.delete(key);
    this.#last.set(key, { number, stored_ms });
  }

  /** Clears a node's series after an unreadable block of it was reported: its later blocks cannot be checked. */
  forget(node: string): void {
    for (const key of this.#last.keys()) if (key.startsWith(nameOf(node))) this.#last.delete(key);
  }

  /** The state for `next`. */
  text(): string {
    const parts = [...this.#last].slice(-SERIES_MAX).map(([key, { number, stored_ms }]) =>
      `~${key}.${number.toString(36)}.${stored_ms.toString(36)}`
    );
    return parts.join("");
  }
}

const nameOf = (node: string): string =>
  createHash("sha256").update(node).digest().subarray(0, NODE_BYTES).toString("base64url");
const keyOf = ({ node, series }: BlockHead): string => `${nameOf(node)}.${series.toString(36)}`;
