/**
 * The commands of growing messages: a message of a durable room is written piece by piece, received as it grows, and
 * stored whole at its end. A piece is stored before anybody receives it. `requests.ts` parses commands;
 * `message_end.ts` ends messages.
 */
import { type Ack, ArqonError, type ScannedEnvelope, utf8Size } from "@arqon/proto";
import { requireEventType } from "../auth/authorize.ts";
import type { Identity } from "../auth/identity.ts";
import type { Caller } from "../message/caller.ts";
import { answered } from "../message/command.ts";
import { EMPTY_ACK } from "../message/request_ref.ts";
import { type GrowingContext, requirePlace, requirePossible, requireUnfiltered } from "./places.ts";
import { judgedWithEnding, judgedWithPiece } from "./policy_verdict.ts";
import type { Changed, JudgingContext } from "./policy_verdict.ts";
import { type Ending, endingText, type GrowingRecord, releasedText, startOf } from "./record.ts";
import type { Found, GrowingKey } from "./records.ts";
import { type GrowingRequest, requestOf } from "./requests.ts";
import type { StoredMessage } from "../../shared/spine/contract/read_page.ts";
import { givenTraceId } from "../../shared/telemetry/trace_parent.ts";
import { callerOf, type Ended, type Ender, endingOf, findEnded, settle } from "./message_end.ts";
import type { GrowingStats } from "./stats.ts";
import { tellPiece, tellStart, viewOf } from "./reader_events.ts";

type Request<Verb extends GrowingRequest["verb"]> = Extract<GrowingRequest, { verb: Verb }>;
/** The result of a command, as JSON. */
type Result = Readonly<Record<string, unknown>> & { readonly offset?: number | undefined };

const SHOWN: readonly GrowingRequest["verb"][] = ["append", "get"];
const ENDING: readonly GrowingRequest["verb"][] = ["finish", "abort", "stop"];

/** The longest time since the end of a message within which its log is searched for it, in ms. */
const ENDED_MS = 600_000;
/** The most messages of the room that are searched for an id: an unknown id must not read the whole log. */
const ENDED_MESSAGES = 4_096;

interface Order {
  readonly context: GrowingContext;
  readonly caller: Ender;
  readonly key: GrowingKey;
}

/** Answers a command whose name begins with `growing.`; rejects with the refusal. */
export async function answerGrowing(
  context: GrowingContext,
  caller: Caller,
  envelope: ScannedEnvelope,
): Promise<Ack> {
  const { room_id, request_id } = envelope;
  return await answered(context.path, caller, envelope, async (room_class) => {
    const request = requestOf(envelope);
    if (!room_class.durable && !await isEnding(context, caller, room_id, request)) {
      throw new ArqonError("not-durable", room_id);
    }
    // The class may have got its filter while the message grows.
    if (SHOWN.includes(request.verb)) {
      requireUnfiltered(context, caller.identity.tenant_id, room_id);
    }
    const asking = { ...caller, trace_id: givenTraceId(envelope) };
    const reply = await answer(context, asking, room_id, request);
    const result = new TextEncoder().encode(JSON.stringify(reply));
    return { ...EMPTY_ACK, request_id, result, offset: reply.offset ?? 0 };
  });
}

/** Whether it ends a message that began before its room's class changed. */
async function isEnding(
  { records }: GrowingContext,
  { identity: { tenant_id } }: Caller,
  room_id: string,
  request: GrowingRequest,
): Promise<boolean> {
  if (!ENDING.includes(request.verb) || !("id" in request)) return false;
  return await records.get({ tenant_id, room_id, id: request.id }) !== undefined;
}

function answer(
  context: GrowingContext,
  caller: Ender,
  room_id: string,
  request: GrowingRequest,
): Promise<Result> {
  const { tenant_id } = caller.identity;
  const key = { tenant_id, room_id, id: "id" in request ? request.id : "" };
  const order = { context, caller, key };
  switch (request.verb) {
    case "start":
      return start(order, request);
    case "append":
      return append(order, request);
    case "finish":
      return finish(order, request);
    case "abort":
      return abort(order, request);
    case "stop":
      return end(order, "stopped", () => ({ reason: request.reason, is_kept: true }), true);
    case "list":
      return list(context, key);
    case "get":
      return get(context, key);
    case "outcome":
      return outcome(order);
    default:
      return request satisfies never;
  }
}

