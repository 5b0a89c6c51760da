/**
 * The instructions that the generator of random code chooses from, by what they give. Left out is
 * what shows the bits of a NaN, which the interpreter does not keep. For tests only.
 */
import { ValueType } from "../module/module.ts";
import { Op, OPCODES } from "../module/opcodes.ts";

const { I32, I64, F32, F64 } = ValueType;
const NUMBERS = [I32, I64, F32, F64] as const;
/** Traps on most operands (float to integer), or shows a NaN's sign or bits. */
const LEFT_OUT = new Set([0xa8, 0xa9, 0xaa, 0xab, 0xae, 0xaf, 0xb0, 0xb1, 0xbc, 0xbd, 0x98, 0xa6]);

/** Numeric instructions by their result. */
export const NUMERIC = new Map(NUMBERS.map((type) => {
  const found = [...OPCODES].filter(([op, { immediate, signature }]) =>
    immediate === "none" && signature?.results[0] === type && !LEFT_OUT.has(op)
  );
  return [type as ValueType, found.map(([op]) => op)] as const;
}));

/** Loads by their result. */
export const LOADS = new Map<ValueType, readonly number[]>([
  [I32, [0x28, 0x2c, 0x2d, 0x2e, 0x2f]],
  [I64, [0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35]],
  [F32, [0x2a]],
  [F64, [0x2b]],
]);
/** Stores, with what they store. */
export const STORES = [[I32, 0x36], [I64, 0x37], [I32, 0x3a], [I32, 0x3b], [I64, 0x3e]] as const;

/** Bulk and table instructions that leave nothing. */
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
