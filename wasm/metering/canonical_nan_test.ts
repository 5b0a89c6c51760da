/**
 * NaNs of metered code: the result of arithmetic is the same number or the canonical NaN, and bits that
 * the standard preserves are preserved. Other engines: tests/verification/modules_by_wasmtime.py.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { fromText } from "../testing/bytes.ts";
import { MeteredInstance } from "../testing/wat.ts";

const CANONICAL = { f32: 0x7fc0_0000n, f64: 0x7ff8_0000_0000_0000n } as const;
type Float = keyof typeof CANONICAL;

const UNARY = ["ceil", "floor", "trunc", "nearest", "sqrt"];
const BINARY = ["add", "sub", "mul", "div", "min", "max"];
/** Bits of floats of each sort: NaNs quiet and signalling of both signs, infinities, zeros, numbers. */
const BITS: Readonly<Record<Float, readonly bigint[]>> = {
  f32: [
    ...[0x7fc0_0000n, 0xffc0_0000n, 0x7fa0_0000n, 0xff80_0001n, 0x7fff_ffffn],
    ...[0x7f80_0000n, 0xff80_0000n, 0n, 0x8000_0000n, 0x3fc0_0000n, 0xc2f0_0000n, 1n],
  ],
  f64: [
    ...[0x7ff8_0000_0000_0000n, 0xfff8_0000_0000_0000n, 0x7ff4_0000_0000_0000n],
    ...[0xfff0_0000_0000_0001n, 0x7fff_ffff_ffff_ffffn, 0x7ff0_0000_0000_0000n],
    ...[0xfff0_0000_0000_0000n, 0n, 1n << 63n, 0x3ff8_0000_0000_0000n, 0xc05e_0000_0000_0000n, 1n],
  ],
};

const fromBits = (type: Float, name: string) =>
  type === "f64"
    ? `(f64.reinterpret_i64 (local.get ${name}))`
    : `(f32.reinterpret_i32 (i32.wrap_i64 (local.get ${name})))`;
const toBits = (type: Float, value: string) =>
  type === "f64"
    ? `(i64.reinterpret_f64 ${value})`
    : `(i64.extend_i32_u (i32.reinterpret_f32 ${value}))`;

/** A module whose export `f` applies an expression to $a and $b, as bits, and returns bits. */
function moduleOf(type: Float, expression: string): string {
  const value = toBits(type, expression);
  return `(module (func (export "f") (param $a i64) (param $b i64) (result i64) ${value}))`;
}

const metered = new Map<string, MeteredInstance>();

/** The metered result of the expression, as unsigned bits. */
function bitsOf(type: Float, expression: string, a: bigint, b: bigint): bigint {
  const text = moduleOf(type, expression);
  let instance = metered.get(text);
  if (instance === undefined) metered.set(text, instance = new MeteredInstance(text));
  const { result, trapped } = instance.call("f", 1_000_000, a, b);
  assert.equal(trapped, false);
  return BigInt.asUintN(type === "f64" ? 64 : 32, result as bigint);
}

function isNan(type: Float, bits: bigint): boolean {
  const infinity = type === "f64" ? 0x7ff0_0000_0000_0000n : 0x7f80_0000n;
  return (bits & ~(1n << (type === "f64" ? 63n : 31n))) > infinity;
}

function expressions(type: Float): readonly string[] {
  const a = fromBits(type, "$a");
  const b = fromBits(type, "$b");
  const other = type === "f64" ? "f32" : "f64";
  return [
    ...UNARY.map((name) => `(${type}.${name} ${a})`),
    ...BINARY.map((name) => `(${type}.${name} ${a} ${b})`),
    type === "f64"
      ? `(f64.promote_f32 ${fromBits(other, "$a")})`
      : `(f32.demote_f64 ${fromBits(other, "$a")})`,
  ];
}

for (const type of ["f32", "f64"] as const) {
  Deno.test(`${type}: each NaN from arithmetic is the canonical one`, () => {
    const all = [...BITS[type], ...BITS[type === "f64" ? "f32" : "f64"]];
    let nans = 0;
    for (const expression of expressions(type)) {
      for (const a of all) {
        for (const b of all) {
          const bits = bitsOf(type, expression, a, b);
          if (!isNan(type, bits)) continue;
          nans += 1;
          assert.equal(bits, CANONICAL[type], `${expression} of ${a} and ${b}`);
        }
      }
    }
    assert.ok(nans > 1_000, `${nans}`);
  });

  Deno.test(`${type}: moves and sign changes keep a NaN's bits`, () => {
    const sign = 1n << (type === "f64" ? 63n : 31n);
    const a = fromBits(type, "$a");
    const b = fromBits(type, "$b");
    for (const bits of BITS[type]) {
      const of = (expression: string) => bitsOf(type, expression, bits, 1n);
      assert.equal(of(a), bits);
      assert.equal(of(`(${type}.abs ${a})`), bits & ~sign);
      assert.equal(of(`(${type}.neg ${a})`), bits ^ sign);
      assert.equal(of(`(${type}.copysign ${a} ${b})`), bits & ~sign);
      assert.equal(of(`(select ${a} ${b} (i32.const 1))`), bits);
    }
  });
}

/** Random expressions over $a and $b, in which NaNs go through several instructions before they show. */
const expressionOf = (type: Float) =>
  fc.letrec<{ value: string }>((tie) => ({
    value: fc.oneof(
      { depthSize: "medium" },
      fc.constantFrom(fromBits(type, "$a"), fromBits(type, "$b")),
      fc.tuple(fc.constantFrom(...UNARY), tie("value"))
        .map(([name, of]) => `(${type}.${name} ${of})`),
      fc.tuple(fc.constantFrom(...BINARY), tie("value"), tie("value"))
        .map(([name, left, right]) => `(${type}.${name} ${left} ${right})`),
    ),
  })).value;

Deno.test("a NaN is canonical after any chain of arithmetic, and numbers are as without metering", () => {
  for (const type of ["f32", "f64"] as const) {
    fc.assert(
      fc.property(
        expressionOf(type),
        fc.constantFrom(...BITS[type]),
        fc.constantFrom(...BITS[type]),
        (expression, a, b) => {
          const bits = bitsOf(type, expression, a, b);
          if (expression === fromBits(type, "$a")) assert.equal(bits, a);
          else if (expression === fromBits(type, "$b")) assert.equal(bits, b);
          else if (isNan(type, bits)) assert.equal(bits, CANONICAL[type]);
          else assert.equal(bits, plainBits(type, expression, a, b));
        },
      ),
      { numRuns: 300, seed: 11 },
    );
    metered.clear();
  }
});

/** The result of the expression without metering. */
function plainBits(type: Float, expression: string, a: bigint, b: bigint): bigint {
  const module = new WebAssembly.Module(fromText(moduleOf(type, expression)));
  const f = new WebAssembly.Instance(module).exports["f"] as (a: bigint, b: bigint) => bigint;
  return BigInt.asUintN(type === "f64" ? 64 : 32, f(a, b));
}
