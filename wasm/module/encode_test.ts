/**
 * The encoder against the decoder: a decoded module is reproduced, byte for byte or in its shortest form.
 * The specification's modules run in tests/external/wasm_refusal_test.ts.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { decodeModule } from "./decode.ts";
import { encodeModule } from "./encode.ts";
import { importCounts, instruction } from "./module.ts";
import { Op } from "./opcodes.ts";
import { Reader } from "./reader.ts";
import { Writer } from "./writer.ts";
import {
  body,
  EVERYTHING,
  fromText,
  listOf,
  moduleOf,
  moduleWith,
  section,
} from "../testing/bytes.ts";

Deno.test("a module with every kind of section is reproduced byte for byte", () => {
  const bytes = fromText(EVERYTHING);
  assert.ok(WebAssembly.validate(bytes));
  const without_names = encodeModule(decodeModule(bytes));
  // The names are the last section.
  assert.deepEqual(without_names, bytes.slice(0, without_names.length));
  assert.equal(bytes[without_names.length], 0);
});

Deno.test("custom sections are omitted: they have no effect", () => {
  const custom = (text: string) => section(0, [1, ...new TextEncoder().encode(text)]);
  const broken_names = section(0, [4, 0x6e, 0x61, 0x6d, 0x65, 1, 9, 9]);
  const parts = [listOf(1, [0x60, 0, 0]), listOf(3, [0]), listOf(10, body([0x0b]))];
  const bytes = moduleOf(custom("a"), ...parts, broken_names, custom("d"));
  assert.deepEqual(encodeModule(decodeModule(bytes)), moduleOf(...parts));
});

Deno.test("integers in a longer form are written in the shortest", () => {
  const long = moduleWith([0x41, 0x80, 0x80, 0x00, 0x1a, 0x0b]);
  assert.deepEqual(encodeModule(decodeModule(long)), moduleWith([0x41, 0x00, 0x1a, 0x0b]));
});

Deno.test("extreme constants keep every bit", () => {
  for (
    const code of [
      [0x41, 0x80, 0x80, 0x80, 0x80, 0x78], // i32.const -2^31
      [0x41, 0xff, 0xff, 0xff, 0xff, 0x07], // i32.const 2^31 - 1
      [0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f], // i64.const -2^63
      [0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], // i64.const 2^63 - 1
      [0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], // i64.const 2^49
      [0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f], // i64.const -2^49
      [0x43, 0x01, 0x00, 0xa0, 0xff], // f32.const, a signalling NaN
      [0x44, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf4, 0x7f], // f64.const, a signalling NaN
    ]
  ) {
    const bytes = moduleWith([...code, 0x1a, 0x0b]);
    assert.deepEqual(encodeModule(decodeModule(bytes)), bytes);
  }
});

Deno.test("a value that does not fit the format is a programming error", () => {
  const module = decodeModule(moduleWith([0x0b]));
  const [only] = module.functions;
  assert.ok(only !== undefined);
  const unknown = { ...only, code: [instruction(0xff)] };
  assert.throws(() => encodeModule({ ...module, functions: [unknown] }), TypeError);
  const negative = { ...only, code: [instruction(Op.CALL, -1)] };
  assert.throws(() => encodeModule({ ...module, functions: [negative] }), TypeError);
});

Deno.test("a module: any number is written and read back, or refused", () => {
  const number = fc.oneof(
    fc.double(),
    fc.maxSafeInteger(),
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    fc.constantFrom(
      NaN,
      Infinity,
      -Infinity,
      0.5,
      -(2 ** 32),
      -(2 ** 32) - 1,
      2 ** 32 - 1,
      2 ** 32,
    ),
  );
  const read = (writer: Writer, of: "u32" | "s33" | "s64") =>
    new Reader(writer.view(), 0, writer.length, { steps: 0 })[of]();
  fc.assert(fc.property(number, fc.boolean(), (value, is_signed) => {
    const writer = new Writer();
    const of = is_signed ? "s33" : "u32";
    const low = is_signed ? -(2 ** 32) : 0;
    if (!Number.isInteger(value) || value < low || value >= 2 ** 32) {
      return assert.throws(() => writer[of](value), TypeError);
    }
    writer[of](value);
    assert.equal(Number(read(writer, of)) - value, 0);
  }));
  fc.assert(fc.property(fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }), (value) => {
    const writer = new Writer();
    if (BigInt.asIntN(64, value) !== value) {
      return assert.throws(() => writer.s64(value), TypeError);
    }
    writer.s64(value);
    assert.equal(read(writer, "s64"), value);
  }));
});

Deno.test("the index spaces count imports first", () => {
  const module = decodeModule(fromText(EVERYTHING));
  assert.deepEqual(importCounts(module), { function: 1, table: 1, memory: 0, global: 1 });
});
