/** Tests of MQTT packets in a byte stream: they read the same wherever frames divide it. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { encodePacket, mqttString, parseMqtt, payloadOf } from "./mqtt_wire.ts";
import { Unread } from "./unread.ts";

interface Packet {
  readonly first: number;
  readonly body: Uint8Array;
}

const packet: fc.Arbitrary<Packet> = fc.record({
  first: fc.integer({ min: 0x10, max: 0xff }),
  body: fc.uint8Array({ maxLength: 300 }),
}, { noNullPrototype: true });

function read(chunks: readonly Uint8Array[]): Packet[] {
  const found: Packet[] = [];
  const unread = new Unread();
  const onPacket = (first: number, body: Uint8Array) =>
    void found.push({ first, body: body.slice() });
  for (const chunk of chunks) unread.take(chunk, (bytes) => parseMqtt(bytes, onPacket));
  return found;
}

Deno.test("packets come out as they went in, wherever the stream is divided", () => {
  fc.assert(fc.property(
    fc.array(packet, { maxLength: 8 }),
    fc.array(fc.nat(), { maxLength: 12 }),
    (packets, places) => {
      const stream = new Uint8Array(
        packets.flatMap(({ first, body }) => [...encodePacket(first, body)]),
      );
      const cuts = [...places.map((place) => place % (stream.length + 1)), 0, stream.length]
        .sort((a, b) => a - b);
      const chunks = cuts.slice(1).map((end, index) => stream.subarray(cuts[index], end));
      assert.deepEqual(read(chunks), packets);
    },
  ));
});

Deno.test("lengths are written as MQTT 3.1.1 says (table 2.4)", () => {
  const head = (size_bytes: number) => [
    ...encodePacket(0x30, new Uint8Array(size_bytes)).subarray(1, -size_bytes || undefined),
  ];
  assert.deepEqual(head(0), [0]);
  assert.deepEqual(head(127), [0x7f]);
  assert.deepEqual(head(128), [0x80, 0x01]);
  assert.deepEqual(head(16_383), [0xff, 0x7f]);
  assert.deepEqual(head(16_384), [0x80, 0x80, 0x01]);
});

Deno.test("a length of five bytes is no MQTT", () => {
  const bytes = new Uint8Array([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]);
  assert.throws(() => parseMqtt(bytes, () => {}), RangeError);
});

Deno.test("a payload is what follows the topic, be it empty or binary", () => {
  const body = (payload: number[]) => new Uint8Array([...mqttString("räume/1"), ...payload]);
  assert.deepEqual([...payloadOf(body([0, 255, 13]))], [0, 255, 13]);
  assert.equal(payloadOf(body([])).length, 0);
});
