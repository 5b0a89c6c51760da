/**
 * `POST /v1/messages`: many messages, or one for many rooms, in one request. Each is published and
 * answered as if it had come alone: one that is refused stops none behind it. What a batch looks like
 * is `batch_body.ts`.
 */
import { ArqonError, DecodeError, encodeTextAck } from "@arqon/proto";
import type { Ack, ScannedEnvelope, Uint64 } from "@arqon/proto";
import type { Logger } from "../../shared/logs/log.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import { bodyText, readBody, requireJson } from "./http_body.ts";
import type { Identity } from "../auth/identity.ts";
import { storedAck } from "../connection/answers.ts";
import { admit, publishAdmitted } from "../message/pipeline.ts";
import { NONE_ADDED } from "../message/stamp.ts";
import type { MessagePath, Stored } from "../message/pipeline.ts";
import type { Caller } from "../message/caller.ts";
import { EMPTY_ACK } from "../message/request_ref.ts";
import { bump } from "../stats/stats.ts";
import type { ShieldStats } from "../stats/stats.ts";
import { readBatch } from "./batch_body.ts";
import type { BatchItem } from "./batch_body.ts";
import type { CommandContext } from "./command_call.ts";
import { membersOfQuery } from "./members.ts";
import { inRequestTrace } from "./request_trace.ts";
import { httpCaller } from "./route.ts";
import { OWN_ROUTES } from "./own_routes.ts";
import type { ClientCall, ClientRoute } from "./route.ts";

/** What batches need of the process. */
export interface BatchContext extends Omit<CommandContext, "own" | "stats" | "limits"> {
  readonly limits: CommandContext["limits"] & {
    readonly batch_messages: number;
    readonly batch_bytes: number;
  };
  readonly flushes: FlushQueue;
  readonly stats: Pick<ShieldStats, "ingress_bytes" | "ingress_ops" | "rejects">;
  readonly log: Pick<Logger, "error">;
}

/**
 * How many messages are published before other work gets a turn: a batch must not hold up the sockets
 * of the process.
 */
export const TURN_MESSAGES = 64;

/** A message that was passed on: to a log, whose answer is awaited, or to the Spine. */
interface Passed {
  readonly stored: Promise<Stored> | undefined;
}

/** Makes the route that publishes messages in many rooms at once. */
export function batchRoute(context: BatchContext): ClientRoute {
  return { ...OWN_ROUTES.publishMany, answer: (call) => answer(context, call) };
}

async function answer(context: BatchContext, call: ClientCall): Promise<Response> {
  const { request, client: { identity }, url } = call;
  const { limits, stats, tenants, query_token } = context;
  requireJson(request);
  const body = await readBody(request, limits.batch_bytes);
  bump(stats.ingress_ops, "http_batch");
  stats.ingress_bytes += body.length;
  tenants.of(identity.tenant_id).ingress_bytes += body.length;
  let items: BatchItem[];
  try {
    membersOfQuery(url, [], query_token ? ["access_token"] : []);
    items = readBatch(bodyText(body), limits);
  } catch (error) {
    // A batch that makes no sense counts as one request; the messages of any other count one by one.
    context.rates.take(identity, body.length);
    throw error;
  }
  const acks = await publishAll(context, call, items);
  const refused = acks.filter(({ code }) => code !== 0).length;
  const text = `{"results":[${acks.map(encodeTextAck).join(",")}],"refused":${refused}}`;
  const headers = { "content-type": "application/json", "cache-control": "no-store" };
  return new Response(text, { headers });
}

/**
 * Publishes messages one after another, so that a room's messages stay in order; their answers come
 * together.
 */
async function publishAll(
  context: BatchContext,
  { request, client }: ClientCall,
  items: readonly BatchItem[],
): Promise<Ack[]> {
  const caller = httpCaller(client, request.headers);
  const acks: Promise<Ack>[] = [];
  for (const [index, item] of items.entries()) {
    if (index % TURN_MESSAGES === TURN_MESSAGES - 1) await nextTurn();
    let request_id: Uint64 = 0;
    const refused = (error: unknown) => refusal(context, caller.identity, request_id, error);
    try {
      const envelope = readItem(context, caller.identity, item, request.headers);
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
  identity: Identity,
  item: BatchItem,
  headers: Headers,
): ScannedEnvelope {
  bump(stats.ingress_ops, "http_publish");
  tenants.of(identity.tenant_id).ingress_messages++;
  rates.take(identity, item.size_bytes);
  if (item.size_bytes > max_frame_bytes) {
    throw new ArqonError("too-large", `a message over ${max_frame_bytes} bytes`);
  }
  return inRequestTrace(path, item.read(), headers);
}

async function pass(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
): Promise<Passed> {
  const added = await admit(path, caller, envelope) ?? NONE_ADDED;
  return {
    stored: publishAdmitted(path, { caller, origin: undefined }, envelope, added, path.now()),
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

/**
 * Counts a refusal as any other. An error that is no refusal is a bug, and is logged without what the
 * client sent.
 */
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

/** Gives other work a turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
