/** GET and HEAD of a stream: its content, at once or as soon as there is some (long-poll), or as an event stream. */
import type { Caller } from "../message/caller.ts";
import { requireGrant } from "../auth/authorize.ts";
import { judgedRoomOf } from "../../shared/rooms/reserved.ts";
import {
  answer,
  cacheHeaders,
  closedHeader,
  COMMON,
  etagOf,
  expiryHeaders,
  HEADER,
  isNamed,
  NO_STORE,
  StreamRefusal,
} from "./answers.ts";
import { bodyOf, eventText, isText, textOf } from "./content.ts";
import type { StreamContext } from "./context.ts";
import { findStream, touch } from "./lifecycle.ts";
import { erasedIn, offsetOf, tokenOf } from "./offset.ts";
import { type Place, placeAtTail, readStream, type StreamPage } from "./read.ts";
import type { StreamKey, StreamRecord } from "./record.ts";
import type { ReadRequest } from "./request.ts";
import type { Wake } from "./wakes.ts";

/** Runs every check that may refuse a reader: grant, bans, policies. */
export async function admitReader(
  { overseer, bans }: Pick<StreamContext, "overseer" | "bans">,
  caller: Caller,
  room_id: string,
): Promise<void> {
  const { identity } = caller;
  requireGrant(identity, "subscribe", room_id);
  bans.requireRoom(identity, room_id);
  await overseer.onSubscribe(caller, judgedRoomOf(room_id));
  // A ban may have come while the policies ran.
  bans.requireRoom(identity, room_id);
}

/** The answer to HEAD. Rejects with 404 and 410. */
export async function head(context: StreamContext, key: StreamKey): Promise<Response> {
  const { record } = await findStream(context, key);
  const { lives } = await context.logs.of(key.tenant_id);
  const { after, erased } = await placeAtTail(context, key, record);
  const next = tokenOf(lives, after, erased);
  const closed = record.closed !== undefined;
  return answer(200, {
    "content-type": record.content_type,
    "cache-control": NO_STORE,
    "etag": etagOf(record, "-1", next, closed),
    [HEADER.next]: next,
    ...closedHeader(closed),
    ...expiryHeaders(record),
  });
}

/** The answer to GET. Rejects with the protocol's refusals. */
export async function read(context: StreamContext, reading: Reading): Promise<Response> {
  const { key, request: { live } } = reading;
  const found = await findStream(context, key);
  await touch(context, key, found);
  const place = await placeOf(context, key, found.record, reading.request);
  if (live === "sse") return await liveResponse(context, reading, found.record, place);
  if (live === "long-poll") return await longPoll(context, reading, found.record, place);
  if (reading.request.offset === "now") return await nothing(context, key, found.record);
  const page = await readPage(context, reading, found.record, place);
  return await pageAnswer(context, reading, found.record, page);
}

/** The place to read from. Throws 410 for one of a deleted log. */
async function placeOf(
  context: StreamContext,
  key: StreamKey,
  record: StreamRecord,
  { offset }: ReadRequest,
): Promise<Place> {
  if (offset === "-1") return { after: undefined, erased: 0 };
  if (offset === "now") return await placeAtTail(context, key, record);
  const { lives } = await context.logs.of(key.tenant_id);
  const after = offsetOf(lives, offset);
  if (after === undefined) {
    throw new StreamRefusal("stream-trimmed", "the offset is of another log");
  }
  return { after: after === 0 ? undefined : after, erased: erasedIn(offset) };
}

/** The answer to `offset=now`: the current position. */
async function nothing(
  context: StreamContext,
  key: StreamKey,
  record: StreamRecord,
): Promise<Response> {
  const { lives } = await context.logs.of(key.tenant_id);
  const { after, erased } = await placeAtTail(context, key, record);
  return answer(200, {
    "content-type": record.content_type,
    "cache-control": NO_STORE,
    [HEADER.next]: tokenOf(lives, after, erased),
    [HEADER.up_to_date]: "true",
    ...closedHeader(record.closed !== undefined),
  }, await bodyOf([], record.content_type, key.tenant_id));
}