async function start(
  { context, caller: { identity }, key }: Order,
  { type, content_type }: Request<"start">,
): Promise<Result> {
  const { path, logTime, records, stats } = context;
  requirePossible(context, identity, key.room_id);
  // Otherwise the finished message would be refused after its readers have received all of it.
  requireEventType(identity.role, type);
  const { idle_ms, message_bytes } = context.bounds();
  const { user_id, user_key, issuer, role } = identity;
  const now_ms = await logTime(key.tenant_id);
  let is_new = false;
  const found = await records.change(key, async (before) => {
    is_new = before === undefined;
    if (before !== undefined) {
      requireProducer(identity, key, before.record);
      requireGrowing(before.record);
      return undefined;
    }
    await requirePlace(context, key);
    return {
      format: 1,
      type,
      content_type,
      producer: { user_id, user_key, issuer, role },
      text: "",
      seq: 0,
      started_ms: now_ms,
      active_ms: now_ms,
      ending: null,
    };
  });
  const { record } = found!;
  if (is_new) {
    stats.started();
    tellStart(path, key, record);
  }
  const { seq, started_ms } = record;
  return { id: key.id, seq, started_ms, idle_ms, message_bytes };
}

async function append(
  { context, caller, key }: Order,
  { seq, text }: Request<"append">,
): Promise<Result> {
  const { path, logTime, records, stats } = context;
  const now_ms = await logTime(key.tenant_id);
  const piece = seq === undefined || text === undefined ? undefined : { seq, text };
  let is_new = false;
  let piece_text = "";
  let refusal: ArqonError | undefined;
  const found = await records.change(key, async (before) => {
    const { record } = await requireFound(context, key, before);
    requireProducer(caller.identity, key, record);
    requireGrowing(record);
    is_new = piece !== undefined && piece.seq > record.seq;
    if (piece === undefined) return { ...record, active_ms: now_ms };
    if (!is_new) {
      if (piece.seq === record.seq) piece_text = releasedText(record, piece);
      return undefined;
    }
    const changed = await boundedBy(
      stats,
      judgedWithPiece(judging(context, now_ms), caller, key, record, piece),
    );
    refusal = changed.refusal;
    piece_text = changed.record.text.slice(record.text.length);
    return changed.record;
  });
  const { record } = found!;
  await settleRefused(context, key, found!, refusal);
  if (piece !== undefined) {
    if (is_new) stats.piece(utf8Size(piece.text));
    // Its first notice may have been lost: readers that received it recognize the number.
    if (piece.seq === record.seq) tellPiece(path, key, { seq: piece.seq, text: piece_text });
  }
  return { id: key.id, seq: record.seq };
}

const judging = ({ overseer, stats, bounds }: GrowingContext, now_ms: number): JudgingContext => ({
  overseer,
  stats,
  bounds,
  now_ms,
});

async function boundedBy(stats: GrowingStats, changed: Promise<Changed>): Promise<Changed> {
  try {
    return await changed;
  } catch (error) {
    if (error instanceof ArqonError && error.reason === "message-too-large") stats.bound("message");
    throw error;
  }
}

/** If policies have ended the message, completes its end, and throws its producer's refusal. */
async function settleRefused(
  context: GrowingContext,
  key: GrowingKey,
  found: Found,
  refusal: ArqonError | undefined,
): Promise<void> {
  if (refusal === undefined) return;
  // If this fails, the sweep completes it: the message has ended.
  await settle(context, key, found as Ended).catch(() => {});
  throw refusal;
}

async function finish(order: Order, { seq }: Request<"finish">): Promise<Result> {
  const { context, caller, key } = order;
  const found = await context.records.get(key);
  if (found === undefined) {
    // The answer to the first attempt was lost.
    const stored = await lately(context, key);
    if (stored !== undefined && endingOf(stored).outcome === "finished") {
      return { id: key.id, outcome: "finished", offset: stored.offset };
    }
  }
  return await end(order, "finished", (record) => {
    requireProducer(caller.identity, key, record);
    if (seq !== undefined && seq !== record.seq) {
      throw new ArqonError("growing-conflict", `finish at ${seq}; the last piece is ${record.seq}`);
    }
    return { reason: "", is_kept: true };
  });
}

async function abort(order: Order, { reason, keep }: Request<"abort">): Promise<Result> {
  return await end(order, "aborted", (record) => {
    requireProducer(order.caller.identity, order.key, record);
    return { reason, is_kept: keep };
  });
}

