/**
 * POST: appends to a stream, and closes it. `request.ts` parses headers, `send.ts` stores messages.
 *
 * A producer's append is noted in the record before its messages are stored, under ids that make a repetition harmless:
 * any process that finds it incomplete completes it, and an older epoch is fenced by the record. A plain append is
 * stored and then compared with the record: if the stream was closed or removed meanwhile, the answer says so, and the
 * message is erased.
 */
import { utf8Size } from "@arqon/proto";
import type { Caller } from "../message/caller.ts";
import { messageIdOf, storedOf } from "./append_memory.ts";
import { mediaOf, messagesOf } from "./content.ts";
import type { StreamContext } from "./context.ts";
import { findStream, finishClosing, lookUp } from "./lifecycle.ts";
import { requireRoom } from "./population.ts";
import { tailOf } from "./read.ts";
import { isSameTuple, sequence, withProducer } from "./record.ts";
import type { Found, ProducerState, ProducerTuple, StreamKey, StreamRecord } from "./record.ts";
import { HEADER, invalid, StreamRefusal } from "./answers.ts";
import type { AppendRequest } from "./request.ts";
import { admitAll, send } from "./send.ts";
import type { Admitted } from "./send.ts";

/** The result of an append. */
export interface AppendOutcome {
  /** The offset before the next message. */
  readonly offset: number;
  readonly closed: boolean;
  /** The last accepted sequence of the producer; undefined without a producer. */
  readonly producer: { readonly epoch: number; readonly seq: number } | undefined;
  /** Whether an earlier request has done it. */
  readonly duplicate: boolean;
}

interface Appending {
  readonly key: StreamKey;
  readonly caller: Caller;
  readonly request: AppendRequest;
  readonly body: Uint8Array;
  readonly token: (offset: number) => Promise<string>;
}

/** The most bytes of a producer in the record beside its name. */
const PRODUCER_BYTES = 160;

/** Producers are stored by name. The prefix excludes the names of `Object.prototype`. */
const producerKey = (id: string): string => `p:${id}`;

/** Appends. Rejects with the protocol's refusals, and with those of all messages. */
export async function append(context: StreamContext, appending: Appending): Promise<AppendOutcome> {
  const { key, request } = appending;
  const { producer, seq, close } = request;
  const run = async () => {
    const admissions: Admissions = new Map();
    for (;;) {
      const outcome = await attempt(context, appending, admissions);
      if (outcome !== undefined) return outcome;
    }
  };
  if (producer === undefined && seq === undefined && !close) return await run();
  return await context.turns.run(`${key.tenant_id}/${key.room_id}`, run);
}

/** The messages of an append as they were admitted, by the id of the stream: all attempts count and judge them once. */
type Admissions = Map<string, Admitted>;

/** Undefined: another process has changed the record meanwhile. */
async function attempt(
  context: StreamContext,
  appending: Appending,
  admissions: Admissions,
): Promise<AppendOutcome | undefined> {
  const { key, request: { producer, close }, body } = appending;
  const found = await findStream(context, key);
  if (found.record.closed !== undefined) return await onClosed(context, appending, found.record);
  const messages = readMessages(context, appending, found.record);
  const state = producer && found.record.producers[producerKey(producer.id)];
  if (producer !== undefined) {
    const known = await judge(context, appending, found.record, state, messages);
    if (known !== undefined) return known;
  }
  requireSequence(appending.request, found.record);
  const { id } = found.record;
  const admitted = admissions.get(id) ??
    await admitFor(context, appending, found.record, messages);
  admissions.set(id, admitted);
  const noted = await note(context, appending, found, messages.length);
  if (noted === undefined) return undefined;
  const outcome = body.length === 0
    ? await tailOf(context, key, noted.record)
    : await store(context, appending, noted.record, admitted, new Set());
  if (producer !== undefined) context.appends.add(noted.record.id, producer);
  const offset = close ? await closeStream(context, key, producer) : outcome;
  return { offset, closed: close, producer, duplicate: false };
}

