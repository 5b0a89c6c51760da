/**
 * One page of a room's history from its log: exactly the messages that the room's class retains, even if the log still
 * has more, and all that were acknowledged before the request. `history.ts` authorizes it.
 */
import { ArqonError } from "@arqon/proto";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type {
  DurableLog,
  LogMessage,
  LogPage,
  RoomHead,
} from "../../../shared/spine/contract/durable_log.ts";
import { slice } from "../../../shared/turns/slices.ts";
import type { HistoryRange } from "./history_query.ts";

/** A page, and the position of the room. */
export interface HistoryPage {
  /** The messages in the requested order. */
  readonly entries: readonly LogMessage[];
  /** The room's position: no message that the page should show came after it. */
  readonly offset: number;
  readonly stream: string;
  /** Up to where messages of the room had been erased when the page was read; 0: none. */
  readonly erased: number;
  /** True when there are more messages in this direction. */
  readonly more: boolean;
}

/** A room and its retention. */
export interface HistoryRoom {
  readonly log: DurableLog;
  readonly room_id: string;
  readonly history_size: number;
  readonly history_ttl_seconds: number;
  /** The payload bytes of a page, roughly. */
  readonly page_bytes: number;
  readonly trims: TrimMemory;
  /** Called for each question to the log. */
  readonly onRead: () => void;
}

/** How often a log is read again while its replicas are stale, or after it was recreated. */
const TURNS_MAX = 5;
/** The most rooms whose head at their last trim is remembered, oldest dropped first. */
const TRIMS_MAX = 1_000;

/** The rooms that need no trim, as nothing was added since the last one. */
export class TrimMemory {
  readonly #trims = new BoundedMap<string, string>(TRIMS_MAX);

  /** Whether the room was trimmed to `keep` messages at this head or a later one. */
  has(room: HistoryRoom, head: RoomHead): boolean {
    return this.#trims.get(keyOf(room)) === stateOf(room, head);
  }

  add(room: HistoryRoom, head: RoomHead): void {
    this.#trims.renew(keyOf(room), stateOf(room, head));
  }
}

function keyOf({ log, room_id }: HistoryRoom): string {
  return `${log.tenant_id}/${room_id}`;
}

function stateOf({ history_size }: HistoryRoom, { stream, last }: RoomHead): string {
  return `${stream}/${last?.offset ?? 0}/${history_size}`;
}

/** Reads a page. Rejects as the log rejects, and with `log-unavailable` if the log stays stale. */
export async function readHistory(room: HistoryRoom, range: HistoryRange): Promise<HistoryPage> {
  const { log, room_id } = room;
  for (let turn = 0; turn < TURNS_MAX; turn++) {
    room.onRead();
    const head = await log.head(room_id);
    const found = await readAt(room, range, head);
    if (found === undefined) continue;
    const newest = found.entries.reduce((most, { offset }) => Math.max(most, offset), 0);
    const offset = Math.max(head.last?.offset ?? 0, newest);
    return { ...found, offset, stream: head.stream, erased: head.erased ?? 0 };
  }
  const detail = "the answering replica is behind";
  throw new ArqonError("log-unavailable", detail, { retry_after_ms: 1_000 });
}

type Found = Pick<HistoryPage, "entries" | "more">;

const NOTHING: Found = { entries: [], more: false };

/** Reads a page at one head of the log; undefined: the log has answered with fewer messages than the head promises. */
function readAt(
  room: HistoryRoom,
  range: HistoryRange,
  head: RoomHead,
): Promise<Found | undefined> {
  if (range.before !== 0 && range.after >= range.before) return Promise.resolve(NOTHING);
  return range.reverse ? backward(room, range, head) : forward(room, range, head);
}

/** Reads the log in a slice of its tenant, whose readers may all come at once. */
async function read(
  room: HistoryRoom,
  after: number,
  limit: number,
  max_bytes = room.page_bytes,
): Promise<LogPage> {
  await slice(room.log.tenant_id);
  room.onRead();
  return await room.log.read(room.room_id, { after, limit, max_bytes });
}

async function readBack(
  room: HistoryRoom,
  before: number,
  limit: number,
  max_bytes = room.page_bytes,
): Promise<LogPage> {
  await slice(room.log.tenant_id);
  room.onRead();
  return await room.log.readBack(room.room_id, { before, limit, max_bytes });
}

