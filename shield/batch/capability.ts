/**
 * The batch capability of a Shield: `POST /v1/messages`, many messages, or one for many rooms, in one request. Each is
 * published and answered separately: a refused one does not stop the next ones.
 */
import type { Capability } from "../capability.ts";
import { HttpRates } from "../rates/http_rates.ts";
import { ArqonError, decodeClientText, DecodeError, encodeTextAck, jsonItems } from "@arqon/proto";
import type { Ack, ScannedEnvelope, Uint64 } from "@arqon/proto";
import type { Logger } from "../../shared/logs/log.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import { bodyText, objectWith, requireJson } from "../http/http_body.ts";
import type { Identity } from "../auth/identity.ts";
import { requireToken, type TokenCheck } from "../auth/revocations.ts";
import { storedAck } from "../connection/answers.ts";
import { admit, type MessagePath, publishAdmitted, type Stored } from "../message/pipeline.ts";
import { NONE_ADDED } from "../message/stamp.ts";
import type { Caller } from "../message/caller.ts";
import { EMPTY_ACK } from "../message/request_ref.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";
import type { CommandContext } from "../http/command_call.ts";
import { membersOfQuery, objectText } from "../http/members.ts";
import { httpCaller, inRequestTrace } from "../http/route.ts";
import type { ClientCall, ClientRoute, DescribedRoute } from "../http/route.ts";
import { all, EVENT, only, POSITION, RECEIPT } from "../http/openapi_answers.ts";
import { COUNT, ID, list, object, ref, type Schema, TEXT } from "../openapi/openapi_parts.ts";
import { plural } from "../../shared/plural.ts";
import { slice } from "../../shared/turns/slices.ts";
import type { Limits } from "../../shared/config/schema.ts";

/** Many messages, or one for many rooms. */
const BODY: Schema = {
  oneOf: [
    only(
      object({ messages: { ...list(object({ room: ID, ...EVENT }, all(EVENT))), minItems: 1 } }),
    ),
    only(object({ rooms: { ...list(ID), minItems: 1, uniqueItems: true }, ...EVENT }, all(EVENT))),
  ],
};

/** The route and its description. */
const PUBLISH_MANY = {
  method: "POST",
  template: "/v1/messages",
  about: {
    id: "publishMany",
    tag: "messages",
    summary: "Publishes many messages, or one message to many rooms; each gets its own answer",
    body: { schema: BODY },
    answer: ref("BatchAnswer"),
  },
} satisfies DescribedRoute;

/** The schemas to which the route refers. */
const BATCH_SCHEMAS: Readonly<Record<string, Schema>> = {
  Ack: object({
    op: { const: "ack" },
    id: POSITION,
    code: COUNT,
    reason: TEXT,
    message: TEXT,
    offset: POSITION,
    retry_after_ms: COUNT,
    result: RECEIPT,
  }, ["reason", "message", "offset", "retry_after_ms", "result"]),
  BatchAnswer: object({ results: list(ref("Ack")), refused: COUNT }),
};

/** The path of messages over HTTP, with the limits of one request. */
export interface BatchContext extends TokenCheck, Omit<CommandContext, "own" | "stats" | "limits"> {
  readonly limits: CommandContext["limits"] & {
    readonly batch_messages: number;
    readonly batch_bytes: number;
  };
  readonly flushes: FlushQueue;
  readonly stats: Pick<ShieldStats, "ingress_bytes" | "ingress_ops" | "rejects">;
  readonly log: Pick<Logger, "error">;
}

/** A published message: its log's answer is pending, or the Spine has it. */
interface Passed {
  readonly stored: Promise<Stored> | undefined;
}

/** Makes the route that publishes messages in many rooms at once. */
export function batchRoute(context: BatchContext): ClientRoute {
  return { ...PUBLISH_MANY, answer: (call) => answer(context, call) };
}

