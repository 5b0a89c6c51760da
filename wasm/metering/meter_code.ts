/**
 * Writes charges and canonical NaNs into code: the body of a metered function, and the thunk that replaces
 * an import. `meter_blocks.ts` finds the blocks; `meter.ts` writes the module around the code.
 */
import { type BlockCharge, declaredLocals } from "./meter_blocks.ts";
import { frameSlots, IMPORT_UNITS, LEAF_SLOTS } from "./meter_costs.ts";
import type { SizeLimit } from "./meter_sizes.ts";
import { type Prices, type SizeRate, sizeRate } from "./prices.ts";
import { instruction, plain, ValueType } from "../module/module.ts";
import type { FunctionBody, FunctionType, Instruction, LocalGroup } from "../module/module.ts";
import { EMPTY_BLOCK, Op, opensBlock } from "../module/opcodes.ts";

/** The facts about a module that its metered code needs. */
export interface CodeTarget {
  readonly types: readonly FunctionType[];
  readonly prices: Prices;
  /** Index of the global with the units left. */
  readonly fuel: number;
  readonly charges: Charges;
  /** Index of the global with the slots in use. */
  readonly height: number;
  readonly height_limit_slots: number;
  /** The new index of a function of the old module: imports become their thunks. */
  readonly redirect: (function_index: number) => number;
  /** The greatest size with which a bulk instruction may succeed. */
  readonly sizeLimit: SizeLimit;
  /** The block type (as in `Instruction.a`) of a block without parameters and these results. */
  readonly resultBlock: (results: readonly ValueType[]) => number;
}

type MeteredCode = Pick<FunctionBody, "locals" | "code">;

/** `if` the topmost i32 is not 0, trap. */
const TRAP_IF: readonly Instruction[] = [
  instruction(Op.IF, EMPTY_BLOCK),
  plain(Op.UNREACHABLE),
  plain(Op.END),
];

/** In place of a local's index: none. */
const NO_LOCAL = -1;

/**
 * Writes charges against the fuel global; equal instructions are one object, so that many are cheap.
 *
 * In a function with loops the units left are kept in a local beside the global: a charge then takes
 * them from there and still stores the global, so the global is exact at every call and trap, while
 * the loop does not wait for its own store to be loaded again (measured in baseline code: tight loops
 * take up to a third less time; no difference in optimised code on a processor that forwards stores
 * for free). The local is loaded again after every call.
 */
export class Charges {
  readonly #get: Instruction;
  readonly #set: Instruction;
  readonly #constants = new Map<number, Instruction>();

  constructor(fuel: number) {
    this.#get = instruction(Op.GLOBAL_GET, fuel);
    this.#set = instruction(Op.GLOBAL_SET, fuel);
  }