/** The messages of the body. Throws 400 and 409. */
function readMessages(
  { limits }: Pick<StreamContext, "limits">,
  { request: { content_type, close }, body }: Appending,
  record: StreamRecord,
): Uint8Array[] {
  if (body.length === 0) {
    if (!close) throw invalid("the body is empty");
    return [];
  }
  if (content_type === undefined) throw invalid("Content-Type is missing");
  if (mediaOf(content_type) !== mediaOf(record.content_type)) {
    throw new StreamRefusal("stream-type-differs", record.content_type);
  }
  const options = { messages: limits.batch_messages, may_be_empty: false };
  return messagesOf(body, record.content_type, options);
}

/** Throws 409 unless the `Stream-Seq` is above the last one. */
function requireSequence({ seq }: AppendRequest, { seq: last }: StreamRecord): void {
  if (seq !== undefined && last !== undefined && seq <= last) {
    throw new StreamRefusal("stream-sequence", "Stream-Seq is not above the last one");
  }
}

async function onClosed(
  context: StreamContext,
  { key, request: { producer, close }, body, token }: Appending,
  record: StreamRecord,
): Promise<AppendOutcome> {
  const offset = await tailOf(context, key, record);
  const is_repeated = isSameTuple(record.closed?.by, producer);
  if (is_repeated || producer === undefined && close && body.length === 0) {
    return { offset, closed: true, producer, duplicate: true };
  }
  throw closedRefusal(await token(offset));
}

function closedRefusal(token: string): StreamRefusal {
  const headers = { [HEADER.closed]: "true", [HEADER.next]: token };
  return new StreamRefusal("stream-closed", "", headers);
}

/** The immediate answer to a producer: a refusal, or the result of an earlier append. Undefined: the append is new. */
async function judge(
  context: StreamContext,
  appending: Appending,
  record: StreamRecord,
  state: ProducerState | undefined,
  messages: readonly Uint8Array[],
): Promise<AppendOutcome | undefined> {
  const { key, request: { producer, close } } = appending;
  const tuple = producer!;
  const judged = sequence(state, tuple);
  switch (judged.kind) {
    case "stale":
      throw new StreamRefusal("stream-epoch-stale", "", {
        [HEADER.producer_epoch]: `${judged.epoch}`,
      });
    case "epoch-sequence":
      throw new StreamRefusal("stream-epoch-sequence");
    case "gap":
      throw gapRefusal(judged.expected, tuple.seq);
    case "duplicate": {
      if (judged.is_last) await complete(context, appending, record, state!, messages);
      const closed = judged.is_last && close;
      const offset = closed
        ? await closeStream(context, key, tuple)
        : await tailOf(context, key, record);
      return { offset, closed, producer: { epoch: tuple.epoch, seq: judged.seq }, duplicate: true };
    }
    case "accepted": {
      if (state === undefined || tuple.epoch > state.epoch) return undefined;
      const before: ProducerTuple = { ...tuple, seq: tuple.seq - 1 };
      if (await isComplete(context, key, record, before, state)) return undefined;
      // The previous one was interrupted, and only its producer has its content.
      throw gapRefusal(before.seq, tuple.seq);
    }
    default:
      return judged satisfies never;
  }
}

function gapRefusal(expected: number, received: number): StreamRefusal {
  const headers = { [HEADER.expected_seq]: `${expected}`, [HEADER.received_seq]: `${received}` };
  return new StreamRefusal("stream-sequence", `expected Producer-Seq ${expected}`, headers);
}

/** Whether all messages of a producer's last append are stored, or have been. */
async function isComplete(
  { appends, logs }: StreamContext,
  { tenant_id, room_id }: StreamKey,
  record: StreamRecord,
  tuple: ProducerTuple,
  state: ProducerState,
): Promise<boolean> {
  if (appends.has(record.id, tuple)) return true;
  const stored = await storedOf(await logs.of(tenant_id), room_id, record, tuple, state);
  if (stored !== undefined) return false;
  appends.add(record.id, tuple);
  return true;
}

