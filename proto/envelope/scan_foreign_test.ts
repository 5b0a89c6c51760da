/**
 * Envelopes that the scanner accepts are accepted by other Protobuf decoders: here protobuf-es, with unusual encodings.
 * `tests/verification/payloads_by_upb.py` does the same with Google's.
 */
import { fromBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import assert from "node:assert/strict";
import { DecodeError } from "../errors/error.ts";
import { readEnvelope, readRouted, UNREADABLE } from "./envelope.ts";
import { EnvelopeSchema } from "../testing/schemas.ts";
import { encodeMsgAt } from "../frame/history.ts";
import { scanEnvelope } from "./scan.ts";
import { encodeUtf8 } from "../wire/utf8.ts";

const LIMITS = { headers: 8, header_bytes: 1_000, field_bytes: 64 };
const BOUNDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/** A varint padded to this many bytes. */
function padded(value: number, bytes: number): number[] {
  const out: number[] = [];
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) out.push(rest % 128 | 0x80);
  out.push(value >= 1 ? Math.floor(value / 128 ** out.length) : 0);
  while (out.length < bytes) {
    out[out.length - 1]! |= 0x80;
    out.push(0);
  }
  return out;
}

/** A length-delimited field with a tag and a length of this many bytes. */
function field(number: number, body: readonly number[], tag_bytes = 1, length_bytes = 1): number[] {
  return [...padded(number * 8 + 2, tag_bytes), ...padded(body.length, length_bytes), ...body];
}

const ROOM = field(3, [0x6c]);
const EVENT = field(21, field(1, [0x65]));
const scan = (bytes: readonly number[]) => scanEnvelope(new Uint8Array(bytes), LIMITS);
const foreign = (bytes: readonly number[]) => fromBinary(EnvelopeSchema, new Uint8Array(bytes));

/** The positions of lengths: before a field of the envelope, and inside each payload. */
const PLACES: readonly (readonly [string, (length_bytes: number) => number[]])[] = [
  ["tenant_id", (bytes) => [...field(2, [0x74], 1, bytes), ...EVENT]],
  ["room_id", (bytes) => [...field(3, [0x6c], 1, bytes), ...EVENT]],
  ["headers", (bytes) => [...field(5, field(1, [0x61]), 1, bytes), ...EVENT]],
  ["a header's name", (bytes) => [...field(5, field(1, [0x61], 1, bytes)), ...EVENT]],
  ["sender_id", (bytes) => [...field(8, [0x73], 1, bytes), ...EVENT]],
  ["signature", (bytes) => [...field(10, [1, 2], 1, bytes), ...EVENT]],
  ["message_id", (bytes) => [...field(11, [0x6d], 1, bytes), ...EVENT]],
  ["event", (bytes) => field(21, field(1, [0x65]), 1, bytes)],
  ["Event.type", (bytes) => field(21, field(1, [0x65], 1, bytes))],
  ["Event.data", (bytes) => field(21, field(2, [0x64], 1, bytes))],
  ["an unknown field of Event", (bytes) => field(21, field(77, [0x64], 1, bytes))],
  ["cmd", (bytes) => field(20, field(1, [0x65]), 1, bytes)],
  ["Command.epoch", (bytes) => field(20, field(7, [0x65], 1, bytes))],
  ["signal", (bytes) => field(22, field(2, [0x65]), 1, bytes)],
  ["SystemSignal.reason", (bytes) => field(22, field(3, [0x65], 1, bytes))],
];

for (const [place, make] of PLACES) {
  Deno.test(`a length of up to 5 bytes before ${place} is taken, a longer one is 'malformed-frame'`, () => {
    for (const bytes of BOUNDS) {
      if (bytes <= 5) {
        scan(make(bytes));
        foreign(make(bytes));
      } else {
        assert.throws(() => scan(make(bytes)), { reason: "malformed-frame" }, `${bytes} bytes`);
        assert.throws(() => readEnvelope(new Uint8Array(make(bytes))), DecodeError);
      }
    }
  });
}

Deno.test("a tag of up to 5 bytes is accepted, a longer one is 'malformed-frame', also in the payload", () => {
  for (const bytes of BOUNDS.slice(2)) {
    for (const made of [field(21, [], bytes), field(21, field(1, [0x65], bytes))]) {
      if (bytes <= 5) assert.ok(scan(made).event && foreign(made));
      else assert.throws(() => scan(made), { reason: "malformed-frame" });
    }
  }
});

