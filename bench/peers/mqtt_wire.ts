/**
 * MQTT 3.1.1 over WebSocket, as far as a load generator needs it: QoS 0, clean sessions, no keep-alive. A
 * room is a topic. Packets need not begin or end where frames do.
 */
import { connectSocket } from "../measure/socket.ts";
import type { Wire } from "../load/targets/target.ts";
import { Asked } from "./asked.ts";
import { Unread } from "./unread.ts";

const CONNACK = 2, PUBLISH = 3, SUBACK = 9;
const REFUSED = 0x80;
const encoder = new TextEncoder();

/**
 * Takes the complete packets at the front of `bytes`, and returns their length in bytes. The body is a view.
 * Throws a RangeError for a length that MQTT does not allow.
 */
export function parseMqtt(
  bytes: Uint8Array,
  onPacket: (first: number, body: Uint8Array) => void,
): number {
  let at = 0;
  for (;;) {
    let body = at + 1;
    let size_bytes = 0;
    for (let factor = 1;; factor *= 128) {
      if (body >= bytes.length) return at;
      if (factor > 128 ** 3) throw new RangeError("a remaining length has at most four bytes");
      const byte = bytes[body++]!;
      size_bytes += (byte & 127) * factor;
      if (byte < 128) break;
    }
    if (body + size_bytes > bytes.length) return at;
    onPacket(bytes[at]!, bytes.subarray(body, body + size_bytes));
    at = body + size_bytes;
  }
}

/** The bytes of a packet: its first byte, and its body in parts. */
export function encodePacket(first: number, ...parts: ArrayLike<number>[]): Uint8Array {
  let size_bytes = 0;
  for (const { length } of parts) size_bytes += length;
  const head = [first];
  let rest = size_bytes;
  do {
    head.push(rest > 127 ? rest % 128 + 128 : rest);
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  const packet = new Uint8Array(head.length + size_bytes);
  packet.set(head);
  let at = head.length;
  for (const part of parts) {
    packet.set(part, at);
    at += part.length;
  }
  return packet;
}

/** A string in the form of MQTT, after its length. */
export function mqttString(text: string): Uint8Array {
  const bytes = encoder.encode(text);
  return new Uint8Array([bytes.length >> 8, bytes.length & 255, ...bytes]);
}

/** The payload of a PUBLISH packet; with QoS 0 it follows the topic directly. */
export function payloadOf(body: Uint8Array): Uint8Array {
  return body.subarray(2 + body[0]! * 256 + body[1]!);
}

const CLEAN_SESSION = 2;
/**
 * The packet that greets the server. Level 4 is MQTT 3.1.1, keep-alive 0 turns it off, and a client with an
 * empty id gets one from the server.
 */
const CONNECT = encodePacket(
  0x10,
  mqttString("MQTT"),
  [4, CLEAN_SESSION, 0, 0],
  mqttString(""),
);
/** The number of the greeting; CONNECT has no packet identifier, and those of SUBSCRIBE begin at 1. */
const GREETING = 0;

/** The wire of MQTT. Rooms are topics, so their names must contain no wildcards. */
export const MQTT_WIRE: Wire = {
  async open(spec, { onMessage, onProblem }) {
    const trust = spec.ca === undefined ? {} : { ca: spec.ca };
    const socket = await connectSocket(spec.url, ["mqtt"], trust);
    const asked = new Asked(onProblem);
    const unread = new Unread();
    const onPacket = (first: number, body: Uint8Array) => {
      const kind = first >> 4;
      if (kind === PUBLISH) onMessage(payloadOf(body));
      else if (kind === SUBACK) {
        const id = body[0]! * 256 + body[1]!;
        if (body[2] === REFUSED) asked.refuse(id, "the subscription was refused");
        else asked.answer(id);
      } else if (kind === CONNACK) {
        if (body[1] === 0) asked.answer(GREETING);
        else asked.refuse(GREETING, `CONNECT was refused with ${body[1]}`);
      }
    };
    const parse = (bytes: Uint8Array) => parseMqtt(bytes, onPacket);
    socket.onmessage = (chunk) => unread.take(chunk, parse);
    socket.onend = (why) => asked.fail(why);
    const greeted = asked.ask(GREETING);
    socket.send(CONNECT);
    await greeted;
    let last_id = 0;
    let topic = { room: "", text: mqttString("") };
    return {
      subscribe(room) {
        last_id = last_id % 65_535 + 1;
        const subscribed = asked.ask(last_id);
        const id = [last_id >> 8, last_id & 255];
        socket.send(encodePacket(0x82, id, mqttString(room), [0]));
        return subscribed;
      },
      publish(room, body) {
        if (topic.room !== room) topic = { room, text: mqttString(room) };
        socket.send(encodePacket(PUBLISH << 4, topic.text, body));
      },
      close: () => socket.close(),
    };
  },
};
