/**
 * The publishers of durable messages in the benchmark: WebSocket clients of a Shield, and a bare JetStream
 * publisher. Both say when a message is stored, and nothing else.
 */
import { decodeServerFrame, encodePub, Opcode, writeEnvelope } from "@arqon/proto";
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-deno";
import type { EchoConnection, EchoTarget, OnEcho } from "../measure/targets.ts";
import { connectSocket } from "../measure/socket.ts";

/** One connection that publishes. `publish` resolves when its message has been acknowledged. */
export interface Publisher {
  publish(room_id: string, body: Uint8Array): Promise<void>;
  close(): void;
}

/** A server to publish to. The connections of `open` share nothing but the server. */
export interface PublishTarget {
  readonly name: string;
  open(): Promise<Publisher>;
}

/** Prefix of message ids, which no other message of this or an earlier process has. */
const PREFIX = crypto.randomUUID().slice(0, 8);
let published = 0;
const messageId = () => `${PREFIX}-${published++}`;

/**
 * Publishers that are clients of a Shield. Each message asks for an ACK, which must have an offset if
 * `is_durable`.
 */
export function shieldTarget(
  name: string,
  url: string,
  token: string,
  is_durable = true,
): PublishTarget {
  const open = async (): Promise<Publisher> => {
    const socket = await connectSocket(url, ["arqon.v1", `arqon.token.${token}`]);
    const waiting = new Map<number, PromiseWithResolvers<void>>();
    let sent = 0;
    socket.onmessage = (bytes) => {
      if (bytes[0] === Opcode.PING) {
        socket.send(new Uint8Array([Opcode.PONG, ...bytes.subarray(1)]));
        return;
      }
      const frame = decodeServerFrame(bytes);
      if (frame.kind !== "ack") return;
      const request = Number(frame.ack.request_id);
      const one = waiting.get(request);
      waiting.delete(request);
      const is_stored = Number(frame.ack.offset) > 0;
      if (frame.ack.code === 0 && is_stored === is_durable) one?.resolve();
      else one?.reject(new Error(`ACK ${frame.ack.code} ${frame.ack.message}`));
    };
    return {
      publish(room_id, data) {
        const request_id = ++sent;
        const one = Promise.withResolvers<void>();
        waiting.set(request_id, one);
        const event = { type: "bench", data, content_type: "application/octet-stream" };
        const envelope = { room_id, request_id, message_id: messageId(), event };
        socket.send(encodePub(writeEnvelope(envelope)));
        return one.promise;
      },
      close: () => socket.close(),
    };
  };
  return { name, open };
}

/**
 * Publishers to JetStream alone, on one connection, as a Shield has one. `payload` is what a Shield stores.
 */
export function bareTarget(
  name: string,
  connection: NatsConnection,
  subjectOf: (room_id: string) => string,
  payload: Uint8Array,
): PublishTarget {
  const js = jetstream(connection, { timeout: 30_000 });
  const publish = async (room_id: string) => {
    await js.publish(subjectOf(room_id), payload, { msgID: messageId() });
  };
  return { name, open: () => Promise.resolve({ publish, close: () => {} }) };
}

/** An echo target for `openLoop`, in which an acknowledgement takes the place of the echo. */
export function ackTarget(
  target: PublishTarget,
  roomOf: (message: number) => string,
): EchoTarget {
  let sent = 0;
  const open = async (_index: number, onEcho: OnEcho): Promise<EchoConnection> => {
    const { publish, close } = await target.open();
    return {
      send: (body) => void publish(roomOf(sent++), body).then(() => onEcho(), () => onEcho(true)),
      close,
    };
  };
  return { name: target.name, open, [Symbol.asyncDispose]: () => Promise.resolve() };
}
