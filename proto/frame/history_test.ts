/** The history query and its answer against protobuf-es both ways, and frames with their offset. */
import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { readEnvelope, writeEnvelope } from "../envelope/envelope.ts";
import { schemaOf } from "../testing/schemas.ts";
import {
  encodeMsgAt,
  readHistory,
  readHistoryQuery,
  writeHistory,
  writeHistoryQuery,
} from "./history.ts";
import { text } from "../testing/arbitraries.ts";

const HistoryQuerySchema = schemaOf("HistoryQuery");
const HistorySchema = schemaOf("History");

const offset = fc.maxSafeNat();

Deno.test("HistoryQuery: equal to protobuf-es both ways", () => {
  const query = fc.record({
    after: offset,
    before: offset,
    limit: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    reverse: fc.boolean(),
    filter: text(),
  }, { noNullPrototype: true });
  fc.assert(fc.property(query, (request) => {
    const theirs = toBinary(
      HistoryQuerySchema,
      create(HistoryQuerySchema, {
        ...request,
        after: BigInt(request.after),
        before: BigInt(request.before),
      }),
    );
    assert.deepEqual(new Uint8Array(writeHistoryQuery(request)), new Uint8Array(theirs));
    assert.deepEqual(readHistoryQuery(theirs), request);
  }));
});

Deno.test("HistoryQuery: an unknown field is refused by name", () => {
  assert.throws(() => readHistoryQuery(new Uint8Array([0x30, 1])), /HistoryQuery/);
});

Deno.test("History: equal to protobuf-es both ways, with the envelopes byte for byte", () => {
  const history = fc.record({
    texts: fc.array(text(), { maxLength: 4 }),
    offset,
    epoch: text(),
    more: fc.boolean(),
  }, { noNullPrototype: true });
  fc.assert(fc.property(history, ({ texts, ...rest }) => {
    const messages = texts.map((type) => writeEnvelope({ room_id: "r", event: { type } }));
    const ours = writeHistory({ ...rest, messages });
    const theirs = toBinary(
      HistorySchema,
      create(HistorySchema, {
        ...rest,
        offset: BigInt(rest.offset),
        messages: texts.map((type) => ({
          roomId: "r",
          payload: { case: "event" as const, value: { type } },
        })),
      }),
    );
    assert.deepEqual(new Uint8Array(ours), new Uint8Array(theirs));
    const back = readHistory(ours);
    assert.deepEqual(back.messages.map((bytes) => new Uint8Array(bytes)), messages);
    assert.deepEqual({ ...back, messages: [] }, { ...rest, messages: [] });
  }));
});

Deno.test("a MSG frame gets its offset without a change of the sender's bytes", () => {
  fc.assert(fc.property(fc.maxSafeNat(), text(), (at, type) => {
    const stored = writeEnvelope({ room_id: "r", message_id: "m", event: { type } });
    const frame = encodeMsgAt(stored, at);
    const read = readEnvelope(frame.subarray(1));
    assert.equal(read.offset, at);
    assert.deepEqual({ ...read, offset: 0 }, readEnvelope(stored));
    assert.deepEqual(frame.subarray(1, 1 + stored.length), stored);
  }));
});

Deno.test("a MSG frame is written into the given space, and other bytes are unchanged", () => {
  fc.assert(fc.property(fc.maxSafeNat(), fc.nat(9), (at, start) => {
    const stored = writeEnvelope({ room_id: "r", event: { type: "t" } });
    const bytes = new Uint8Array(200).fill(0xee);
    const sizes: number[] = [];
    const reserve = (size_bytes: number) => (sizes.push(size_bytes), start);
    const frame = encodeMsgAt(stored, at, { bytes, reserve });
    assert.deepEqual(frame, encodeMsgAt(stored, at));
    assert.deepEqual([frame.buffer, frame.byteOffset], [bytes.buffer, start]);
    assert.deepEqual(sizes, [frame.length]);
    assert.ok(bytes.subarray(0, start).every((byte) => byte === 0xee));
    assert.ok(bytes.subarray(start + frame.length).every((byte) => byte === 0xee));
  }));
});
