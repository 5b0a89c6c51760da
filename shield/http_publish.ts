/**
 * `POST /v1/rooms/{room}/messages`: the HTTP twin of PUB for backends. JSON or Protobuf body, the
 * same pipeline and the same codes; the body is bounded while it is read.
 */
import { ArqonError, decodeClientText, encodeTextAck, scanEnvelope, writeAck } from "@arqon/proto";
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import { parseTraceparent, TRACEPARENT } from "../shared/telemetry/trace_context.ts";
import { command } from "./command.ts";
import { EMPTY_ACK } from "./request_ref.ts";
import type { Limits } from "./connection.ts";
import { HISTORY_GET } from "./durable/history_query.ts";
import type { FlushQueue } from "./flush_queue.ts";
import type { HttpContext } from "./http.ts";
import { HttpRates } from "./http_rates.ts";
import { publish, requireRoomId } from "./pipeline.ts";
import type { MessagePath } from "./pipeline.ts";
import type { Caller } from "./policy/overseer.ts";
import type { RateTable } from "./rates.ts";
import { policyHeaders } from "./request_headers.ts";
import { bump } from "./stats.ts";
import { clientTraceId } from "./trace_parent.ts";
import type { ShieldStats } from "./stats.ts";
import type { TenantTable } from "./tenant_stats.ts";

const PROTOBUF = ["application/protobuf", "application/x-protobuf"];

/** The same parts that publish for sockets, so that HTTP gets the same answers. */
export interface HttpPublishContext {
  readonly path: MessagePath;
  readonly flushes: FlushQueue;
  readonly limits: Limits;
  /** What users and tenants may send, shared with their connections. */
  readonly rates: Pick<RateTable, "open">;
  readonly stats: ShieldStats;
  readonly tenants: Pick<TenantTable, "of">;
  /** The command `history.get`. */
  readonly history: (caller: Caller, envelope: ScannedEnvelope) => Promise<Ack>;
}

/** Answers 200 with the Ack, in the form of the request. Rejects with a refusal. */
export function createHttpPublish(
  context: HttpPublishContext,
): HttpContext["publish"] {
  const rates = new HttpRates(context.rates, context.path.now);
  return async (request, client, room) => {
    const { identity } = client;
    requireRoomId(room);
    const protobuf = isProtobuf(request);
    const body = await readBody(request, context.limits.max_frame_bytes);
    context.stats.ingress_bytes += body.length;
    bump(context.stats.ingress_ops, "http_publish");
    const tenant = context.tenants.of(identity.tenant_id);
    tenant.ingress_messages++;
    tenant.ingress_bytes += body.length;
    rates.take(identity, body.length);
    const sent = protobuf
      ? inRoom(scanEnvelope(body, context.limits), room)
      : readJson(body, room, context.limits);
    const envelope = inTrace(context.path, sent, request.headers);
    const caller = {
      ...client,
      // Policies see the publishes of one user as those of one connection.
      connection_id: `http:${identity.user_key}`,
      request_headers: policyHeaders(request.headers),
    };
    const ack = await run(context, caller, envelope);
    return protobuf
      ? new Response(new Uint8Array(writeAck(ack)), {
        // A command that the Brain refused has the Brain's code, as any other refusal has its own.
        status: ack.code === 0 ? 200 : ack.code,
        headers: { "content-type": "application/protobuf" },
      })
      : new Response(encodeTextAck(ack), { headers: { "content-type": "application/json" } });
  };
}

async function run(
  context: HttpPublishContext,
  caller: Caller,
  envelope: ScannedEnvelope,
): Promise<Ack> {
  if (envelope.command?.name === HISTORY_GET) return await context.history(caller, envelope);
  if (envelope.command !== undefined) {
    const { command_timeout_ms: timeout_ms } = context.limits;
    return await command(context.path, caller, envelope, { timeout_ms });
  }
  const stored = await publish(context.path, { caller, origin: undefined }, envelope);
  const ack = { ...EMPTY_ACK, request_id: envelope.request_id };
  if (stored !== undefined) return { ...ack, offset: stored.offset };
  await new Promise<void>((resolve, reject) => {
    context.flushes.push((error) => error === undefined ? resolve() : reject(error));
  });
  return ack;
}

function isProtobuf(request: Request): boolean {
  const header = request.headers.get("content-type") ?? "";
  const type = (header.split(";")[0] ?? "").trim().toLowerCase();
  if (PROTOBUF.includes(type)) return true;
  if (type === "application/json") return false;
  throw new ArqonError("unsupported-media-type", JSON.stringify(type.slice(0, 100)));
}

/** Counts while it reads: a Content-Length may lie or be absent. */
async function readBody(request: Request, bytes_max: number): Promise<Uint8Array> {
  const tooLarge = () => new ArqonError("too-large", `a body over ${bytes_max} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > bytes_max) throw tooLarge();
  const body = new Uint8Array(new ArrayBuffer(0, { maxByteLength: bytes_max }));
  if (request.body === null) return body;
  let size_bytes = 0;
  try {
    for await (const chunk of request.body) {
      if (size_bytes + chunk.length > bytes_max) throw tooLarge();
      body.buffer.resize(size_bytes + chunk.length);
      body.set(chunk, size_bytes);
      size_bytes += chunk.length;
    }
  } catch (cause) {
    if (cause instanceof ArqonError) throw cause;
    // A client that leaves in the middle is no bug of ours.
    throw new ArqonError("malformed-body", "it ended early", { cause });
  }
  return body.slice();
}

function inRoom(envelope: ScannedEnvelope, room: string): ScannedEnvelope {
  if (envelope.room_id !== "" && envelope.room_id !== room) {
    throw new ArqonError("invalid-field", "room_id differs from the room of the path");
  }
  return { ...envelope, room_id: room };
}

/** The request's `traceparent` is the message's, unless that has a trace of its own. */
function inTrace(
  { traces }: MessagePath,
  envelope: ScannedEnvelope,
  headers: Headers,
): ScannedEnvelope {
  const context = parseTraceparent(headers.get(TRACEPARENT) ?? "");
  if (context === undefined || envelope.trace_id !== "") return envelope;
  if (clientTraceId(envelope) !== undefined) return envelope;
  const placed = { ...envelope, trace_id: context.trace_id };
  traces?.place(placed, context);
  return placed;
}

/** The body is the text form of PUB without `op` and `room`, which the path gives. */
function readJson(body: Uint8Array, room: string, limits: Limits): ScannedEnvelope {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch (cause) {
    throw new ArqonError("malformed-body", "not UTF-8", { cause });
  }
  const rest = /^[ \t\r\n]*\{([^]*)$/.exec(text)?.[1];
  if (rest === undefined) {
    throw new ArqonError("malformed-body", 'expected an object such as {"type":"chat","data":{}}');
  }
  const empty = /^[ \t\r\n]*\}/.test(rest);
  const frame = `{"op":"pub","room":${JSON.stringify(room)}${empty ? "" : ","}${rest}`;
  const operation = decodeClientText(frame, limits);
  if (operation.kind === "publish") return operation.envelope;
  throw new ArqonError("malformed-body", "expected a message");
}
