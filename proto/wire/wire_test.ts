/** Varints, integers and text against protobuf-es's own reader and writer. */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { anyCharacter } from "../../shared/testing/any_character.ts";
import { DecodeError } from "../errors/error.ts";
import { safeInt64, text, uint64 } from "../testing/arbitraries.ts";
import { checkUtf8, decodeUtf8, encodeUtf8, putUtf8, utf8Size } from "./utf8.ts";
import { WireReader } from "./wire.ts";
import { putVarint, varintSize, WireWriter, writePacked } from "./wire_writer.ts";

const exact = (value: bigint) => value <= 2n ** 53n - 1n ? Number(value) : value;

/** Every number of bytes, and both sides of each boundary. */
const BOUNDARIES = Array.from({ length: 64 }, (_, bit) => 2n ** BigInt(bit))
  .flatMap((power) => [power - 1n, power]);

Deno.test("uint64: every width is written and read as protobuf-es does", () => {
  const check = (value: bigint) => {
    const theirs = new BinaryWriter().tag(1, WireType.Varint).uint64(value).finish();
    const writer = new WireWriter();
    writer.uint64(1, exact(value));
    if (value !== 0n) assert.deepEqual(new Uint8Array(writer.finish()), new Uint8Array(theirs));
    const reader = new WireReader(theirs);
    assert.equal(reader.tag(), 8);
    assert.equal(reader.uint64(), exact(value));
    assert.equal(reader.pos, theirs.length);
  };
  BOUNDARIES.forEach(check);
  fc.assert(fc.property(uint64, check));
});

Deno.test("int64: negative and positive numbers go both ways", () => {
  fc.assert(fc.property(safeInt64, (value) => {
    const writer = new WireWriter();
    writer.int64(1, Number(value));
    const bytes = writer.finish();
    if (value === 0n) return assert.equal(bytes.length, 0);
    const theirs = new BinaryReader(bytes);
    theirs.tag();
    assert.equal(BigInt(theirs.int64()), value);
    const reader = new WireReader(bytes);
    reader.tag();
    assert.equal(reader.int64(), Number(value));
  }));
});

Deno.test("int32: an enum's negative number is read, a wider one refused", () => {
  const read = (value: number) =>
    new WireReader(new BinaryWriter().int64(BigInt(value)).finish()).int32();
  for (const value of [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]) assert.equal(read(value), value);
  for (const value of [2 ** 31, -(2 ** 31) - 1]) {
    assert.throws(() => read(value), { reason: "malformed-frame" });
  }
});

Deno.test("a varint has as many bytes as varintSize returns", () => {
  const out = new Uint8Array(10);
  for (const value of BOUNDARIES.filter((value) => value < 2n ** 53n).map(Number)) {
    assert.equal(putVarint(out, 0, value), varintSize(value), String(value));
  }
});

Deno.test("any number is written and read back, or refused with its field", () => {
  const whole = (value: number, max: number) =>
    Number.isSafeInteger(value) && value >= 0 && value <= max;
  const inField = (write: (writer: WireWriter, value: number) => void) => (value: number) => {
    const writer = new WireWriter();
    write(writer, value);
    return writer.finish();
  };
  const fieldOf = (bytes: Uint8Array, read: (reader: WireReader) => unknown) => {
    // A 0 is left out.
    if (bytes.length === 0) return 0;
    const reader = new WireReader(bytes);
    assert.equal(reader.tag(), 5 << 3);
    return read(reader);
  };
  const MAX = Number.MAX_SAFE_INTEGER;
  const number = fc.oneof(
    fc.double(),
    fc.maxSafeInteger(),
    fc.integer(),
    fc.constantFrom(...BOUNDARIES.map(Number), NaN, Infinity, -Infinity, 0.5, -0.5),
  );
  const forms = [
    {
      fits: (value: number) => whole(value, MAX),
      write: inField((writer, value) => writer.uint64(5, value)),
      read: (bytes: Uint8Array) => fieldOf(bytes, (reader) => reader.uint64()),
      refusal: /^field 5 is no uint64: /,
    },
    {
      fits: (value: number) => whole(value, 0xffffffff),
      write: inField((writer, value) => writer.uint32(5, value)),
      read: (bytes: Uint8Array) => fieldOf(bytes, (reader) => reader.uint64()),
      refusal: /^field 5 is no uint(32|64): /,
    },
    {
      fits: (value: number) => whole(Math.abs(value), MAX),
      write: inField((writer, value) => writer.int64(5, value)),
      read: (bytes: Uint8Array) => fieldOf(bytes, (reader) => reader.int64()),
      refusal: /^field 5 is no (uint64|safe integer): /,
    },
    {
      fits: (value: number) => whole(value, MAX),
      write(value: number) {
        const out = new Uint8Array(varintSize(value, "offset"));
        assert.equal(putVarint(out, 0, value), out.length);
        return out;
      },
      read: (bytes: Uint8Array) => new WireReader(bytes).uint64(),
      refusal: /^offset is no uint64: /,
    },
  ];
  fc.assert(
    fc.property(number, fc.constantFrom(...forms), (value, { fits, write, read, refusal }) => {
      const put = () => putVarint(new Uint8Array(8), 0, value);
      if (!whole(value, MAX)) assert.throws(put, TypeError);
      if (!fits(value)) {
        return assert.throws(() => write(value), { name: "TypeError", message: refusal });
      }
      assert.equal(Number(read(write(value))) - value, 0);
    }),
    { numRuns: 4_000 },
  );
});

