/**
 * Kernels for every instruction with fixed types and without memory access. Each has operands that are known to be slow
 * on processors, in a chain of dependent results. Text only; `worst_kernels.ts` has the other kernels and collects all.
 */
import { OPCODES } from "../../wasm/module/opcodes.ts";
import { ValueType } from "../../wasm/module/module.ts";
import type { WorstKernel } from "./worst_bulk.ts";

const { I32, I64, F32, F64 } = ValueType;

/** Two operands as bits: first, second. */
type Pair = readonly [first: bigint, second: bigint];

const SINGLES: readonly Pair[] = [
  [0x0000_0200n, 0x3f80_0001n], // subnormal, a little above 1
  [0x0d80_0000n, 0x2b80_0000n], // their product is subnormal
  [0x0000_0200n, 0x0000_0001n], // both subnormal
  [0x7fc0_0000n, 0x3f80_0000n], // NaN
  [0x7f80_0000n, 0x3f80_0000n], // infinity
  [0x3fc0_0000n, 0x3fa0_0000n], // ordinary
  [0x8000_0000n, 0x0000_0000n], // zeros of both signs
];
const DOUBLES: readonly Pair[] = [
  [0x0000_0000_0000_4000n, 0x3ff0_0000_0000_0001n],
  [0x0170_0000_0000_0000n, 0x3c30_0000_0000_0000n],
  [0x0000_0000_0000_4000n, 0x0000_0000_0000_0001n],
  [0x7ff8_0000_0000_0000n, 0x3ff0_0000_0000_0000n],
  [0x7ff0_0000_0000_0000n, 0x3ff0_0000_0000_0000n],
  [0x3ff8_0000_0000_0000n, 0x3ff4_0000_0000_0000n],
  [0x8000_0000_0000_0000n, 0x0000_0000_0000_0000n],
  [0x380f_ffff_0000_0000n, 0x3ff0_0000_0000_0000n], // subnormal as a single
];
const INTEGERS: readonly Pair[] = [
  [0x7fff_ffff_ffff_ffffn, 3n],
  [0x8000_0000_0000_0000n, 7n],
  [0xffff_ffff_ffff_fffen, 0x7fff_ffff_7fff_ffffn],
  [1n, 1n],
];
const PAIRS: ReadonlyMap<ValueType, readonly Pair[]> = new Map([
  [I32 as ValueType, INTEGERS],
  [I64, INTEGERS],
  [F32, SINGLES],
  [F64, DOUBLES],
]);
/** Operands for trapping truncations, within their range: 1.5 and a subnormal number. */
const TRUNCATED: ReadonlyMap<ValueType, readonly Pair[]> = new Map([
  [F32 as ValueType, [SINGLES[5]!, SINGLES[0]!]],
  [F64, [DOUBLES[5]!, DOUBLES[0]!]],
]);
const TRAPS = (op: number) => (op >= 0xa8 && op <= 0xab) || (op >= 0xae && op <= 0xb1);

/** Instructions that convert an i64 on the stack to another type. */
const FROM_BITS: Readonly<Record<number, string>> = {
  [I32]: "(i32.wrap_i64 BITS)",
  [I64]: "BITS",
  [F32]: "(f32.reinterpret_i32 (i32.wrap_i64 BITS))",
  [F64]: "(f64.reinterpret_i64 BITS)",
};
/** Instructions that convert another type to an i64. */
const TO_BITS: Readonly<Record<number, string>> = {
  [I32]: "(i64.extend_i32_u VALUE)",
  [I64]: "VALUE",
  [F32]: "(i64.extend_i32_u (i32.reinterpret_f32 VALUE))",
  [F64]: "(i64.reinterpret_f64 VALUE)",
};
const LOCALS: Readonly<Record<number, string>> = {
  [I32]: "$i32",
  [I64]: "$i64",
  [F32]: "$f32",
  [F64]: "$f64",
};

/** First and second operand as bits: the pair itself, or a random choice of either. */
const CHAINED = (pair: Pair) => [
  `(i64.xor (i64.and (local.get $acc) (local.get $zero)) (i64.const ${pair[0]}))`,
  `(i64.const ${pair[1]})`,
];
const RANDOM = (pair: Pair) => {
  const either = (first: bigint, second: bigint, bit: number) =>
    `(select (i64.const ${first}) (i64.const ${second})
      (i32.wrap_i64 (i64.and (i64.shr_u (local.get $random) (i64.const ${bit})) (i64.const 1))))`;
  return [either(pair[0], pair[1], 40), either(pair[1], pair[1], 41)];
};
const NEXT_RANDOM = `(local.set $random
  (i64.add (i64.mul (local.get $random) (i64.const 6364136223846793005)) (i64.const 1)))`;

function operand(type: ValueType, bits: string): string {
  return FROM_BITS[type]!.replace("BITS", bits);
}

/** A kernel whose result is the next first operand, so that the chain has only the instruction. */
function fedBack(op: number, at: number, pair: Pair): WorstKernel {
  const { name, signature } = OPCODES.get(op)!;
  const [type = I32, second] = signature?.parameters ?? [];
  const local = LOCALS[type]!;
  const other = second === undefined ? "" : `(local.get ${local}b)`;
  const constant = (bits: bigint) => operand(type, `(i64.const ${bits})`);
  return {
    name: `${name} fed back ${at}`,
    ops: [op],
    before: `(local.set ${local} ${constant(pair[0])}) (local.set ${local}b ${constant(pair[1])})`,
    body: `(local.set ${local} (${name} (local.get ${local}) ${other}))`,
  };
}

function kernel(op: number, at: number, pair: Pair, random: boolean): WorstKernel {
  const { name, signature } = OPCODES.get(op)!;
  const { parameters = [], results: [result = I32] = [] } = signature ?? {};
  const bits = (random ? RANDOM : CHAINED)(pair);
  const operands = parameters.map((type, place) => operand(type, bits[place]!));
  const value = TO_BITS[result]!.replace("VALUE", `(${name} ${operands.join(" ")})`);
  return {
    name: `${name} ${random ? "at random" : "chained"} ${at}`,
    ops: [op],
    body: `${random ? NEXT_RANDOM : ""} (local.set $acc ${value})`,
  };
}

/**
 * Whether a result can be fed back. A chain of divisions would reach the smallest number divided by −1, which traps.
 */
const FED_BACK = (op: number) => OPCODES.get(op)?.name.match(/div_|rem_/) === null;

/** All kernels for numeric instructions. */
export function numericKernels(): readonly WorstKernel[] {
  const kernels: WorstKernel[] = [];
  for (const [op, { immediate, signature }] of OPCODES) {
    const [type] = signature?.parameters ?? [];
    if (immediate !== "none" || signature === undefined || type === undefined) continue;
    const pairs = (TRAPS(op) ? TRUNCATED : PAIRS).get(type) ?? [];
    pairs.forEach((pair, at) => {
      kernels.push(kernel(op, at, pair, false));
      if (signature.results[0] === type && FED_BACK(op)) kernels.push(fedBack(op, at, pair));
      if (at % 3 === 0) kernels.push(kernel(op, at, pair, true));
    });
  }
  return kernels;
}