async function pageAnswer(
  context: StreamContext,
  reading: Reading,
  record: StreamRecord,
  page: StreamPage,
): Promise<Response> {
  const { key: { tenant_id, room_id }, request, if_none_match } = reading;
  const { logs, classes, now, random } = context;
  const { messages, offsets, next, erased, up_to_date } = page;
  const { lives } = await logs.of(tenant_id);
  const token = tokenOf(lives, next, erased);
  const closed = record.closed !== undefined && up_to_date;
  const etag = etagOf(record, request.offset, token, closed, offsets);
  const headers = {
    etag,
    ...(request.offset === "now"
      ? { "cache-control": NO_STORE }
      : cacheHeaders(classes.of(tenant_id, room_id), messages.length > 0)),
    [HEADER.next]: token,
    ...(up_to_date ? { [HEADER.up_to_date]: "true" } : {}),
    ...closedHeader(closed),
    ...(request.live === undefined
      ? {}
      : { [HEADER.cursor]: nextCursor(request.cursor, now(), random()) }),
  };
  if (isNamed(etag, if_none_match)) return answer(304, headers);
  const body = await bodyOf(messages, record.content_type, tenant_id);
  noteRead(context, reading, page);
  return answer(200, { ...headers, "content-type": record.content_type }, body);
}

async function longPoll(
  context: StreamContext,
  reading: Reading,
  first: StreamRecord,
  place: Place,
): Promise<Response> {
  const { key, request: { cursor }, caller: { identity } } = reading;
  const until_ms = context.monotonic_ms() + context.long_poll_ms;
  const least = place.after ?? (first.fork === undefined ? first.begin : 0);
  const gone = reading.gone();
  using wake = await context.wakes.watch(key);
  for (;;) {
    const seen = wake.count;
    const { record } = await findStream(context, key);
    if (record.id !== first.id) throw new StreamRefusal("stream-not-found");
    requireReader(context, reading);
    const page = await readPage(context, reading, record, place);
    if (page.messages.length > 0) return await pageAnswer(context, reading, record, page);
    const closed = record.closed !== undefined && page.up_to_date;
    const left_ms = Math.min(
      until_ms - context.monotonic_ms(),
      identity.expires_ms - context.now(),
    );
    if (closed || left_ms <= 0 || context.isDraining() || gone.aborted) {
      const { lives } = await context.logs.of(key.tenant_id);
      return answer(204, {
        "cache-control": NO_STORE,
        [HEADER.next]: tokenOf(lives, Math.max(page.next, least), page.erased),
        [HEADER.up_to_date]: "true",
        [HEADER.cursor]: nextCursor(cursor, context.now(), context.random()),
        ...closedHeader(closed),
      });
    }
    await wake.after(seen, left_ms, gone, () => mayRead(context, reading));
  }
}

interface Live {
  readonly reading: Reading;
  readonly first: StreamRecord;
  readonly wake: Wake;
  /** Monotonic ms. */
  readonly until_ms: number;
  place: Place;
  /** Whether the reader knows its position, and the encoding of its data. */
  has_begun: boolean;
  /** Whether the data is text; otherwise base64. */
  is_text: boolean;
  /** Aborted when it has ended. */
  readonly ending: AbortController;
}