Deno.test("a number may have 10 bytes: a negative enum is legal, and padding is ignored", () => {
  const negative = [0x08, ...new Array(9).fill(0xff), 0x01];
  assert.equal(scan(field(22, negative)).payload.kind, "signal");
  foreign(field(22, negative));
  assert.equal(scan([0x38, ...padded(7, 10), ...EVENT]).request_id, 7);
  assert.throws(() => scan([0x38, ...padded(7, 11), ...EVENT]), { reason: "malformed-frame" });
});

/** Fields of a hostile client: known and unknown, too long, truncated, of a wrong type. */
const lengths = fc.oneof({ weight: 6, arbitrary: fc.constant(1) }, {
  weight: 1,
  arbitrary: fc.integer({ min: 2, max: 11 }),
});
const text = fc.constantFrom("", "a", "ä", "room").map((value) => [...encodeUtf8(value)]);
const body = fc.oneof(text, fc.uint8Array({ maxLength: 6 }).map((bytes) => [...bytes]));
const sized = (number: fc.Arbitrary<number>, inner: fc.Arbitrary<number[]>) =>
  fc.tuple(number, inner, lengths, lengths).map(([at, bytes, tag, length]) =>
    field(at, bytes, tag, length)
  );
const numeric = fc.tuple(fc.constantFrom(4, 6, 7, 9, 1, 30, 0), fc.nat(2 ** 40), lengths)
  .map(([number, value, bytes]) => [...padded(number * 8, 1), ...padded(value, bytes)]);
const raw = fc.uint8Array({ maxLength: 4 }).map((bytes) => [...bytes]);
const many = (one: fc.Arbitrary<number[]>) =>
  fc.array(one, { maxLength: 3 }).map((parts) => parts.flat());
const inner = many(fc.oneof(
  { weight: 8, arbitrary: sized(fc.constantFrom(1, 2, 3, 4, 7, 8, 50, 5_000), body) },
  { weight: 3, arbitrary: numeric },
  { weight: 1, arbitrary: raw },
));
const envelopes = fc.tuple(
  many(fc.oneof(
    { weight: 6, arbitrary: sized(fc.constantFrom(2, 3, 8, 10, 11), text) },
    { weight: 3, arbitrary: numeric },
    { weight: 1, arbitrary: raw },
  )),
  sized(fc.constantFrom(20, 21, 22), inner),
).map(([before, payload]) => [...before, ...payload]);

Deno.test("protobuf-es accepts everything that the scanner accepts", () => {
  let taken = 0, refused = 0;
  fc.assert(
    fc.property(envelopes, (bytes) => {
      try {
        scan(bytes);
      } catch (error) {
        assert.ok(error instanceof DecodeError);
        refused++;
        return;
      }
      taken++;
      foreign(bytes);
      readEnvelope(new Uint8Array(bytes));
    }),
    { numRuns: 5_000 },
  );
  assert.ok(taken > 250 && refused > 250, `${taken} taken, ${refused} refused`);
});

Deno.test("the Shield's fields before and after a damaged part are read", () => {
  const owned = fc.oneof(
    fc.constantFrom(...PLACES.slice(5)).map(([, make]) => make(6)),
    // More than ten bytes are no tag or length, so the position after them is unknown.
    fc.tuple(fc.integer({ min: 2, max: 10 }), fc.integer({ min: 1, max: 10 })).map(
      ([tag_bytes, length_bytes]) => field(21, [0x0a, 0x05], tag_bytes, length_bytes),
    ),
  );
  fc.assert(fc.property(owned, fc.integer({ min: 1, max: 2 ** 40 }), (bytes, offset) => {
    const stored = new Uint8Array([...ROOM, ...field(8, [0x73]), ...bytes]);
    assert.throws(() => readEnvelope(stored), DecodeError);
    const envelope = readRouted(encodeMsgAt(stored, offset).subarray(1));
    assert.deepEqual([envelope.room_id, envelope.sender_id, envelope.offset], ["l", "s", offset]);
    assert.deepEqual(envelope.signal, {
      kind: "GAP",
      target: "l",
      reason: UNREADABLE,
      until_ms: 0,
    });
    assert.equal(envelope.event, undefined);
  }));
  // Without a room there is no receiver.
  assert.throws(() => readRouted(new Uint8Array(field(21, [0x0a, 0x05]))), DecodeError);
});