async function answer(context: BatchContext, call: ClientCall): Promise<Response> {
  const { request, client: { identity }, url } = call;
  const { limits, stats, tenants, query_token } = context;
  requireJson(request);
  const body = await call.body(limits.batch_bytes);
  bump(stats.ingress_ops, "http_batch");
  stats.ingress_bytes += body.length;
  tenants.of(identity.tenant_id).ingress_bytes += body.length;
  let items: BatchItem[];
  try {
    membersOfQuery(url, [], query_token ? ["access_token"] : []);
    items = readBatch(bodyText(body), limits);
  } catch (error) {
    // An invalid batch counts as one request; the messages of a valid one count individually.
    context.rates.take(identity, body.length);
    throw error;
  }
  const acks = await publishAll(context, call, items);
  const refused = acks.filter(({ code }) => code !== 0).length;
  const text = `{"results":[${acks.map(encodeTextAck).join(",")}],"refused":${refused}}`;
  const headers = { "content-type": "application/json", "cache-control": "no-store" };
  return new Response(text, { headers });
}

/** Publishes messages sequentially, so that a room's messages stay in order; their answers arrive together. */
async function publishAll(
  context: BatchContext,
  { request, client }: ClientCall,
  items: readonly BatchItem[],
): Promise<Ack[]> {
  const caller = httpCaller(client, request.headers);
  const acks: Promise<Ack>[] = [];
  for (const item of items) {
    await slice(caller.identity.tenant_id);
    let request_id: Uint64 = 0;
    const refused = (error: unknown) => refusal(context, caller.identity, request_id, error);
    try {
      // It may have ended while policies judged those before.
      requireToken(context, caller.identity);
      const envelope = readItem(context, caller, item);
      request_id = envelope.request_id;
      const { stored } = await pass(context.path, caller, envelope);
      acks.push(acknowledged(context, request_id, stored).catch(refused));
    } catch (error) {
      acks.push(Promise.resolve(refused(error)));
    }
  }
  return await Promise.all(acks);
}

function readItem(
  { stats, tenants, rates, path, limits: { max_frame_bytes } }: BatchContext,
  caller: Caller,
  item: BatchItem,
): ScannedEnvelope {
  const { identity } = caller;
  bump(stats.ingress_ops, "http_publish");
  tenants.of(identity.tenant_id).ingress_messages++;
  rates.take(identity, item.size_bytes);
  if (item.size_bytes > max_frame_bytes) {
    throw new ArqonError("too-large", `a message over ${max_frame_bytes} bytes`);
  }
  return inRequestTrace(path, item.read(), caller);
}

async function pass(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
): Promise<Passed> {
  const added = await admit(path, caller, envelope) ?? NONE_ADDED;
  return {
    stored: publishAdmitted(path, caller, undefined, envelope, added, path.now()),
  };
}

async function acknowledged(
  { flushes }: BatchContext,
  request_id: Uint64,
  stored: Passed["stored"],
): Promise<Ack> {
  const ack = { ...EMPTY_ACK, request_id };
  if (stored !== undefined) return { ...ack, ...storedAck(await stored) };
  await flushes.confirmed();
  return ack;
}

/** Counts and returns a refusal. Any other error is a bug, and is logged without the client's data. */
function refusal(
  { stats, tenants, log }: BatchContext,
  identity: Identity,
  request_id: Uint64,
  error: unknown,
): Ack {
  const known = error instanceof ArqonError ? error : new ArqonError("internal");
  if (known !== error) log.error("a message of a batch failed", { error });
  bump(stats.rejects, known.reason);
  tenants.of(identity.tenant_id).rejects++;
  const { code, reason, message, retry_after_ms } = known;
  const named = error instanceof DecodeError ? error.request_id ?? request_id : request_id;
  return { ...EMPTY_ACK, request_id: named, code, reason, message, retry_after_ms };
}

// The body of `POST /v1/messages`: a list of messages, or one message for many rooms. The whole body is parsed
// strictly; an invalid message of a list is refused alone.

interface BatchItem {
  readonly size_bytes: number;
  /** Reads the message. Throws a `DecodeError` or `malformed-body`. */
  readonly read: () => ScannedEnvelope;
}

