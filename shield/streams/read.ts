/**
 * The content of a stream from an offset on: the messages of its room, and before them a fork's part of its source.
 * `routes.ts` authorizes readers; `read_routes.ts` builds answers.
 */
import { readEnvelope } from "@arqon/proto";
import type { DurableLog, LogPage, RoomHead } from "../../shared/spine/contract/durable_log.ts";
import { readHistory, type TrimMemory } from "../durable/history/history_window.ts";
import type { DurableStats } from "../durable/log/stats.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { readable } from "../../shared/spine/contract/read_page.ts";
import { slice } from "../../shared/turns/slices.ts";
import type { Records, StreamKey, StreamRecord } from "./record.ts";
import { StreamRefusal } from "./answers.ts";

/** The messages and bytes of one answer, roughly. */
const PAGE_MESSAGES = 1_000;
const PAGE_BYTES = 1_048_576;
/** The messages read without a pause: less than half a millisecond. */
export const MESSAGES_A_PIECE = 32;
/** The longest chain of forks. */
export const CHAIN_MAX = 64;

/** The dependencies of reading a stream. */
export interface Reads {
  readonly records: Records;
  readonly logs: { of(tenant_id: string): Promise<DurableLog> };
  readonly classes: Pick<RoomClasses, "of">;
  readonly trims: TrimMemory;
  readonly durable_stats: Pick<DurableStats, "read">;
}

/** One room's part of a stream: its messages above `from`, up to `to`. */
interface Segment {
  readonly room_id: string;
  readonly from: number;
  readonly to: number;
}

/** One answer. */
export interface StreamPage {
  readonly messages: readonly Uint8Array[];
  readonly offsets: readonly number[];
  /** The rooms of the messages, a fork's source before the fork, and the offsets read in each. */
  readonly parts: readonly { readonly room_id: string; readonly offsets: readonly number[] }[];
  /** The offset to continue after. */
  readonly next: number;
  /** As in a `Place`, of a reader at `next`. */
  readonly erased: number;
  /** Whether nothing follows as of now. */
  readonly up_to_date: boolean;
}

/** Where a reader is. */
export interface Place {
  /** Undefined: in front of the first stored message. */
  readonly after: number | undefined;
  /** Up to where messages had been erased before it began: it lacks none of them; 0: none. */
  readonly erased: number;
}

type Tailed = Pick<StreamRecord, "begin" | "closed" | "fork">;

function tailIn({ last }: Pick<RoomHead, "last">, { begin, closed, fork }: Tailed): number {
  const own = Math.min(last?.offset ?? 0, closed?.end ?? Infinity);
  return own > begin ? own : fork?.offset ?? begin;
}

/** The offset of the stream's own last message, or of its inherited part. */
export async function ownTail(
  log: Pick<DurableLog, "head">,
  room_id: string,
  record: Tailed,
): Promise<number> {
  return tailIn(await log.head(room_id), record);
}

/** The offset before the next message of a stream. */
export async function tailOf(
  { logs }: Pick<Reads, "logs">,
  { tenant_id, room_id }: StreamKey,
  record: StreamRecord,
): Promise<number> {
  return await ownTail(await logs.of(tenant_id), room_id, record);
}

/** The place of a reader that begins with the next message. */
export async function placeAtTail(
  { logs }: Pick<Reads, "logs">,
  { tenant_id, room_id }: StreamKey,
  record: StreamRecord,
): Promise<Place & { readonly after: number }> {
  const head = await (await logs.of(tenant_id)).head(room_id);
  return { after: tailIn(head, record), erased: head.erased ?? 0 };
}

/**
 * Where the messages of a stream lie, the oldest first, and the least offset after which none is missing. Of an erased
 * source nothing is left but what followed it.
 */
async function segmentsOf(
  { records }: Pick<Reads, "records">,
  { tenant_id, room_id }: StreamKey,
  record: StreamRecord,
): Promise<{ readonly segments: readonly Segment[]; readonly floor: number }> {
  const { begin, closed } = record;
  const segments: Segment[] = [{ room_id, from: begin, to: closed?.end ?? Infinity }];
  let limit = Infinity;
  for (let { fork } = record; fork !== undefined;) {
    const source = (await records.get({ tenant_id, room_id: fork.room }))?.record;
    limit = Math.min(limit, fork.offset);
    if (source?.id !== fork.id) return { segments, floor: Math.min(limit, segments[0]!.from) };
    segments.unshift({ room_id: fork.room, from: source.begin, to: limit });
    fork = source.fork;
  }
  return { segments, floor: segments[0]!.from };
}

/**
 * The next messages after an offset; undefined: from the first stored one. `messages_max` limits them further. Throws
 * 410 if messages after the offset are no longer stored, or the log has never reached the offset.
 */
