/** The control codecs against protobuf-es, both ways, and their strictness. */
import { create, type DescMessage, fromBinary, ScalarType, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import assert from "node:assert/strict";
import {
  readAck,
  readRefresh,
  readSubscribe,
  readUnsubscribe,
  readWelcome,
  type Subscribe,
  withPositions,
  writeAck,
  writeRefresh,
  writeSubscribe,
  writeUnsubscribe,
  writeWelcome,
} from "./control.ts";
import { askDeltas } from "./delta.ts";
import { DecodeError } from "../errors/decode_error.ts";
import { schemaOf } from "../testing/schemas.ts";
import { bytes, safeInt64, text, uint64 } from "../testing/arbitraries.ts";
import { countReads } from "../testing/read_counter.ts";

const uint32 = fc.oneof(fc.nat(), fc.integer({ min: 0, max: 2 ** 32 - 1 }));
/** Values of a field, by its type. */
const VALUES: ReadonlyMap<ScalarType, fc.Arbitrary<unknown>> = new Map<
  ScalarType,
  fc.Arbitrary<unknown>
>([
  [ScalarType.STRING, text(200)],
  [ScalarType.BYTES, bytes(300)],
  [ScalarType.BOOL, fc.boolean()],
  [ScalarType.UINT32, uint32],
  [ScalarType.UINT64, uint64],
  [ScalarType.INT64, safeInt64],
]);

/** A value of each field of the message, under protobuf-es's names. */
function valuesOf({ fields }: DescMessage): fc.Arbitrary<Record<string, unknown>> {
  const values = fields.map((field) => {
    const value = field.scalar === undefined ? undefined : VALUES.get(field.scalar);
    assert.ok(value, `${field} has values`);
    return [field.localName, value] as const;
  });
  return fc.record(Object.fromEntries(values), { noNullPrototype: true });
}

/** The same under the names of the `.proto` file; a number that is exact is no bigint. */
function plainOf({ fields }: DescMessage, init: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(fields.map(({ name, localName }) => {
    const value = init[localName];
    const is_exact = typeof value === "bigint" && value <= 2n ** 53n - 1n;
    return [name, is_exact ? Number(value) : value];
  }));
}

/** A SUB of a client that keeps positions. */
function writeWhole(subscribe: Partial<Subscribe>): Uint8Array {
  const { positions = new Uint8Array(), delta = false, delta_bytes, vcdiff } = subscribe;
  const written = withPositions(writeSubscribe(subscribe), positions);
  return askDeltas(written, {
    delta,
    ...(vcdiff && { vcdiff }),
    ...(delta_bytes && { delta_bytes }),
  });
}

/** Our reader and writer of a message, beside protobuf-es. */
function codec<Plain>(
  name: string,
  read: (bytes: Uint8Array) => Plain,
  write: (value: Plain) => Uint8Array,
) {
  const schema = schemaOf(name);
  /** As protobuf-es reads it, without unknown fields. */
  const view = (source: Uint8Array) => ({ ...fromBinary(schema, source), $unknown: undefined });
  return {
    name,
    equals() {
      fc.assert(fc.property(valuesOf(schema), (init) => {
        const written = toBinary(schema, create(schema, init));
        const result = read(written);
        assert.deepEqual(result, plainOf(schema, init));
        assert.deepEqual(new Uint8Array(write(result)), new Uint8Array(written));
      }));
    },
    /** The bytes, and our encoding of what we read of them. */
    views: (counted: Uint8Array, source: Uint8Array) => [view(write(read(counted))), view(source)],
  };
}

const CODECS = [
  codec("Ack", readAck, writeAck),
  codec("Refresh", readRefresh, writeRefresh),
  codec("Subscribe", readSubscribe, writeWhole),
  codec("Unsubscribe", readUnsubscribe, writeUnsubscribe),
  codec("Welcome", readWelcome, writeWelcome),
];

for (const { name, equals } of CODECS) {
  Deno.test(`${name}: equal to protobuf-es both ways`, equals);
}

/** Short fields with low numbers, which are often valid. */
const lowFields = fc.array(
  fc.tuple(fc.integer({ min: 1, max: 15 }), fc.constantFrom(0, 2, 2, 5), bytes(4)).map((
    [field, type, body],
  ) =>
    type === 2
      ? [field * 8 + 2, body.length, ...body.map((byte) => byte & 0x7f)]
      : [field * 8 + type, (body[0] ?? 0) & 0x7f]
  ),
  { maxLength: 5 },
).map((fields) => new Uint8Array(fields.flat()));

for (const { name, views } of CODECS) {
  Deno.test(`${name}: any bytes are read as protobuf-es reads them, or give DecodeError`, () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.oneof(lowFields, bytes(40)), (source) => {
        const { bytes: counted, reads } = countReads(source);
        try {
          const [ours, theirs] = views(counted, source);
          assert.deepEqual(ours, theirs);
          accepted += 1;
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
        }
        assert.ok(reads() <= 3 * source.length);
      }),
      { numRuns: 2_000 },
    );
    assert.ok(accepted > 50, `only ${accepted} accepted`);
  });
}

