/**
 * PUT: makes a room a stream, as a fork of another one if requested. Repeating it with the same configuration changes
 * nothing.
 */
import type { Caller } from "../message/caller.ts";
import { closeStream } from "./append.ts";
import { DEFAULT_TYPE, isJson, mediaOf, messagesOf, prefixOf } from "./content.ts";
import type { StreamContext } from "./context.ts";
import { leaveSource, lookUp, requireRemover } from "./lifecycle.ts";
import { offsetOf, tokenOf } from "./offset.ts";
import { CHAIN_MAX, readStream, tailOf } from "./read.ts";
import { requireRoom } from "./population.ts";
import {
  encodeRecord,
  forkExpiry,
  FORKS_MAX,
  type Found,
  type StreamKey,
  type StreamRecord,
} from "./record.ts";
import { invalid, StreamRefusal } from "./answers.ts";
import type { CreateRequest } from "./request.ts";
import { admitAll, send } from "./send.ts";
import type { Admitted } from "./send.ts";
import { traceId } from "../../shared/ids.ts";
import { ENTRY_BYTES } from "../../shared/spine/bucket_shares.ts";

/** What a record may grow by later, besides its producers: its close, its sequence, its name at its source. */
const LATER_BYTES = 1_024;

/** One running PUT. */
export interface Creating {
  readonly key: StreamKey;
  readonly caller: Caller;
  readonly request: CreateRequest;
  readonly body: Uint8Array;
}

/** An existing stream. */
export interface Created {
  readonly record: StreamRecord;
  readonly is_new: boolean;
}

interface ForkStart {
  readonly fork: NonNullable<StreamRecord["fork"]>;
  /** The part of a message that `Stream-Fork-Sub-Offset` cuts. */
  readonly prefix: readonly Uint8Array[];
}

/** Creates a stream. Rejects with the protocol's refusals, and with those of its first messages. */
export async function create(context: StreamContext, creating: Creating): Promise<Created> {
  const { key } = creating;
  return await context.turns.run(`${key.tenant_id}/${key.room_id}`, async () => {
    const found = await lookUp(context, key);
    if (found === undefined) return await createNew(context, creating);
    if (found.record.gone) throw new StreamRefusal("stream-forked");
    if (!matches(found.record, creating.request)) throw new StreamRefusal("stream-exists");
    return { record: found.record, is_new: false };
  });
}

/** Whether the stream has the requested configuration. */
function matches(record: StreamRecord, request: CreateRequest): boolean {
  const { fork } = request;
  const type = request.content_type ?? (fork === undefined ? DEFAULT_TYPE : record.content_type);
  if (mediaOf(type) !== mediaOf(record.content_type)) return false;
  if (request.closed !== (record.closed !== undefined)) return false;
  if (fork?.room !== record.fork?.room || (fork?.sub ?? 0) !== (record.fork?.sub ?? 0)) {
    return false;
  }
  if (fork?.offset !== undefined && fork.offset !== record.fork?.asked) return false;
  const inherits = fork !== undefined && request.ttl_seconds === undefined &&
    request.expires_at === undefined;
  return inherits ||
    request.ttl_seconds === record.ttl_seconds && request.expires_at === record.expires_at;
}

async function createNew(context: StreamContext, creating: Creating): Promise<Created> {
  const { key, request, body, caller } = creating;
  const id = traceId(crypto.getRandomValues(new Uint8Array(16)));
  const source = request.fork && await sourceOf(context, key, request);
  const expiry = forkExpiry(request, source?.record ?? {});
  // Its end takes what others have written, as DELETE does.
  if (Object.keys(expiry).length > 0) requireRemover(context, caller.identity, key.room_id);
  const start = source && await forkStart(context, key, source, request);
  const content_type = request.content_type ?? source?.record.content_type ?? DEFAULT_TYPE;
  const options = { messages: context.limits.batch_messages, may_be_empty: true };
  const own = body.length === 0 ? [] : messagesOf(body, content_type, options);
  const messages = [...start?.prefix ?? [], ...own];
  const sending = { caller, room_id: key.room_id, content_type, idOf: () => "" };
  const admitted = await admitAll(context, sending, messages);
  const head = await (await context.logs.of(key.tenant_id)).head(key.room_id);
  const now_ms = await context.logTime(key.tenant_id);
  const record: StreamRecord = {
    id,
    content_type,
    created_ms: now_ms,
    ...(messages.length > 0 ? { creating: true } : {}),
    // A room's stored messages are the beginning of its stream, but not of a fork.
    begin: start === undefined && head.last !== undefined ? 0 : head.log_offset,
    touched_ms: now_ms,
    ...expiry,
    ...(start === undefined ? {} : { fork: start.fork }),
    forks: [],
    producers: {},
  };
  const record_bytes = encodeRecord(record).length + LATER_BYTES;
  await requireRoom(context.records, key.tenant_id, ENTRY_BYTES + record_bytes);
  await context.population.enter(context, key.tenant_id);
  if (start !== undefined) await joinSource(context, key, record, start.fork);
  const written = await context.records.put(key, record, 0);
  if (written === undefined) {
    await leaveSource(context, key, record);
    throw new StreamRefusal("stream-exists");
  }
  return { record: await begin(context, creating, written, admitted), is_new: true };
}