/**
 * Trims the room in the log to the retention of its class, unless that was done already and nothing was added since.
 */
async function trim(room: HistoryRoom, head: RoomHead): Promise<void> {
  if (room.trims.has(room, head)) return;
  await room.log.trim(room.room_id, room.history_size);
  room.trims.add(room, head);
}

/** The oldest time that is shown, in Unix ms. */
function oldestOf({ log, history_ttl_seconds }: HistoryRoom): number {
  return log.shownTime() - history_ttl_seconds * 1_000;
}

async function forward(
  room: HistoryRoom,
  { after, before, limit }: HistoryRange,
  head: RoomHead,
): Promise<Found | undefined> {
  let page = await read(room, after, limit);
  // A page that reaches the end has the newest message. For any other, only the log knows the age.
  if (page.more && !room.trims.has(room, head)) {
    await trim(room, head);
    page = await read(room, after, limit);
  }
  if (isBehind(page, after, head)) return undefined;
  const oldest_ms = oldestOf(room);
  const [first] = page.messages;
  if (page.more && first !== undefined && first.time_ms < oldest_ms) {
    if (head.last === undefined || head.last.time_ms < oldest_ms) return NOTHING;
    const start = await findYoung(room, first.offset, head.last.offset, oldest_ms);
    page = await read(room, start, limit);
    if (isBehind(page, start, head)) return undefined;
  }
  const young = page.messages.filter(({ time_ms }) => time_ms >= oldest_ms);
  // The messages expired meanwhile, but a page must say where to continue.
  if (page.more && young.length === 0) return undefined;
  // Messages may have been added since the trim.
  const kept = page.more ? young : young.slice(-room.history_size);
  const entries = before === 0 ? kept : kept.filter(({ offset }) => offset < before);
  if (!page.more || entries.length < kept.length) return { entries, more: false };
  if (before === 0) return { entries, more: true };
  const next = await read(room, lastOf(page, after), 1, 1);
  const more = next.messages.some(({ offset }) => offset < before);
  return { entries, more };
}

function lastOf({ messages }: LogPage, otherwise: number): number {
  return messages.at(-1)?.offset ?? otherwise;
}

/** Whether a page ends before acknowledged messages, or comes from another incarnation of the log. */
function isBehind(page: LogPage, after: number, { stream, last }: RoomHead): boolean {
  if (page.stream !== stream) return true;
  return !page.more && lastOf(page, after) < (last?.offset ?? 0);
}

/**
 * Finds the offset before the first message that has not expired. `old` is the offset of an expired message, `young` of
 * another one. A binary search, with one message per request.
 */
async function findYoung(
  room: HistoryRoom,
  old: number,
  young: number,
  oldest_ms: number,
): Promise<number> {
  let low = old;
  let high = young - 1;
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    const [message] = (await read(room, middle, 1, 1)).messages;
    if (message !== undefined && message.time_ms < oldest_ms) low = message.offset;
    else high = middle;
  }
  return high;
}

async function backward(
  room: HistoryRoom,
  { after, before, limit }: HistoryRange,
  head: RoomHead,
): Promise<Found | undefined> {
  const { history_size } = room;
  const end = head.last?.offset ?? 0;
  // On a page from the newest message on, the retained messages can be counted.
  const is_newest = before === 0 || before > end;
  if (!is_newest) await trim(room, head);
  const page = await readBack(room, before, is_newest ? Math.min(limit, history_size) : limit);
  if (page.stream !== head.stream) return undefined;
  if (is_newest && lastOf(page, 0) < end) return undefined;
  const oldest_ms = oldestOf(room);
  const isShown = ({ offset, time_ms }: LogMessage) => offset > after && time_ms >= oldest_ms;
  const shown = page.messages.filter(isShown);
  const entries = shown.toReversed();
  const [first] = shown;
  const is_cut = shown.length < page.messages.length || is_newest && shown.length >= history_size;
  if (!page.more || is_cut || first === undefined) return { entries, more: false };
  const next = await readBack(room, first.offset, 1, 1);
  return { entries, more: next.messages.some(isShown) };
}