/** Stores the missing messages of a repeated append. */
async function complete(
  context: StreamContext,
  appending: Appending,
  record: StreamRecord,
  state: ProducerState,
  messages: readonly Uint8Array[],
): Promise<void> {
  const { key: { tenant_id, room_id }, request: { producer } } = appending;
  if (context.appends.has(record.id, producer!)) return;
  const log = await context.logs.of(tenant_id);
  const stored = await storedOf(log, room_id, record, producer!, state);
  if (stored !== undefined && messages.length === state.open.count) {
    const admitted = await admitFor(context, appending, record, messages);
    await store(context, appending, record, admitted, stored);
  }
  context.appends.add(record.id, producer!);
}

/** Records the append, so that it is not done twice; undefined if another process was faster. */
async function note(
  { records, logTime, logs }: StreamContext,
  { key, request: { producer, seq } }: Appending,
  found: Found,
  count: number,
): Promise<Found | undefined> {
  const { record, revision } = found;
  const now_ms = await logTime(key.tenant_id);
  const touched_ms = record.ttl_seconds === undefined ? record.touched_ms : now_ms;
  if (producer === undefined && seq === undefined) {
    if (touched_ms === record.touched_ms) return found;
    // The faster process has touched it as well, or the storing of the messages detects it.
    return await records.put(key, { ...record, touched_ms }, revision) ?? found;
  }
  let { producers } = record;
  if (producer !== undefined) {
    const head = await (await logs.of(key.tenant_id)).head(key.room_id);
    const open = { after: head.last?.offset ?? record.begin, count };
    const state = { epoch: producer.epoch, seq: producer.seq, at_ms: now_ms, open };
    const next = withProducer(producers, producerKey(producer.id), state, now_ms);
    if (next === undefined) throw new StreamRefusal("stream-too-many", "producers of this stream");
    if (record.producers[producerKey(producer.id)] === undefined) {
      await requireRoom(records, key.tenant_id, PRODUCER_BYTES + utf8Size(producer.id));
    }
    producers = next;
  }
  const noted = { ...record, producers, touched_ms, ...(seq === undefined ? {} : { seq }) };
  return await records.put(key, noted, revision);
}

/** Runs every check that may refuse the messages. */
async function admitFor(
  context: StreamContext,
  { key: { room_id }, caller, request: { producer } }: Appending,
  { id, content_type }: StreamRecord,
  messages: readonly Uint8Array[],
): Promise<Admitted> {
  const idOf = (index: number) => producer === undefined ? "" : messageIdOf(id, producer, index);
  return await admitAll(context, { caller, room_id, content_type, idOf }, messages);
}

/** Stores the messages and makes sure that the stream shows them. Throws 409 if it does not. */
async function store(
  context: StreamContext,
  { key, token }: Appending,
  { id }: StreamRecord,
  admitted: Admitted,
  stored: ReadonlySet<number>,
): Promise<number> {
  const isShown = async (offset: number) => {
    const record = (await lookUp(context, key))?.record;
    if (record?.id !== id) throw new StreamRefusal("stream-not-found");
    const end = record.closed?.end;
    if (end !== undefined && offset > end) throw closedRefusal(await token(end));
  };
  return await send(context, admitted, isShown, { leaveOut: stored });
}

/** Closes the stream; resolves with its end. Rejects with 404 if it was deleted meanwhile. */
export async function closeStream(
  context: StreamContext,
  key: StreamKey,
  by: ProducerTuple | undefined,
): Promise<number> {
  for (;;) {
    const found = await findStream(context, key);
    const { record, revision } = found;
    if (record.closed?.end !== undefined) return record.closed.end;
    const closed = by === undefined ? {} : { by };
    const marked = await context.records.put(key, { ...record, closed }, revision);
    const ended = marked && await finishClosing(context, key, marked);
    if (ended?.record.closed?.end !== undefined) return ended.record.closed.end;
  }
}