/**
 * Ends a message by `decide`, which may throw the refusal; a message with the same end, or with any end if `any_end` is
 * set, is completed.
 */
async function end(
  { context, caller, key }: Order,
  outcome: Ending["outcome"],
  decide: (record: GrowingRecord) => Pick<Ending, "reason" | "is_kept">,
  any_end = false,
): Promise<Result> {
  const { records } = context;
  const { user_id: by, user_key } = caller.identity;
  const at_ms = await context.logTime(key.tenant_id);
  let refusal: ArqonError | undefined;
  const found = await records.change(key, async (before) => {
    const { record } = await requireFound(context, key, before);
    const decided = decide(record);
    if (record.ending !== null) {
      if (!any_end && record.ending.outcome !== outcome) requireGrowing(record);
      return undefined;
    }
    const ending = { outcome, by, at_ms, ...decided };
    const producer = record.producer.user_key === user_key ? caller : callerOf(key, record);
    const changed = await judgedWithEnding(judging(context, at_ms), producer, key, record, ending);
    refusal = changed.refusal;
    return changed.record;
  });
  await settleRefused(context, key, found!, refusal);
  const ended = found as Ended;
  const is_own = ended.record.producer.user_key === user_key;
  const offset = await settle(context, key, ended, is_own ? caller : undefined);
  return { id: key.id, outcome: ended.record.ending.outcome, offset };
}

async function list(context: GrowingContext, { tenant_id, room_id }: GrowingKey): Promise<Result> {
  const keys = await context.records.list(tenant_id, room_id);
  const found = await Promise.all(keys.map(async (key) => {
    const one = await context.records.get(key);
    // An ending message exists until its readers are notified.
    return one && viewOf(key, one.record);
  }));
  return { messages: found.filter((one) => one !== undefined) };
}

async function get(context: GrowingContext, key: GrowingKey): Promise<Result> {
  const { records } = context;
  const { record } = await requireFound(context, key, await records.get(key));
  const text = await records.textOf(key, record);
  if (text !== undefined) return { ...viewOf(key, record), text };
  // It has ended meanwhile.
  await requireFound(context, key, await records.get(key));
  throw new ArqonError("spine-unavailable", `parts of ${key.id} are missing`);
}

/**
 * The outcome of a message, for a producer that may not read it. Throws `growing-conflict` while it grows, and
 * `growing-unknown` if nothing of it is known.
 */
async function outcome({ context, caller, key }: Order): Promise<Result> {
  const { id, room_id } = key;
  const found = await context.records.get(key);
  if (found === undefined) {
    const stored = await lately(context, key);
    if (stored === undefined) {
      throw new ArqonError("growing-unknown", `nothing is known of ${id} in ${room_id}`);
    }
    const started_ms = startOf(stored.envelope.message_id);
    return { id, started_ms, ...endingOf(stored), offset: stored.offset };
  }
  const { record } = found;
  requireProducer(caller.identity, key, record);
  if (record.ending === null) throw new ArqonError("growing-conflict", `${id} still grows`);
  const offset = await settle(context, key, found as Ended, caller);
  const { started_ms, ending: { outcome, reason } } = record;
  return { id, started_ms, outcome, reason, offset };
}

/** Throws `growing-ended`, with the outcome, or `growing-unknown`, if there is no record. */
async function requireFound(
  context: GrowingContext,
  key: GrowingKey,
  found: Found | undefined,
): Promise<Found> {
  if (found !== undefined) return found;
  const stored = await lately(context, key);
  if (stored === undefined) {
    throw new ArqonError("growing-unknown", `${key.id} does not grow in ${key.room_id}`);
  }
  throw new ArqonError("growing-ended", `${key.id}: ${endingText(endingOf(stored))}`);
}

/** The message with that id that ended recently, in its room's log. */
async function lately(
  context: GrowingContext,
  key: GrowingKey,
): Promise<StoredMessage | undefined> {
  const since_ms = await context.logTime(key.tenant_id) - ENDED_MS;
  return await findEnded(context, key, since_ms, ENDED_MESSAGES);
}

function requireProducer(
  { user_key }: Identity,
  { id }: GrowingKey,
  { producer }: GrowingRecord,
): void {
  if (producer.user_key === user_key) return;
  throw new ArqonError("growing-forbidden", `${id} is ${producer.user_id}'s`);
}

function requireGrowing({ ending }: GrowingRecord): void {
  if (ending === null) return;
  throw new ArqonError("growing-ended", endingText(ending));
}
