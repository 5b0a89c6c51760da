/**
 * The publishers of durable messages in the benchmark: WebSocket clients of a Shield, and a bare JetStream publisher.
 * Both only report when a message is stored.
 */
import { decodeServerFrame, encodePub, Opcode, writeEnvelope } from "@arqon/proto";
import { jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-deno";
import { Asked } from "../measure/asked.ts";
import { connectSocket } from "../measure/socket.ts";
import { delaysOf } from "../measure/statistics.ts";

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

/** Publishers that are clients of a Shield. Each message asks for an ACK, which must have an offset. */
export function shieldTarget(name: string, url: string, token: string): PublishTarget {
  const open = async (): Promise<Publisher> => {
    const socket = await connectSocket(url, ["arqon.v1", `arqon.token.${token}`]);
    const asked = new Asked((why) => console.error(why));
    socket.onend = (why) => asked.fail(why);
    let sent = 0;
    socket.onmessage = (bytes) => {
      if (bytes[0] === Opcode.PING) {
        socket.send(new Uint8Array([Opcode.PONG, ...bytes.subarray(1)]));
        return;
      }
      const frame = decodeServerFrame(bytes);
      if (frame.kind !== "ack") return;
      const { request_id, code, offset, message } = frame.ack;
      if (code === 0 && Number(offset) > 0) asked.answer(Number(request_id));
      else asked.refuse(Number(request_id), `ACK ${code} ${message}`);
    };
    return {
      publish(room_id, data) {
        const request_id = ++sent;
        const stored = asked.ask(request_id);
        const event = { type: "bench", data, content_type: "application/octet-stream" };
        const envelope = { room_id, request_id, message_id: messageId(), event };
        socket.send(encodePub(writeEnvelope(envelope)));
        return stored;
      },
      close: () => socket.close(),
    };
  };
  return { name, open };
}

/** Publishers to JetStream only, on one connection, like a Shield. `payload` has the bytes that a Shield stores. */
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

/** Publishes `outstanding` messages at a time for some seconds, and returns the rate. */
export async function keepBusyFor(
  seconds: number,
  outstanding: number,
  once: (worker: number) => Promise<void>,
) {
  const took_ms: number[] = [];
  const began_ms = performance.now();
  const work = async (worker: number) => {
    for (;;) {
      const sent_ms = performance.now();
      if (sent_ms >= began_ms + seconds * 1_000) return;
      await once(worker);
      took_ms.push(performance.now() - sent_ms);
    }
  };
  await Promise.all(Array.from({ length: outstanding }, (_, worker) => work(worker)));
  const commands_per_s = took_ms.length * 1_000 / (performance.now() - began_ms);
  return { commands_per_s, ...delaysOf(took_ms) };
}
