/**
 * Cuts a function's code into basic blocks and computes the price of each. Every block is charged whole
 * before it runs, so nothing runs unpaid; after a trap, the rest of its block has been paid for, too.
 * Reads the code only; `meter_code.ts` writes the charges into it.
 *
 * Blocks start at the function's entry, after `loop`, `if`, `else` and `br_if`, and after the `end`
 * of a construct from which some branch leaves to an outer one. After the `end` of any other
 * construct, control arrives exactly once for each arrival at the opener, so that code is paid
 * for together with the code before the opener. Code that control never reaches is in no block and
 * costs nothing.
 */
import { ENTRY_UNITS } from "./meter_costs.ts";
import { instructionUnits, type Prices } from "./prices.ts";
import type { FunctionBody, FunctionType, Instruction, WasmModule } from "../module/module.ts";
import { Op, opensBlock } from "../module/opcodes.ts";
import { PolicyModuleError } from "../module/errors.ts";

/** One basic block with a price. */
export interface BlockCharge {
  /** Index of the instruction before which it is paid. */
  readonly at: number;
  readonly units: number;
}

interface OpenCharge {
  readonly at: number;
  units: number;
}

/** A block, loop, if or the function itself that the walk has entered. */
interface Frame {
  readonly op: number;
  /** Whether control reaches its opener. */
  readonly entered: boolean;
  /** The block that its opener is in. */
  readonly charge: OpenCharge;
  /** Whether control reaches its end in another way than through the current arm. */
  targeted: boolean;
  /** The outermost frame to which live code inside branches or from which it returns, by index. */
  reach: number;
}

/** Parameters and results of a block, loop or if. */
function blockValues(a: number, types: readonly FunctionType[]): number {
  if (a < 0) return a === -64 ? 0 : 1;
  const type = types[a];
  return type === undefined ? 0 : type.parameters.length + type.results.length;
}

/** The number of locals that a function declares. */
export function declaredLocals(body: FunctionBody): number {
  return body.locals.reduce((sum, group) => sum + group.count, 0);
}

/** Walks one body. `live`: control reaches the current instruction. */
class Walk {
  readonly #module: WasmModule;
  readonly #body: FunctionBody;
  readonly #prices: Prices | undefined;
  readonly #frames: Frame[];
  readonly #charges: OpenCharge[];
  #charge: OpenCharge;
  #live = true;

  constructor(module: WasmModule, body: FunctionBody, prices: Prices | undefined) {
    this.#module = module;
    this.#body = body;
    this.#prices = prices;
    const type = module.types[body.type];
    const values = (type?.parameters.length ?? 0) + (type?.results.length ?? 0);
    this.#charge = { at: 0, units: ENTRY_UNITS + values + declaredLocals(body) };
    this.#charges = [this.#charge];
    this.#frames = [];
    this.#enter(Op.BLOCK);
  }

  run(): readonly BlockCharge[] {
    this.#body.code.forEach((instruction, index) => {
      if (this.#live) this.#charge.units += this.#price(instruction, index);
      this.#step(instruction, index);
    });
    return this.#charges.filter(({ units }) => units > 0);
  }

  #price(instruction: Instruction, index: number): number {
    const { op, a } = instruction;
    const values = opensBlock(op)
      ? blockValues(a, this.#module.types)
      : this.#body.facts.arities[index] ?? 0;
    const units = instructionUnits(instruction, values, this.#prices);
    if (units !== undefined) return units;
    const hex = `0x${op.toString(16)}`;
    throw new PolicyModuleError("module-unsupported", `Instruction ${hex} has no price.`);
  }

  #step({ op, a, list }: Instruction, index: number): void {
    switch (op) {
      case Op.BLOCK:
      case Op.LOOP:
      case Op.IF:
        this.#enter(op);
        if (op !== Op.BLOCK) this.#open(index + 1);
        return;
      case Op.ELSE:
        return this.#otherwise(index);
      case Op.END:
        return this.#end(index);
      case Op.BR_IF:
        this.#target([a]);
        return this.#open(index + 1);
      case Op.BR:
      case Op.BR_TABLE:
        this.#target([...list, a]);
        this.#live = false;
        return;
      case Op.RETURN:
        this.#target([this.#frames.length - 1]);
        this.#live = false;
        return;
      case Op.UNREACHABLE:
        this.#live = false;
    }
  }

  #enter(op: number): void {
    const charge = this.#charge;
    this.#frames.push({ op, entered: this.#live, charge, targeted: false, reach: Infinity });
  }

  /** Ends the first arm of an `if`. Falling through it is like a branch to the end. */
  #otherwise(index: number): void {
    const frame = this.#frames.pop();
    if (frame === undefined) return;
    const targeted = frame.targeted || this.#live;
    this.#frames.push({ ...frame, op: Op.ELSE, targeted });
    this.#live = frame.entered;
    this.#open(index + 1);
  }

  #end(index: number): void {
    const frame = this.#frames.pop();
    if (frame === undefined) return;
    const outer = this.#frames.at(-1);
    if (outer !== undefined) outer.reach = Math.min(outer.reach, frame.reach);
    // A branch to a loop goes to its start, and an `if` without `else` may go to its end at once.
    const joined = frame.op !== Op.LOOP &&
      (frame.targeted || (frame.op === Op.IF && frame.entered));
    if (!joined && !this.#live) return;
    this.#live = true;
    if (frame.reach >= this.#frames.length) this.#charge = frame.charge;
    else if (joined) this.#open(index + 1);
  }

  /** A branch to one of `labels`; for live code only. */
  #target(labels: readonly number[]): void {
    if (!this.#live) return;
    const top = this.#frames.at(-1);
    for (const label of labels) {
      const at = this.#frames.length - 1 - label;
      const frame = this.#frames[at];
      if (frame !== undefined) frame.targeted = true;
      if (top !== undefined) top.reach = Math.min(top.reach, at);
    }
  }

  /** A new block starts at `at`, if control arrives there. */
  #open(at: number): void {
    if (!this.#live) return;
    this.#charge = { at, units: 0 };
    this.#charges.push(this.#charge);
  }
}

/** The charges of one function, in the order of its code; by the usual prices if absent. Throws `PolicyModuleError`. */
export function blockCharges(
  module: WasmModule,
  body: FunctionBody,
  prices?: Prices,
): readonly BlockCharge[] {
  return new Walk(module, body, prices).run();
}