export async function readStream(
  context: Reads,
  key: StreamKey,
  record: StreamRecord,
  after: number | undefined,
  erased = 0,
): Promise<StreamPage> {
  const { segments, floor } = await segmentsOf(context, key, record);
  // A position before the stream was created belongs to a deleted one, and so do the messages after it.
  if (after !== undefined && after < floor) throw new StreamRefusal("stream-trimmed");
  for (let tail = after ?? 0;;) {
    const page = await readSegments(context, key, segments, { after, erased });
    if (page.messages.length > 0 || !page.up_to_date) return page;
    const head = await (await context.logs.of(key.tenant_id)).head(key.room_id);
    // A reader would wait there, and get no message until the log reaches the offset.
    if (after !== undefined && after > head.log_offset) {
      throw new StreamRefusal("stream-trimmed", "the offset is ahead of its log");
    }
    // The reader is up to date only with a tail that was known before the read: a message may have come since.
    const seen = Math.max(tail, page.next, tailIn(head, record));
    if (seen === Math.max(tail, page.next)) return { ...page, next: seen };
    tail = seen;
  }
}

async function readSegments(
  context: Reads,
  { tenant_id }: StreamKey,
  segments: readonly Segment[],
  place: Place,
): Promise<StreamPage> {
  const { after } = place;
  const messages: Uint8Array[] = [];
  const offsets: number[] = [];
  const parts: { room_id: string; offsets: number[] }[] = [];
  let size_bytes = 0;
  let next = after ?? 0;
  let { erased } = place;
  for (const segment of segments) {
    if (Math.max(segment.from, after ?? 0) >= segment.to) continue;
    const limit = PAGE_MESSAGES - offsets.length;
    if (limit <= 0 || size_bytes >= PAGE_BYTES) {
      return { messages, offsets, parts, next, erased, up_to_date: false };
    }
    const page = await readSegment(context, tenant_id, segment, place, limit);
    erased = Math.max(erased, page.erased);
    const { room_id } = segment;
    if (page.entries.length > 0) {
      parts.push({ room_id, offsets: page.entries.map(({ offset }) => offset) });
    }
    for (const { offset, data } of page.entries) {
      next = offset;
      if (data === undefined) continue;
      offsets.push(offset);
      messages.push(data);
      size_bytes += data.length;
    }
    if (page.more) return { messages, offsets, parts, next, erased, up_to_date: false };
  }
  return { messages, offsets, parts, next, erased, up_to_date: true };
}

interface SegmentPage {
  readonly entries: readonly { readonly offset: number; readonly data: Uint8Array | undefined }[];
  /** Up to where messages had been erased before its reader began with the segment; 0: none. */
  readonly erased: number;
  readonly more: boolean;
}

async function readSegment(
  { logs, classes, trims, durable_stats }: Reads,
  tenant_id: string,
  { room_id, from, to }: Segment,
  { after, erased }: Place,
  limit: number,
): Promise<SegmentPage> {
  const log = await logs.of(tenant_id);
  const { history_size, history_ttl_seconds, filter } = classes.of(tenant_id, room_id);
  // A fork may have begun before its source's class got a filter.
  if (filter !== undefined) throw new StreamRefusal("stream-not-found", room_id);
  const onRead = () => durable_stats.read("history");
  const kept = { history_size, history_ttl_seconds };
  const room = { log, room_id, ...kept, page_bytes: PAGE_BYTES, trims, onRead };
  const at = Math.max(from, after ?? 0);
  const before = to === Infinity ? 0 : to + 1;
  const page = await readHistory(room, { after: at, before, limit, reverse: false });
  // The position before the first message is the beginning of a stream, whatever is still stored. Without any message
  // it is unknown whether messages followed the position.
  const may_lack = page.offset > at || page.offset === 0;
  if (after !== undefined && at > from && may_lack) {
    onRead();
    const whole = await log.read(room_id, { after: at, limit: 1, max_bytes: 1 });
    const first = whole.messages[0]?.offset ?? Infinity;
    const is_cut = !await isWhole(log, room_id, whole, { after: at, erased }) ||
      first <= to && first !== page.entries[0]?.offset;
    if (is_cut) throw new StreamRefusal("stream-trimmed");
  }
  const entries: { offset: number; data: Uint8Array | undefined }[] = [];
  for (const { offset, payload } of page.entries) {
    if (entries.length % MESSAGES_A_PIECE === 0) await slice(tenant_id);
    entries.push({ offset, data: dataOf(payload) });
  }
  return { entries, more: page.more, erased: at > from ? 0 : page.erased };
}

/** Whether a page is all that was there behind a place, but for what it has as erased. */
async function isWhole(
  log: Pick<DurableLog, "oldest">,
  room_id: string,
  { complete, erased: newest = 0 }: Pick<LogPage, "complete" | "erased">,
  { after, erased }: Place & { readonly after: number },
): Promise<boolean> {
  if (complete) return true;
  if (newest === 0 || newest > erased) return false;
  // Retention takes the first ones, and none behind one that is there.
  const oldest = await log.oldest(room_id);
  return oldest > 0 && oldest <= after;
}

/** The content of a message; undefined without content, such as a signal. */
function dataOf(payload: Uint8Array): Uint8Array | undefined {
  try {
    return readEnvelope(readable(payload)).event?.data;
  } catch {
    return undefined;
  }
}
