/**
 * `POST /v1/rooms/{room}/messages`: the HTTP counterpart of PUB for backends. JSON or Protobuf body, the same pipeline
 * and the same codes; the body is limited while it is read.
 */
import { ArqonError, decodeClientText, encodeTextAck, scanEnvelope, writeAck } from "@arqon/proto";
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import { runCommand } from "../message/command.ts";
import type { CommandContext } from "./command_call.ts";
import { httpCaller, inRequestTrace } from "./route.ts";
import type { ClientHandler } from "./route.ts";
import { bodyText, isProtobufBody, objectWith } from "./http_body.ts";
import { storedAck } from "../connection/answers.ts";
import { EMPTY_ACK } from "../message/request_ref.ts";
import type { Limits } from "../../shared/config/schema.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import { publish } from "../message/pipeline.ts";
import { requireRoomId } from "../../shared/subjects/subject.ts";
import type { Caller } from "../message/caller.ts";
import { takeIngress } from "../rates/http_rates.ts";

/** The parts of the socket's publish path, so that HTTP gives the same answers. */
export interface HttpPublishContext extends Omit<CommandContext, "query_token"> {
  readonly flushes: FlushQueue;
}

/** Makes the handler, which answers 200 with the Ack in the form of the request, and rejects with a refusal. */
export function createHttpPublish(context: HttpPublishContext): ClientHandler {
  return async ({ request, client, body: bodyOf, names: { room = "" } }) => {
    const { identity } = client;
    requireRoomId(room);
    const protobuf = isProtobufBody(request);
    const body = await bodyOf(context.limits.max_frame_bytes);
    takeIngress(context, identity, "http_publish", body.length);
    const sent = protobuf
      ? inRoom(scanEnvelope(body, context.limits), room)
      : readJson(body, room, context.limits);
    const caller = httpCaller(client, request.headers);
    const ack = await run(context, caller, inRequestTrace(context.path, sent, caller));
    return protobuf
      ? new Response(new Uint8Array(writeAck(ack)), {
        // A refusal by the Brain has the Brain's code.
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
  if (envelope.command !== undefined) return await runCommand(context, caller, envelope);
  const stored = await publish(context.path, { caller, origin: undefined }, envelope);
  const ack = { ...EMPTY_ACK, request_id: envelope.request_id };
  if (stored !== undefined) return { ...ack, ...storedAck(stored) };
  await context.flushes.confirmed();
  return ack;
}

function inRoom(envelope: ScannedEnvelope, room: string): ScannedEnvelope {
  if (envelope.room_id !== "" && envelope.room_id !== room) {
    throw new ArqonError("invalid-field", "room_id differs from the room in the path");
  }
  return { ...envelope, room_id: room };
}

/** Reads a body that is the text form of PUB without `op` and `room`; the room is in the path. */
function readJson(body: Uint8Array, room: string, limits: Limits): ScannedEnvelope {
  const start = `{"op":"pub","room":${JSON.stringify(room)}`;
  const frame = objectWith(start, bodyText(body), '{"type":"chat","data":{}}');
  const operation = decodeClientText(frame, limits);
  if (operation.kind === "publish") return operation.envelope;
  throw new ArqonError("malformed-body", "expected a message");
}