Deno.test("embedded messages of any length get the shortest length prefix", () => {
  for (const size of [0, 1, 127 - 2, 128, 16_380, 16_384, 70_000, 3_000_000]) {
    const writer = new WireWriter();
    const mark = writer.open(2);
    writer.bytes(1, new Uint8Array(size).fill(7));
    writer.close(mark);
    writer.uint64(3, 9);
    const inner = size === 0
      ? new Uint8Array()
      : new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(new Uint8Array(size).fill(7))
        .finish();
    const theirs = new BinaryWriter().tag(2, WireType.LengthDelimited).bytes(inner)
      .tag(3, WireType.Varint).uint64(9).finish();
    assert.equal(Buffer.compare(writer.finish(), theirs), 0, `${size} bytes`);
  }
});

Deno.test("embedded messages are read to their own end, however deep", () => {
  const writer = new WireWriter();
  const outer = writer.open(1);
  writer.text(1, "in");
  const inner = writer.open(2);
  writer.text(1, "deep");
  writer.close(inner);
  writer.close(outer);
  writer.text(2, "after");
  const bytes = writer.finish();
  const texts: string[] = [];
  const read = (reader: WireReader, depth: number) => {
    while (reader.pos < reader.end) {
      const tag = reader.tag();
      const embedded = depth === 0 ? tag === 0x0a : tag === 0x12;
      if (embedded && depth < 2) reader.embedded(read, depth + 1);
      else texts.push(`${depth} ${reader.text()}`);
    }
    return texts.length;
  };
  assert.equal(read(new WireReader(bytes), 0), 3);
  assert.deepEqual(texts, ["1 in", "2 deep", "0 after"]);
  const short = new WireReader(new Uint8Array([5, 0x0a]));
  assert.throws(() => short.embedded(read, 0), { reason: "malformed-frame" });
});

Deno.test("a packed list of numbers is written as by protobuf-es, an empty one is omitted", () => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeInteger().map(Math.abs), { maxLength: 80 }), (values) => {
      const writer = new WireWriter();
      writePacked(writer, 5, values);
      const theirs = new BinaryWriter();
      if (values.length > 0) {
        theirs.tag(5, WireType.LengthDelimited).fork();
        for (const value of values) theirs.uint64(BigInt(value));
        theirs.join();
      }
      assert.deepEqual(new Uint8Array(writer.finish()), new Uint8Array(theirs.finish()));
    }),
  );
  for (const value of [-1, 1.5, 2 ** 53]) {
    assert.throws(() => writePacked(new WireWriter(), 5, [value]), TypeError);
  }
});

Deno.test("an abandoned writer leaves nothing behind for the next one", () => {
  const abandoned = new WireWriter();
  abandoned.text(1, "secret");
  const first = new WireWriter();
  first.text(1, "a");
  const kept = first.finish();
  const second = new WireWriter();
  second.text(1, "b");
  assert.deepEqual(second.finish(), new Uint8Array([0x0a, 1, 0x62]));
  assert.deepEqual(kept, new Uint8Array([0x0a, 1, 0x61]));
});

Deno.test("text: size, writing and reading agree with TextEncoder", () => {
  fc.assert(fc.property(text(100), fc.string({ unit: anyCharacter }), (one, other) => {
    for (const value of [one, other, one + other, "a".repeat(63) + one]) {
      const bytes = encodeUtf8(value);
      assert.equal(utf8Size(value), bytes.length);
      const out = new Uint8Array(bytes.length + 2);
      assert.equal(putUtf8(out, 1, value, bytes.length), bytes.length + 1);
      assert.deepEqual(out.slice(1, -1), bytes);
      assert.deepEqual([out[0], out[out.length - 1]], [0, 0]);
      assert.equal(decodeUtf8(bytes, 0, bytes.length), value.toWellFormed());
      checkUtf8(bytes, 0, bytes.length);
    }
  }));
});

Deno.test("text: what TextDecoder refuses is refused, at every position", () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const pieces = fc.constantFrom([0x61], [0xc3, 0xa9], [0xe2, 0x82, 0xac], [0xf0], [0x80], [0xff]);
  fc.assert(fc.property(fc.array(pieces, { maxLength: 80 }), (parts) => {
    const bytes = new Uint8Array(parts.flat());
    let expected: string | undefined;
    try {
      expected = strict.decode(bytes);
    } catch {
      expected = undefined;
    }
    for (const read of [decodeUtf8, checkUtf8]) {
      try {
        read(bytes, 0, bytes.length);
        assert.notEqual(expected, undefined);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        assert.equal(expected, undefined);
      }
    }
  }));
});
