/**
 * Makes the bits of every NaN that arithmetic produces the same. The standard leaves the sign and the payload of
 * such a NaN open (WebAssembly 2.0, 4.3.3 "NaN Propagation"), and engines, compilers and processors
 * differ, so that a module that stores or reinterprets one would not have the same result everywhere.
 * This file knows those instructions and the code that follows them; `meter_code.ts` writes it.
 *
 * Sign operations (`abs`, `neg`, `copysign`) and moves keep a value's bits, and the module chooses the bits of
 * constants and loaded values: none of them is changed.
 */
import { type Instruction, instruction, plain, ValueType } from "../module/module.ts";
import { Op } from "../module/opcodes.ts";

/** The positive canonical NaN of each type, as the standard names it. */
const CANONICAL_F32 = 0x7fc0_0000;
const CANONICAL_F64 = 0x7ff8_0000_0000_0000n;

const F32_EQ = 0x5b;
const F64_EQ = 0x61;

/** Runs of opcodes whose NaN has open bits, by the type of their result. */
const OPEN: readonly (readonly [first: number, last: number, type: ValueType])[] = [
  [0x8d, 0x97, ValueType.F32], // f32.ceil, floor, trunc, nearest, sqrt, add, sub, mul, div, min, max
  [0x9b, 0xa5, ValueType.F64], // the same of f64
  [0xb6, 0xb6, ValueType.F32], // f32.demote_f64
  [0xbb, 0xbb, ValueType.F64], // f64.promote_f32
];

/** Further runs whose result is the same for each NaN that is their topmost operand. */
const BLIND: readonly (readonly [first: number, last: number])[] = [
  [Op.DROP, Op.DROP],
  [0x5b, 0x66], // comparisons of floats
  [0xa8, 0xab], // float to i32
  [0xae, 0xb1], // float to i64
  [0xfc00, 0xfc07], // saturating float to integer
];

const OPEN_TYPES: ReadonlyMap<number, ValueType> = new Map(
  OPEN.flatMap(([first, last, type]) =>
    Array.from({ length: last - first + 1 }, (_, at) => [first + at, type] as const)
  ),
);

/**
 * Whether an instruction has the same result for each NaN as its topmost operand. That result is made canonical, so
 * the operand need not be.
 */
function isBlind(op: number): boolean {
  return OPEN_TYPES.has(op) || BLIND.some(([first, last]) => op >= first && op <= last);
}

/**
 * The type of the float that `op` returns, if the bits of its NaN are open and the following instruction `next` could
 * show them; else undefined.
 */
export function shownNanType(op: number, next: number): ValueType | undefined {
  const type = OPEN_TYPES.get(op);
  return type === undefined || isBlind(next) ? undefined : type;
}

/** Replaces a NaN on top of the stack by the canonical one; `local` is a free local of the type. */
export function canonicalNan(type: ValueType, local: number): readonly Instruction[] {
  const float = instruction(Op.LOCAL_GET, local);
  const is_f32 = type === ValueType.F32;
  return [
    instruction(Op.LOCAL_TEE, local),
    is_f32
      ? instruction(Op.F32_CONST, CANONICAL_F32)
      : instruction(Op.F64_CONST, 0, 0, CANONICAL_F64),
    float,
    float,
    plain(is_f32 ? F32_EQ : F64_EQ),
    plain(Op.SELECT),
  ];
}