  #constant(value: number): Instruction {
    let found = this.#constants.get(value);
    if (found === undefined) {
      found = instruction(Op.I64_CONST, 0, 0, BigInt(value));
      this.#constants.set(value, found);
    }
    return found;
  }

  /**
   * Pays `price`, code that leaves an i64; traps if the units are below zero afterwards. The global stays
   * negative, so that the host can distinguish this trap from others. `fresh`: `fuel_local`, if there is one, already
   * has the units.
   */
  #pay(price: readonly Instruction[], fuel_local: number, fresh: boolean): readonly Instruction[] {
    const kept = fuel_local !== NO_LOCAL;
    const left = kept ? instruction(Op.LOCAL_GET, fuel_local) : this.#get;
    return [
      fresh ? left : this.#get,
      ...price,
      plain(Op.I64_SUB),
      ...(kept ? [instruction(Op.LOCAL_TEE, fuel_local)] : []),
      this.#set,
      left,
      this.#constant(0),
      plain(Op.I64_LT_S),
      ...TRAP_IF,
    ];
  }

  units(units: number, fuel_local = NO_LOCAL, fresh = true): readonly Instruction[] {
    return this.#pay([this.#constant(units)], fuel_local, fresh);
  }

  /**
   * Pays for the i32 in `local`, zero-extended; in i64, so that nothing overflows. Pays nothing if it
   * is above the result of the code `most`: then the instruction does nothing.
   */
  size(
    local: number,
    { left, right }: SizeRate,
    fuel_local = NO_LOCAL,
    most?: readonly Instruction[],
  ): readonly Instruction[] {
    const operand = [instruction(Op.LOCAL_GET, local), plain(Op.I64_EXTEND_I32_U)];
    const price = [...operand];
    if (left > 0) price.push(this.#constant(left), plain(Op.I64_SHL));
    if (right > 0) {
      price.push(this.#constant(2 ** right - 1), plain(Op.I64_ADD));
      price.push(this.#constant(right), plain(Op.I64_SHR_U));
    }
    if (most !== undefined) {
      price.push(this.#constant(0), ...operand, ...most, plain(Op.I64_LE_U), plain(Op.SELECT));
    }
    return this.#pay(price, fuel_local, true);
  }

  /** Loads the remaining units into their local. */
  reload(fuel_local: number): readonly Instruction[] {
    return [this.#get, instruction(Op.LOCAL_SET, fuel_local)];
  }
}

/** Adds slots to those in use, or subtracts them. */
function countSlots(
  { height }: CodeTarget,
  slots: number,
  op: typeof Op.I32_ADD | typeof Op.I32_SUB,
): readonly Instruction[] {
  const size = instruction(Op.I32_CONST, slots);
  return [instruction(Op.GLOBAL_GET, height), size, plain(op), instruction(Op.GLOBAL_SET, height)];
}

/** Counts the frame's slots in; traps above the limit, leaving the global above it. */
function enterFrame(target: CodeTarget, slots: number): readonly Instruction[] {
  return [
    ...countSlots(target, slots, Op.I32_ADD),
    instruction(Op.GLOBAL_GET, target.height),
    instruction(Op.I32_CONST, target.height_limit_slots),
    plain(Op.I32_GT_U),
    ...TRAP_IF,
  ];
}

/** Whether a body can have other calls above it on the stack, or is too large to go uncounted. */
function countsFrame(body: FunctionBody, slots: number): boolean {
  return slots > LEAF_SLOTS ||
    body.code.some(({ op }) => isCall(op));
}

function isCall(op: number): boolean {
  return op === Op.CALL || op === Op.CALL_INDIRECT;
}

/** Additional locals of a metered body; `NO_LOCAL` where it needs none. */
interface ExtraLocals {
  /** Keeps a size operand (i32) while it is paid for. */
  readonly size: number;
  /** Keeps the units left (i64). */
  readonly fuel: number;
  /** The code after an instruction whose NaN shows, by its result type; with a separate local. */
  readonly canonical: ReadonlyMap<ValueType, readonly Instruction[]>;
  readonly groups: readonly LocalGroup[];
}

/** The opcode after the instruction at `index`; after the last one, the body's end. */
function opAfter({ code }: FunctionBody, index: number): number {
  return code[index + 1]?.op ?? Op.END;
}

/** `first` is the first free index. */
function extraLocals(body: FunctionBody, first: number): ExtraLocals {
  const groups: LocalGroup[] = [];
  const take = (needed: boolean, type: ValueType): number => {
    if (!needed) return NO_LOCAL;
    groups.push({ count: 1, type });
    return first + groups.length - 1;
  };
  const size = take(body.code.some(({ op }) => sizeRate(op) !== undefined), ValueType.I32);
  const fuel = take(body.code.some(({ op }) => op === Op.LOOP), ValueType.I64);
  const shown = new Set(body.code.map(({ op }, index) => shownNanType(op, opAfter(body, index))));
  const floats = [ValueType.F32, ValueType.F64].filter((type) => shown.has(type));
  const canonical = new Map(floats.map((type) => [type, canonicalNan(type, take(true, type))]));
  return { size, fuel, canonical, groups };
}

/** The code being written for one body. */
class Writer {
  readonly #target: CodeTarget;
  readonly #code: Instruction[] = [];
  readonly #size_local: number;
  readonly #fuel_local: number;
  readonly #canonical: ReadonlyMap<ValueType, readonly Instruction[]>;
  /** Whether the old body is in an additional block, which `return` has to leave. */
  readonly #wrapped: boolean;
  /** Blocks of the old code that are open. */
  #depth = 0;

  constructor(target: CodeTarget, extra: ExtraLocals, wrapped: boolean) {
    this.#target = target;
    this.#size_local = extra.size;
    this.#fuel_local = extra.fuel;
    this.#canonical = extra.canonical;
    this.#wrapped = wrapped;
  }

  get code(): readonly Instruction[] {
    return this.#code;
  }

  append(code: readonly Instruction[]): void {
    this.#code.push(...code);
  }

  /** Writes one instruction of the old body in its new form; `next` is the opcode after it. */
  translate(old: Instruction, next: number): void {
    if (opensBlock(old.op)) this.#depth += 1;
    else if (old.op === Op.END) this.#depth -= 1;
    const { charges, prices, sizeLimit } = this.#target;
    const rate = sizeRate(old.op, prices);
    if (rate !== undefined) {
      this.append([instruction(Op.LOCAL_TEE, this.#size_local)]);
      this.append(charges.size(this.#size_local, rate, this.#fuel_local, sizeLimit(old)));
    }
    this.append([this.#changed(old)]);
    if (this.#fuel_local !== NO_LOCAL && isCall(old.op)) {
      this.append(this.#target.charges.reload(this.#fuel_local));
    }
    const nan_type = shownNanType(old.op, next);
    if (nan_type !== undefined) this.append(this.#canonical.get(nan_type) ?? []);
  }

  /** Pays for the block that starts here. */
  pay(units: number, at_entry: boolean): void {
    this.append(this.#target.charges.units(units, this.#fuel_local, !at_entry));
  }

  #changed(old: Instruction): Instruction {
    if (old.op === Op.CALL || old.op === Op.REF_FUNC) {
      return instruction(old.op, this.#target.redirect(old.a));
    }
    if (old.op === Op.RETURN && this.#wrapped) return instruction(Op.BR, this.#depth);
    return old;
  }
}

/**
 * A body with its charges. The old locals keep their numbers, and branches keep their targets. If the frame is
 * counted, the old body is in one more block, and branches that left the function leave that block.
 */
export function meterBody(
  target: CodeTarget,
  body: FunctionBody,
  charges: readonly BlockCharge[],
): MeteredCode {
  const type = target.types[body.type] ?? { parameters: [], results: [] };
  const locals = type.parameters.length + declaredLocals(body);
  const slots = frameSlots(locals, body.facts.max_height, body.code.length);
  const wrapped = countsFrame(body, slots);
  const extra = extraLocals(body, locals);
  const writer = new Writer(target, extra, wrapped);
  let next = 0;
  const pay = (index: number) => {
    const charge = charges[next];
    if (charge?.at !== index) return;
    writer.pay(charge.units, index === 0);
    next += 1;
  };
  pay(0);
  if (wrapped) {
    writer.append(enterFrame(target, slots));
    writer.append([instruction(Op.BLOCK, target.resultBlock(type.results))]);
  }
  body.code.forEach((old, index) => {
    if (index > 0) pay(index);
    writer.translate(old, opAfter(body, index));
  });
  if (wrapped) writer.append([...countSlots(target, slots, Op.I32_SUB), plain(Op.END)]);
  return { locals: [...body.locals, ...extra.groups], code: writer.code };
}

/** The body of the thunk of an import: pays for the call and its bytes, then calls. */
export function thunkCode(
  charges: Charges,
  import_index: number,
  parameters: readonly ValueType[],
  lengths: readonly number[],
): readonly Instruction[] {
  return [
    ...charges.units(IMPORT_UNITS + parameters.length),
    ...lengths.flatMap((local) => charges.size(local, { left: 0, right: 0 })),
    ...parameters.map((_type, index) => instruction(Op.LOCAL_GET, index)),
    instruction(Op.CALL, import_index),
    plain(Op.END),
  ];
}

// The bits of every NaN that arithmetic produces are made the same. The standard leaves the sign and the payload of
// such a NaN open (WebAssembly 2.0, 4.3.3 "NaN Propagation"), and engines, compilers and processors differ, so that a
// module that stores or reinterprets one would not have the same result everywhere. Sign operations (`abs`, `neg`,
// `copysign`) and moves keep a value's bits, and the module chooses the bits of constants and loaded values: none of
// them is changed.

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
function shownNanType(op: number, next: number): ValueType | undefined {
  const type = OPEN_TYPES.get(op);
  return type === undefined || isBlind(next) ? undefined : type;
}

/** Replaces a NaN on top of the stack by the canonical one; `local` is a free local of the type. */
function canonicalNan(type: ValueType, local: number): readonly Instruction[] {
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
