/**
 * Which messages are duplicates, for how long and at what cost, on plain bytes with a clock as argument. `hub_test.ts`
 * tests that rooms drop them.
 */
import assert from "node:assert/strict";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { OwnBuffers, scanEnvelope, stampRouted, writeEnvelope } from "@arqon/proto";
import { DEDUPLICATION_MS, messageKey, SeenMessages } from "./deduplicate.ts";

const LIMITS = { headers: 16, header_bytes: 4_096, field_bytes: 4_096 };

const text = fc.oneof(fc.string(), fc.string({ unit: "grapheme" }), fc.constant("\uFEFFa"));
/** As in tokens: never empty, no control characters. */
const sender = fc.oneof(
  fc.string({ minLength: 1, unit: "grapheme" }),
  fc.constantFrom("a", "b", "a b", "\uFEFFa"),
);

/** A client's event as the pipeline stamps it. */
const stamped = fc.record({ sender_id: sender, message_id: text, data: fc.uint8Array() }).map(
  ({ sender_id, message_id, data }) => {
    const event = { type: "chat", data, content_type: "", schema_id: "" };
    const headers = { "X-Mood": "fine" };
    const sent = writeEnvelope({ room_id: "lobby", message_id, headers, event });
    const stamp = {
      trace_id: "0123456789abcdef0123456789abcdef",
      tenant_id: "acme",
      room_id: "lobby",
      timestamp_ms: 1_767_323_045_000,
      sender_id,
      twist_id: "019b7c5d-7c88-7000-8000-000000000000",
    };
    return stampRouted(scanEnvelope(sent, LIMITS), stamp, new OwnBuffers());
  },
);

/** What protobuf-es's own reader finds in fields 8 and 11. */
function readByProtobuf(envelope: Uint8Array): { sender_id: string; message_id: string } {
  const reader = new BinaryReader(envelope);
  const found = { sender_id: "", message_id: "" };
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 8 && type === WireType.LengthDelimited) found.sender_id = reader.string();
    else if (field === 11 && type === WireType.LengthDelimited) found.message_id = reader.string();
    else reader.skip(type, field);
  }
  return found;
}

/** Stamped envelopes with some bytes changed, removed, inserted or truncated. */
const damaged = fc.tuple(
  stamped,
  fc.array(fc.tuple(fc.constantFrom("change", "insert", "remove", "cut"), fc.nat(), fc.nat(255)), {
    minLength: 1,
    maxLength: 4,
  }),
).map(([whole, edits]) => {
  const out = Array.from(whole);
  for (const [how, place, byte] of edits) {
    const at = place % Math.max(1, out.length);
    if (how === "cut") out.length = at;
    else out.splice(at, how === "insert" ? 0 : 1, ...(how === "remove" ? [] : [byte]));
  }
  return new Uint8Array(out);
});

Deno.test("the key of a stamped envelope is the sender and the message id that protobuf-es reads", () => {
  fc.assert(fc.property(stamped, (envelope) => {
    const { sender_id, message_id } = readByProtobuf(envelope);
    assert.equal(messageKey(envelope), message_id === "" ? "" : `${sender_id}\n${message_id}`);
  }));
});

Deno.test("two envelopes have one key exactly when sender and message id are the same", () => {
  const id = fc.oneof(text, fc.constantFrom("a", "b", "a b", " ", "\n", "a\nb"));
  fc.assert(fc.property(sender, id, sender, id, (sender, id, otherSender, otherId) => {
    fc.pre(id !== "" && otherId !== "");
    const key = messageKey(writeEnvelope({ sender_id: sender, message_id: id }));
    const otherKey = messageKey(writeEnvelope({ sender_id: otherSender, message_id: otherId }));
    assert.equal(key === otherKey, id === otherId && sender === otherSender);
  }));
});

Deno.test("an empty message id, also an explicit one, is not an id", () => {
  const sender = [0x42, 1, 0x61];
  assert.equal(messageKey(new Uint8Array([...sender, 0x5a, 0])), "");
  assert.equal(messageKey(new Uint8Array([...sender, 0x5a, 1, 0x78])), "a\nx");
});

Deno.test("the order of the fields does not matter, as in Protobuf", () => {
  const sender = [0x42, 1, 0x61];
  const id = [0x5a, 1, 0x78];
  assert.equal(messageKey(new Uint8Array([...id, ...sender])), "a\nx");
});

Deno.test("an id that ends beyond the envelope is not an id", () => {
  assert.equal(messageKey(new Uint8Array([0x42, 1, 0x61, 0x5a, 9, 0x78])), "");
  const endless = new Uint8Array(4_000).fill(0xff);
  assert.equal(messageKey(endless), "");
  endless[0] = 0x5a;
  assert.equal(messageKey(endless), "");
});

Deno.test("any bytes have a key or no key, and a walk over them ends", () => {
  fc.assert(fc.property(fc.oneof(damaged, fc.uint8Array()), (bytes) => {
    assert.equal(typeof messageKey(bytes), "string");
  }));
  for (const byte of [0x00, 0x02, 0x42, 0x7f, 0x80, 0xff]) {
    assert.equal(messageKey(new Uint8Array(1_048_576).fill(byte)), "");
  }
});

Deno.test("within the limit, exactly the keys of the last two minutes are repetitions", () => {
  const step = fc.record({
    key: fc.constantFrom("a", "b", "c", "d"),
    after_ms: fc.oneof(fc.nat(10), fc.nat(DEDUPLICATION_MS * 2), fc.constant(DEDUPLICATION_MS)),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const seen = new SeenMessages(1_000);
    const first_ms = new Map<string, number>();
    let now_ms = 0;
    for (const { key, after_ms } of steps) {
      now_ms += after_ms;
      const before = first_ms.get(key);
      const expected = before !== undefined && now_ms - before < DEDUPLICATION_MS;
      assert.equal(seen.repeated(key, now_ms), expected);
      if (!expected) first_ms.set(key, now_ms);
      assert.ok(seen.size <= 4, "old keys are forgotten");
    }
  }));
});

Deno.test("it stores at most its limit of keys, and keeps the latest", () => {
  const jumps = fc.array(fc.integer({ min: -200_000, max: 200_000 }), { maxLength: 200 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 8 }), jumps, (entries_max, jumps) => {
    const seen = new SeenMessages(entries_max);
    let now_ms = 0;
    for (const [index, jump_ms] of jumps.entries()) {
      now_ms += jump_ms;
      assert.equal(seen.repeated(`k${index}`, now_ms), false, "also when the clock goes back");
      assert.ok(seen.size <= entries_max);
      assert.equal(seen.repeated(`k${index}`, now_ms), true);
    }
  }));
  const seen = new SeenMessages(3);
  for (const key of ["a", "b", "c", "d"]) seen.repeated(key, 0);
  assert.deepEqual(["d", "c", "b", "a"].map((key) => seen.repeated(key, 1)), [
    true,
    true,
    true,
    false,
  ]);
});