/** The answer. Rejects with 429 when the user has too many of them. */
async function liveResponse(
  context: StreamContext,
  reading: Reading,
  first: StreamRecord,
  place: Place,
): Promise<Response> {
  const { key, caller: { identity } } = reading;
  const entered = context.enterLive(identity);
  let wake: Wake;
  try {
    wake = await context.wakes.watch(key);
  } catch (error) {
    entered[Symbol.dispose]();
    throw error;
  }
  // Proxies can share one connection for several readers if all of them restart regularly.
  const until_ms = context.monotonic_ms() + context.sse_ms;
  const ending = new AbortController();
  const is_text = isText(first.content_type) && !split.has(first.id);
  const live: Live = { reading, first, wake, until_ms, place, has_begun: false, is_text, ending };
  const end = () => {
    if (ending.signal.aborted) return;
    ending.abort();
    wake[Symbol.dispose]();
    entered[Symbol.dispose]();
  };
  // The runtime's own listener reports a disconnected reader only when something is written.
  reading.gone().addEventListener("abort", end, { once: true });
  // Before the answer has begun, a refusal can still be the answer.
  let begun: Awaited<ReturnType<typeof nextEvents>>;
  try {
    begun = await nextEvents(context, live);
  } catch (error) {
    end();
    throw error;
  }
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      // The answer has begun, so it ends; the next request gets the error. Failed reads are counted.
      const text = begun ?? await nextEvents(context, live).catch(() => undefined);
      begun = undefined;
      if (ending.signal.aborted) return;
      if (text !== undefined) controller.enqueue(encoder.encode(text.events));
      if (text === undefined || text.is_last) {
        end();
        controller.close();
      }
    },
    cancel: end,
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: {
      ...COMMON,
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      ...(live.is_text ? {} : { [HEADER.sse_encoding]: "base64" }),
    },
  });
}

/** The next events; undefined: the timeout has passed, or the reader may no longer read. */
async function nextEvents(
  context: StreamContext,
  live: Live,
): Promise<{ events: string; is_last: boolean } | undefined> {
  const { reading, first, wake, until_ms, ending } = live;
  const { key, caller: { identity } } = reading;
  // A token expires at a wall-clock time, everything else after a duration.
  const left_ms = Math.max(0, identity.expires_ms - context.now());
  const monotonic_ms = context.monotonic_ms();
  const beat_ms = Math.min(until_ms, monotonic_ms + left_ms, monotonic_ms + context.long_poll_ms);
  for (;;) {
    const seen = wake.count;
    const is_over = context.monotonic_ms() >= until_ms || context.now() >= identity.expires_ms;
    if (context.isDraining() || is_over) return undefined;
    const found = await findStream(context, key);
    if (found.record.id !== first.id) return undefined;
    requireReader(context, reading);
    await touch(context, key, found);
    const page = await readPage(context, reading, found.record, live.place);
    const closed = found.record.closed !== undefined && page.up_to_date;
    const is_due = page.messages.length > 0 || closed || !live.has_begun ||
      context.monotonic_ms() >= beat_ms;
    if (page.next > 0) live.place = { after: page.next, erased: page.erased };
    if (!is_due) {
      const left_ms = beat_ms - context.monotonic_ms();
      await wake.after(seen, left_ms, ending.signal, () => mayRead(context, reading));
      if (ending.signal.aborted) return undefined;
      continue;
    }
    const { content_type } = found.record;
    const data = await dataOf(live, page, content_type);
    if (data === undefined) return undefined;
    live.has_begun = true;
    noteRead(context, reading, page);
    const { lives } = await context.logs.of(key.tenant_id);
    const control = {
      streamNextOffset: tokenOf(lives, page.next, page.erased),
      ...(closed ? { streamClosed: true } : {
        streamCursor: nextCursor(live.reading.request.cursor, context.now(), context.random()),
      }),
      ...(page.up_to_date ? { upToDate: true } : {}),
    };
    const last = await eventText("control", JSON.stringify(control), key.tenant_id);
    return { events: data + last, is_last: closed };
  }
}

/** Streams whose later answers begin in base64: readers give up event streams that end early a few times. */
const split = new Set<string>();

/**
 * The event with a page's data, "" without any. Undefined: the answer has begun as text, which cannot carry the bytes;
 * the reader's next request from there is answered in base64.
 */
