/**
 * GET and HEAD of a stream: what there is, at once or as soon as there is something (long-poll). The
 * event stream is `live.ts`.
 */
import type { Caller } from "../message/caller.ts";
import { requireGrant } from "../auth/authorize.ts";
import { judgedRoomOf } from "../../shared/rooms/reserved.ts";
import { answer, cacheHeaders, closedHeader, etagOf, expiryHeaders } from "./answers.ts";
import { isNamed, NO_STORE } from "./answers.ts";
import { bodyOf } from "./content.ts";
import type { StreamContext } from "./context.ts";
import { nextCursor } from "./cursor.ts";
import { findStream, touch } from "./lifecycle.ts";
import { liveResponse } from "./live.ts";
import { offsetOf, tokenOf } from "./offset.ts";
import { noteRead, readPage, requireReader } from "./reader.ts";
import type { Reading } from "./reader.ts";
import { tailOf } from "./read.ts";
import type { StreamPage } from "./read.ts";
import type { StreamRecord } from "./record.ts";
import type { StreamKey } from "./records.ts";
import { HEADER, StreamRefusal } from "./refusal.ts";
import type { ReadRequest } from "./request.ts";

/** Asks everything that may refuse a reader: grant, bans, policies. */
export async function admitReader(
  { overseer, bans }: Pick<StreamContext, "overseer" | "bans">,
  caller: Caller,
  room_id: string,
): Promise<void> {
  const { identity } = caller;
  requireGrant(identity, "subscribe", room_id);
  bans.requireRoom(identity, room_id);
  await overseer.onSubscribe(caller, judgedRoomOf(room_id));
  // A ban may have come while policies looked at it.
  bans.requireRoom(identity, room_id);
}

/** The answer to HEAD. Rejects with 404 and 410. */
export async function head(context: StreamContext, key: StreamKey): Promise<Response> {
  const { record } = await findStream(context, key);
  const { lives } = await context.logs.of(key.tenant_id);
  const next = tokenOf(lives, await tailOf(context, key, record));
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
  const after = await placeOf(context, key, found.record, reading.request);
  if (live === "sse") return await liveResponse(context, reading, found.record, after);
  if (live === "long-poll") return await longPoll(context, reading, found.record, after);
  if (reading.request.offset === "now") return await nothing(context, key, found.record);
  const page = await readPage(context, reading, found.record, after);
  return await pageAnswer(context, reading, found.record, page);
}

/** The offset to read after; undefined: from the beginning. Throws 410 for one of a log that is gone. */
async function placeOf(
  context: StreamContext,
  key: StreamKey,
  record: StreamRecord,
  { offset }: ReadRequest,
): Promise<number | undefined> {
  if (offset === "-1") return undefined;
  if (offset === "now") return await tailOf(context, key, record);
  const { lives } = await context.logs.of(key.tenant_id);
  const place = offsetOf(lives, offset);
  if (place === undefined) {
    throw new StreamRefusal("stream-trimmed", "the offset is of another log");
  }
  return place === 0 ? undefined : place;
}

/** The answer to `offset=now`: where the stream stands. */
async function nothing(
  context: StreamContext,
  key: StreamKey,
  record: StreamRecord,
): Promise<Response> {
  const { lives } = await context.logs.of(key.tenant_id);
  return answer(200, {
    "content-type": record.content_type,
    "cache-control": NO_STORE,
    [HEADER.next]: tokenOf(lives, await tailOf(context, key, record)),
    [HEADER.up_to_date]: "true",
    ...closedHeader(record.closed !== undefined),
  }, bodyOf([], record.content_type));
}

async function pageAnswer(
  context: StreamContext,
  reading: Reading,
  record: StreamRecord,
  page: StreamPage,
): Promise<Response> {
  const { key: { tenant_id, room_id }, request, if_none_match } = reading;
  const { logs, classes, now, random } = context;
  const { messages, next, up_to_date } = page;
  const { lives } = await logs.of(tenant_id);
  const token = tokenOf(lives, next);
  const closed = record.closed !== undefined && up_to_date;
  const etag = etagOf(record, request.offset, token, closed);
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
  const body = bodyOf(messages, record.content_type);
  noteRead(context, reading, page);
  return answer(200, { ...headers, "content-type": record.content_type }, body);
}

async function longPoll(
  context: StreamContext,
  reading: Reading,
  first: StreamRecord,
  after: number | undefined,
): Promise<Response> {
  const { key, request: { cursor }, caller: { identity } } = reading;
  const until_ms = context.monotonic_ms() + context.long_poll_ms;
  const place = after ?? (first.fork === undefined ? first.begin : undefined);
  const gone = reading.gone();
  using wake = await context.wakes.watch(key);
  for (;;) {
    const seen = wake.count;
    const { record } = await findStream(context, key);
    if (record.id !== first.id) throw new StreamRefusal("stream-not-found");
    requireReader(context, identity, key.room_id);
    const page = await readPage(context, reading, record, after);
    if (page.messages.length > 0) return await pageAnswer(context, reading, record, page);
    const closed = record.closed !== undefined && page.up_to_date;
    const left_ms = until_ms - context.monotonic_ms();
    if (closed || left_ms <= 0 || context.isDraining() || gone.aborted) {
      const { lives } = await context.logs.of(key.tenant_id);
      return answer(204, {
        "cache-control": NO_STORE,
        [HEADER.next]: tokenOf(lives, Math.max(page.next, place ?? 0)),
        [HEADER.up_to_date]: "true",
        [HEADER.cursor]: nextCursor(cursor, context.now(), context.random()),
        ...closedHeader(closed),
      });
    }
    await wake.after(seen, left_ms, gone);
  }
}