const utf8 = new TextEncoder();
const EXAMPLE = '{"messages":[{"room":"lobby","type":"chat","data":{}}]}';
const ITEM_EXAMPLE = '{"room":"lobby","type":"chat","data":{}}';

function malformed(detail: string): ArqonError {
  return new ArqonError("malformed-body", detail);
}

/**
 * The messages in their order, at least one. Throws for an invalid batch: `malformed-body`, `unknown-field`,
 * `repeated-field`, and `too-large` (413) for too many messages.
 */
function readBatch(
  text: string,
  limits: Limits & { readonly batch_messages: number },
): BatchItem[] {
  const members = objectText(text);
  const messages = members.get("messages");
  const items = messages === undefined
    ? toRooms(members, limits)
    : ofList(messages, members, limits);
  if (items.length === 0) throw malformed("a batch without a message");
  return items;
}

type BatchLimits = Parameters<typeof readBatch>[1];

function itemsOf(name: string, text: string, { batch_messages }: BatchLimits): string[] {
  if (!text.startsWith("[")) throw malformed(`"${name}" must be a list`);
  const tooMany = () =>
    new ArqonError(
      "too-large",
      `more than ${plural(batch_messages, "message")} (limits.batch_messages)`,
    );
  const spans = jsonItems(text, 0, batch_messages, tooMany);
  return spans.map(({ start, end }) => text.slice(start, end));
}

function ofList(
  list: string,
  members: ReadonlyMap<string, string>,
  limits: BatchLimits,
): BatchItem[] {
  for (const name of members.keys()) {
    if (name === "messages") continue;
    const shown = JSON.stringify(name.slice(0, 64));
    throw new ArqonError("unknown-field", `${shown}; "messages" excludes other members`);
  }
  return itemsOf("messages", list, limits).map((text) => ({
    size_bytes: utf8.encode(text).length,
    read: () => envelopeOf(objectWith('{"op":"pub"', text, ITEM_EXAMPLE), limits),
  }));
}

/** The members beside `rooms` are the message; it is decoded once. */
function toRooms(members: ReadonlyMap<string, string>, limits: BatchLimits): BatchItem[] {
  const list = members.get("rooms");
  if (list === undefined) throw malformed(`expected "messages", or "rooms"; such as ${EXAMPLE}`);
  if (members.has("room")) {
    throw new ArqonError("unknown-field", '"room"; "rooms" excludes it');
  }
  const rooms = new Set<string>();
  for (const [index, item] of itemsOf("rooms", list, limits).entries()) {
    const room = roomOf(item, index);
    const shown = JSON.stringify(room.slice(0, 64));
    if (rooms.has(room)) throw malformed(`rooms[${index}] is ${shown} again`);
    rooms.add(room);
  }
  const rest = [...members].filter(([name]) => name !== "rooms")
    .map(([name, value]) => `${JSON.stringify(name)}:${value}`);
  const frame = `{${['"op":"pub"', ...rest].join(",")}}`;
  const envelope = envelopeOf(frame, limits);
  // Each room gets its own message object, as some code stores data by message object.
  return Array.from(rooms, (room_id) => ({
    size_bytes: envelope.size_bytes,
    read: () => ({ ...envelope, room_id }),
  }));
}

function roomOf(text: string, index: number): string {
  const value: unknown = JSON.parse(text);
  if (typeof value === "string") return value;
  throw malformed(`rooms[${index}] must be a string`);
}

function envelopeOf(frame: string, limits: Limits): ScannedEnvelope {
  const operation = decodeClientText(frame, limits);
  if (operation.kind === "publish") return operation.envelope;
  throw malformed("expected a message");
}

/** The capability, for a Shield's list. */
export const BATCH: Capability = {
  name: "batch",
  title: "many messages in one request",
  client: {
    described: [PUBLISH_MANY],
    schemas: BATCH_SCHEMAS,
    routes: ({ config: { limits, auth: { query_token } }, now, log }, parts) => {
      const { operations: { context }, stats, tenants } = parts;
      const rates = new HttpRates(parts.rates, now);
      return [batchRoute({ ...context, limits, stats, tenants, rates, query_token, log })];
    },
  },
};