async function dataOf(
  live: Live,
  { messages }: StreamPage,
  content_type: string,
): Promise<string | undefined> {
  const { tenant_id } = live.reading.key;
  if (messages.length === 0) return "";
  const body = await bodyOf(messages, content_type, tenant_id);
  const text = live.is_text ? textOf(body) : undefined;
  if (live.is_text && text === undefined) {
    if (split.size < 10_000) split.add(live.first.id);
    if (live.has_begun) return undefined;
    live.is_text = false;
  }
  return await eventText("data", text ?? body.toBase64(), tenant_id);
}

/**
 * The cursors of live reads: a number that changes with time, so that a cache cannot return the same answer to a reader
 * for ever. Pure.
 */
const INTERVAL_MS = 20_000;
/** Intervals are counted from 2024-10-09. */
const EPOCH_MS = Date.UTC(2024, 9, 9);
const JITTER_SECONDS = 3_600;

/**
 * The cursor of an answer: the number of the present interval, and always more than the client's cursor. `now_ms` is
 * Unix ms, `random` is in [0, 1).
 */
export function nextCursor(given: string | undefined, now_ms: number, random: number): string {
  const present = Math.floor((now_ms - EPOCH_MS) / INTERVAL_MS);
  const known = Number(given ?? "");
  if (given === undefined || !Number.isSafeInteger(known) || known < present) {
    return String(present);
  }
  const jitter_ms = (1 + Math.floor(random * JITTER_SECONDS)) * 1_000;
  return String(known + Math.max(1, Math.floor(jitter_ms / INTERVAL_MS)));
}

// The reader of a stream, for all ways of reading: authorization, charges, and records.

/** One GET on its way. */
interface Reading {
  readonly key: StreamKey;
  readonly caller: Caller;
  readonly request: ReadRequest;
  readonly if_none_match: string | null;
  /** As `ClientCall.gone`. */
  readonly gone: () => AbortSignal;
}

/** Whether the room's messages are a stream: a stream is read completely, which a filter does not allow. */
export function isStream(
  { classes }: Pick<StreamContext, "classes">,
  { tenant_id, room_id }: StreamKey,
): boolean {
  const { durable, filter } = classes.of(tenant_id, room_id);
  return durable && filter === undefined;
}

/** Throws if a long reader may no longer read. */
function requireReader(
  context: Pick<StreamContext, "bans" | "requireNotRevoked" | "classes">,
  { key, caller: { identity } }: Pick<Reading, "key" | "caller">,
): void {
  context.bans.requireRoom(identity, key.room_id);
  context.requireNotRevoked(identity);
  if (!isStream(context, key)) throw new StreamRefusal("stream-not-found");
}

/** Like `requireReader`, but returns a boolean. */
function mayRead(...args: Parameters<typeof requireReader>): boolean {
  try {
    requireReader(...args);
    return true;
  } catch {
    return false;
  }
}

/** Reads a page, charged to the reader. Rejects as `readStream`, and as a budget refuses. */
function readPage(
  context: StreamContext,
  { key, caller: { identity } }: Pick<Reading, "key" | "caller">,
  record: StreamRecord,
  { after, erased }: Place,
): Promise<StreamPage> {
  context.reads?.page(identity, context.classes.of(key.tenant_id, key.room_id).pattern);
  return readStream(context, key, record, after, erased);
}

/** Records the messages that a reader is about to get. */
function noteRead(
  { noteRead, reads, classes }: Pick<StreamContext, "noteRead" | "reads" | "classes">,
  { key: { tenant_id, room_id }, caller }: Pick<Reading, "key" | "caller">,
  { parts, messages }: Pick<StreamPage, "parts" | "messages">,
): void {
  for (const part of parts) noteRead?.({ ...part, caller, how: "stream", is_whole: true });
  const size_bytes = messages.reduce((sum, { length }) => sum + length, 0);
  reads?.give(caller.identity, classes.of(tenant_id, room_id).pattern, size_bytes);
}