Deno.test("a repeated field is refused in every control message", () => {
  const twice = new Uint8Array([0x0a, 1, 0x61, 0x0a, 1, 0x61]);
  const repeated = { reason: "repeated-field" };
  assert.throws(() => readWelcome(twice), repeated);
  assert.throws(() => readSubscribe(twice), { ...repeated, message: /Subscribe\.room_id/ });
  assert.throws(() => readUnsubscribe(twice), repeated);
  assert.throws(() => readRefresh(twice), { ...repeated, message: /Refresh\.token/ });
  assert.throws(() => readAck(new Uint8Array([0x08, 1, 0x08, 1])), repeated);
});

Deno.test("an unknown field is refused from a client and passed over from a Shield", () => {
  const unknown = new Uint8Array([0x9a, 0x01, 1, 0x61, 0x9a, 0x01, 1, 0x61]);
  assert.equal(readWelcome(unknown).node_id, "");
  assert.equal(readAck(unknown).code, 0);
  for (const read of [readSubscribe, readUnsubscribe, readRefresh]) {
    assert.throws(() => read(unknown), { reason: "unknown-field", message: /\.19/ });
  }
});

Deno.test("a wrong wire type, a uint32 beyond its range and a time beyond 2^53 are refused", () => {
  assert.throws(() => readSubscribe(new Uint8Array([0x08, 1])), {
    reason: "malformed-frame",
    message: /Subscribe\.room_id is a varint/,
  });
  assert.throws(() => readAck(new Uint8Array([0x10, 0x80, 0x80, 0x80, 0x80, 0x10])), {
    reason: "malformed-frame",
    message: /uint32/,
  });
  // Read as a varint, these eight bytes would be eight numbers.
  assert.throws(() => readAck(new Uint8Array([0x11, 0x01, 0x1a, 0, 0x1a, 0, 0x1a, 0, 0])), {
    reason: "malformed-frame",
    message: /Ack\.code is a fixed number/,
  });
  const far = new Uint8Array([0x20, ...new Array(8).fill(0xff), 0x7f]);
  assert.throws(() => readWelcome(far), { reason: "invalid-field", message: /2\^53/ });
});

Deno.test("control frames: numbers out of a field's range are a TypeError of the writer", () => {
  for (const request_id of [-1, 1.5, NaN, 2 ** 53, -1n, 2n ** 64n]) {
    assert.throws(() => writeAck({ request_id }), TypeError, String(request_id));
  }
  assert.throws(() => writeAck({ code: 2 ** 32 }), TypeError);
  assert.throws(() => writeWelcome({ server_time_ms: -(2 ** 60) }), TypeError);
});
