/**
 * The instructions that the generator of random code chooses from, by result. Those that show the bits
 * of a NaN are separate, since the interpreter does not preserve them. For tests only.
 */
import { type Instruction, instruction, ValueType } from "../module/module.ts";
import { Op, OPCODES } from "../module/opcodes.ts";
import type { Tape } from "./tape.ts";

const { I32, I64, F32, F64 } = ValueType;
const NUMBERS = [I32, I64, F32, F64] as const;
/** Trap on most operands: float to integer. */
const TRAPPING = new Set([0xa8, 0xa9, 0xaa, 0xab, 0xae, 0xaf, 0xb0, 0xb1]);
/** Show a NaN's sign or bits: reinterpret, copysign. */
const SHOWING = new Set([0xbc, 0xbd, 0x98, 0xa6]);

function numericBut(left_out: ReadonlySet<number>): ReadonlyMap<ValueType, readonly number[]> {
  return new Map(NUMBERS.map((type) => {
    const found = [...OPCODES].filter(([op, { immediate, signature }]) =>
      immediate === "none" && signature?.results[0] === type && !left_out.has(op)
    );
    return [type as ValueType, found.map(([op]) => op)] as const;
  }));
}

/** Numeric instructions by their result; with `shown` including those that show the bits of a NaN. */
export const NUMERIC = {
  hidden: numericBut(new Set([...TRAPPING, ...SHOWING])),
  shown: numericBut(TRAPPING),
} as const;

/** Loads by their result. */
export const LOADS = new Map<ValueType, readonly number[]>([
  [I32, [0x28, 0x2c, 0x2d, 0x2e, 0x2f]],
  [I64, [0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35]],
  [F32, [0x2a]],
  [F64, [0x2b]],
]);
const INTEGER_STORES = [[I32, 0x36], [I64, 0x37], [I32, 0x3a], [I32, 0x3b], [I64, 0x3e]] as const;
/** Stores, with the type that they store; those of floats show the bits of a NaN. */
export const STORES = {
  hidden: INTEGER_STORES,
  shown: [...INTEGER_STORES, [F32, 0x38], [F64, 0x39], [F32, 0x38], [F64, 0x39]] as const,
} as const;
/** Bits of an f32: NaNs quiet and signalling, infinities and zeros, whose sums and products are NaNs. */
const SPECIAL_F32 = [0x7fc0_0000, 0xffc0_0001, 0x7fa0_0000, 0x7f80_0000, 0xff80_0000, 0];
/** The same of an f64. */
const SPECIAL_F64 = [
  ...[0x7ff8_0000_0000_0000n, 0xfff8_0000_0000_0001n, 0x7ff4_0000_0000_0000n],
  ...[0x7ff0_0000_0000_0000n, 0xfff0_0000_0000_0000n, 0n],
];

/** A constant of the float type with such bits. */
export function specialConstant(tape: Tape, type: typeof F32 | typeof F64): Instruction {
  return type === F32
    ? instruction(Op.F32_CONST, tape.one(SPECIAL_F32))
    : instruction(Op.F64_CONST, 0, 0, tape.one(SPECIAL_F64));
}

/** Bulk and table instructions without results. */
export const BULK = [
  Op.MEMORY_FILL,
  Op.MEMORY_COPY,
  Op.MEMORY_INIT,
  Op.TABLE_INIT,
  Op.TABLE_COPY,
  Op.TABLE_FILL,
  Op.TABLE_SET,
  Op.DATA_DROP,
  Op.ELEM_DROP,
] as const;