/** Stores the first messages of a stream that is still hidden, then shows it. */
async function begin(
  context: StreamContext,
  { key, request }: Creating,
  { record, revision }: Found,
  admitted: Admitted,
): Promise<StreamRecord> {
  const { creating: is_hidden, ...shown } = record;
  if (is_hidden) {
    const isShown = async () => {
      if (await context.records.put(key, shown, revision) !== undefined) return;
      throw new StreamRefusal("stream-exists");
    };
    try {
      await send(context, admitted, isShown, { is_whole: true });
    } catch (error) {
      await context.records.delete(key, revision);
      await leaveSource(context, key, record);
      throw error;
    }
  }
  if (!request.closed) return shown;
  const end = await closeStream(context, key, undefined);
  return { ...shown, closed: { end } };
}

/** The source of a fork. Throws 404, and 409 if it is kept only for other forks. */
async function sourceOf(
  context: StreamContext,
  { tenant_id }: StreamKey,
  { fork, content_type }: CreateRequest,
): Promise<Found> {
  const found = await lookUp(context, { tenant_id, room_id: fork!.room });
  if (found === undefined) throw new StreamRefusal("stream-not-found", "the source");
  if (found.record.gone) throw new StreamRefusal("stream-forked", "the source");
  if (content_type !== undefined && mediaOf(content_type) !== mediaOf(found.record.content_type)) {
    throw new StreamRefusal("stream-type-differs", "the source");
  }
  return found;
}

/** The offset at which a fork leaves its source. Throws 400 if the source does not have it. */
async function forkStart(
  context: StreamContext,
  { tenant_id }: StreamKey,
  { record }: Found,
  { fork }: CreateRequest,
): Promise<ForkStart> {
  const { room, offset: wanted, sub } = fork!;
  const source: StreamKey = { tenant_id, room_id: room };
  await requireShortChain(context, source, record);
  const { lives } = await context.logs.of(tenant_id);
  const tail = await tailOf(context, source, record);
  const offset = wanted === undefined ? tail : offsetOf(lives, wanted);
  if (offset === undefined || offset > tail) {
    throw invalid("the fork's offset is not in its source");
  }
  const taken = { room, id: record.id, asked: wanted ?? tokenOf(lives, offset), sub };
  if (sub === 0) return { fork: { ...taken, offset }, prefix: [] };
  const after = offset === 0 ? undefined : offset;
  if (!isJson(record.content_type)) {
    const prefix = await bytesAfter(context, source, record, after, sub);
    return { fork: { ...taken, offset }, prefix: [prefix] };
  }
  return {
    fork: { ...taken, offset: await offsetAfter(context, source, record, after, sub) },
    prefix: [],
  };
}

/** The offset of the `count`th message after an offset. Throws 400 when there are fewer. */
async function offsetAfter(
  context: StreamContext,
  source: StreamKey,
  record: StreamRecord,
  after: number | undefined,
  count: number,
): Promise<number> {
  let at = after;
  let erased = 0;
  for (let left = count;;) {
    const page = await readStream(context, source, record, at, erased);
    const found = page.offsets[left - 1];
    if (found !== undefined) return found;
    left -= page.offsets.length;
    [at, erased] = [page.next, page.erased];
    if (page.up_to_date) throw invalid("Stream-Fork-Sub-Offset is beyond the source");
  }
}

/** The first `size_bytes` bytes after an offset. Throws 400 if there are fewer, or the request exceeds the limit. */
async function bytesAfter(
  context: StreamContext,
  source: StreamKey,
  record: StreamRecord,
  after: number | undefined,
  size_bytes: number,
): Promise<Uint8Array> {
  if (size_bytes > context.limits.max_frame_bytes) {
    throw invalid("Stream-Fork-Sub-Offset is too large");
  }
  const messages: Uint8Array[] = [];
  let at = after;
  let erased = 0;
  for (let left = size_bytes;;) {
    const page = await readStream(context, source, record, at, erased);
    messages.push(...page.messages);
    left -= page.messages.reduce((sum, { length }) => sum + length, 0);
    if (left <= 0) return prefixOf(messages, size_bytes);
    [at, erased] = [page.next, page.erased];
    if (page.up_to_date) throw invalid("Stream-Fork-Sub-Offset is beyond the source");
  }
}

async function requireShortChain(
  { records }: Pick<StreamContext, "records">,
  { tenant_id }: StreamKey,
  record: StreamRecord,
): Promise<void> {
  let { fork } = record;
  for (let length = 1; fork !== undefined; length++) {
    if (length >= CHAIN_MAX) throw new StreamRefusal("stream-too-many", "forks of forks");
    fork = (await records.get({ tenant_id, room_id: fork.room }))?.record.fork;
  }
}

/** Records a fork in its source's record, which then outlives its own deletion. Throws 404, 409 and 429. */
async function joinSource(
  { records }: Pick<StreamContext, "records">,
  key: StreamKey,
  { id }: StreamRecord,
  fork: ForkStart["fork"],
): Promise<void> {
  const source: StreamKey = { tenant_id: key.tenant_id, room_id: fork.room };
  for (;;) {
    const found = await records.get(source);
    if (found === undefined || found.record.id !== fork.id) {
      throw new StreamRefusal("stream-not-found", "the source");
    }
    if (found.record.gone) throw new StreamRefusal("stream-forked", "the source");
    const forks = [...found.record.forks, `${key.room_id}/${id}`];
    if (forks.length > FORKS_MAX) throw new StreamRefusal("stream-too-many", "forks of one stream");
    if (await records.put(source, { ...found.record, forks }, found.revision) !== undefined) return;
  }
}
