/**
 * Runs a decoded, unmetered module one instruction at a time and adds up the prices: the oracle
 * for the metering transform, which charges per block. Shares only the price table with it. For tests only:
 * slow, and imports return zeros.
 */
import {
  ENTRY_UNITS,
  FRAME_SLOTS,
  IMPORT_UNITS,
  LEAF_SLOTS,
  LENGTH_PARAMETERS,
} from "../metering/meter_costs.ts";
import { instructionUnits, sizeRate } from "../metering/prices.ts";
import {
  type ConstExpression,
  type FunctionBody,
  type FunctionType,
  importCounts,
  type Instruction,
  ValueType,
  type WasmModule,
} from "../module/module.ts";
import { Op, opensBlock } from "../module/opcodes.ts";
import { applyMemory, applyNumeric, Trap, type Value } from "./interpreter_numbers.ts";
import { Store } from "./interpreter_store.ts";

/** The units are spent; `units` of the interpreter is then above its budget. */
export class OutOfUnits extends Error {
  override readonly name = "OutOfUnits";
}

interface Label {
  /** Where a branch to it continues. */
  readonly target: number;
  readonly height: number;
  readonly loop: boolean;
}

/** The limits of a run. */
export interface InterpreterLimits {
  readonly units: number;
  readonly memory_limit_pages: number;
  readonly height_limit_slots: number;
}

/** One instance of a module. */
export class Interpreter {
  /** Units of everything that ran. */
  units = 0;
  readonly #module: WasmModule;
  readonly #store: Store;
  readonly #imported: readonly { readonly type: number; readonly lengths: readonly number[] }[];
  readonly #limits: InterpreterLimits;
  #slots = 0;

  constructor(module: WasmModule, limits: InterpreterLimits) {
    this.#module = module;
    this.#limits = limits;
    this.#store = new Store(module, limits.memory_limit_pages, (code) => this.#constant(code));
    this.#imported = module.imports.flatMap(({ description, module: from, name }) => {
      if (description.kind !== "function") return [];
      const lengths = from === "arqon_host_v1" ? LENGTH_PARAMETERS[name] ?? [] : [];
      return [{ type: description.type, lengths }];
    });
  }

  /** Calls an exported function. Throws `Trap` or `OutOfUnits`. */
  call(name: string, operands: readonly Value[]): readonly Value[] {
    const found = this.#module.exports.find((one) => one.name === name);
    if (found?.kind !== "function") throw new TypeError(`no function ${name}`);
    this.#slots = 0;
    return this.#call(found.index, operands);
  }

  #constant(code: ConstExpression): Value {
    const [only] = code;
    if (only === undefined) return 0;
    if (only.op === Op.GLOBAL_GET) return this.#store.globals[only.a] ?? null;
    return literal(only) ?? null;
  }

  #pay(units: number): void {
    this.units += units;
    if (this.units > this.#limits.units) throw new OutOfUnits();
  }

  #call(index: number, operands: readonly Value[]): readonly Value[] {
    const imported = this.#imported[index];
    if (imported !== undefined) {
      this.#pay(IMPORT_UNITS + operands.length);
      for (const at of imported.lengths) this.#pay(Number(operands[at]) >>> 0);
      return this.#type(imported.type).results.map((type) => type === ValueType.I64 ? 0n : 0);
    }
    const body = this.#module.functions[index - importCounts(this.#module).function];
    if (body === undefined) throw new TypeError(`no function ${index}`);
    const type = this.#type(body.type);
    const locals = [...operands, ...body.locals.flatMap(zeros)];
    this.#pay(ENTRY_UNITS + locals.length + type.results.length);
    const slots = FRAME_SLOTS + locals.length + body.facts.max_height +
      Math.floor(body.code.length / 16);
    const calls = body.code.some(({ op }) => op === Op.CALL || op === Op.CALL_INDIRECT);
    const counted = calls || slots > LEAF_SLOTS ? slots : 0;
    this.#slots += counted;
    if (counted > 0 && this.#slots > this.#limits.height_limit_slots) throw new Trap("height");
    const results = this.#run(body, locals, type.results.length);
    this.#slots -= counted;
    return results;
  }

  #type(index: number): FunctionType {
    return this.#module.types[index] ?? { parameters: [], results: [] };
  }

  #run(body: FunctionBody, locals: Value[], result_count: number): readonly Value[] {
    const { code, facts } = body;
    const stack: Value[] = [];
    const labels: Label[] = [{ target: code.length, height: 0, loop: false }];
    let at = 0;
    while (at < code.length) {
      const one = code[at];
      if (one === undefined) break;
      const arity = facts.arities[at] ?? 0;
      this.#pay(this.#price(one, arity));
      const next = this.#control(one, at, body, stack, labels, arity);
      if (next === undefined) this.#plain(one, stack, locals);
      at = next ?? at + 1;
    }
    return stack.slice(stack.length - result_count);
  }

  #price(one: Instruction, arity: number): number {
    let values = arity;
    if (opensBlock(one.op)) {
      const [before, after] = this.#shape(one.a);
      values = before + after;
    }
    const units = instructionUnits(one, values);
    if (units === undefined) throw new TypeError(`no price for ${one.op}`);
    return units;
  }

  /** The numbers of a block's parameters and results. */
  #shape(block_type: number): readonly [number, number] {
    if (block_type < 0) return [0, block_type === -64 ? 0 : 1];
    const { parameters, results } = this.#type(block_type);
    return [parameters.length, results.length];
  }

  /** The next position after a control instruction; `undefined` for all others. */
  #control(
    one: Instruction,
    at: number,
    { facts, code }: FunctionBody,
    stack: Value[],
    labels: Label[],
    arity: number,
  ): number | undefined {
    const partner = (index: number) => facts.partners[index] ?? 0;
    const branch = (label: number) => jump(stack, labels, label, arity);
    switch (one.op) {
      case Op.UNREACHABLE:
        throw new Trap("unreachable");
      case Op.BLOCK:
      case Op.LOOP: {
        const loop = one.op === Op.LOOP;
        const height = stack.length - this.#shape(one.a)[0];
        labels.push({ target: loop ? at + 1 : partner(at) + 1, height, loop });
        return at + 1;
      }
      case Op.IF: {
        const chosen = stack.pop() !== 0;
        const first = partner(at);
        const has_else = code[first]?.op === Op.ELSE;
        const end = has_else ? partner(first) : first;
        if (!chosen && !has_else) return end + 1;
        const height = stack.length - this.#shape(one.a)[0];
        labels.push({ target: end + 1, height, loop: false });
        return chosen ? at + 1 : first + 1;
      }
      case Op.ELSE:
        return partner(at); // the first arm has ended: continue at the end, which removes the label
      case Op.END:
        labels.pop();
        return at + 1;
      case Op.BR:
        return branch(one.a);
      case Op.BR_IF:
        return stack.pop() !== 0 ? branch(one.a) : at + 1;
      case Op.BR_TABLE: {
        const index = Number(stack.pop()) >>> 0;
        return branch(one.list[index] ?? one.a);
      }
      case Op.RETURN:
        return branch(labels.length - 1);
    }
    return undefined;
  }

  #plain(one: Instruction, stack: Value[], locals: Value[]): void {
    const { op, a } = one;
    const value = literal(one);
    if (value !== undefined) stack.push(value);
    else if (op === Op.LOCAL_GET) stack.push(locals[a] ?? null);
    else if (op === Op.LOCAL_SET) locals[a] = stack.pop() ?? null;
    else if (op === Op.LOCAL_TEE) locals[a] = stack.at(-1) ?? null;
    else if (op === Op.DROP) stack.pop();
    else if (op === Op.REF_IS_NULL) stack.push(stack.pop() === null ? 1 : 0);
    else if (op === Op.SELECT || op === Op.SELECT_TYPED) select(stack);
    else if (op === Op.CALL) this.#invoke(a, stack);
    else if (op === Op.CALL_INDIRECT) this.#invoke(this.#indirect(one, stack), stack);
    else if (!applyNumeric(op, stack) && !applyMemory(op, one.b, stack, this.#store.memory)) {
      this.#state(one, stack);
    }
  }

  /**
   * Instructions on globals, tables and memory; pays for their sizes first, except for sizes with which
   * nothing happens.
   */
  #state(one: Instruction, stack: Value[]): void {
    const rate = sizeRate(one.op);
    if (rate !== undefined) {
      const size = Number(stack.at(-1)) >>> 0;
      if (size <= this.#store.most(one)) {
        this.#pay(Math.ceil(size * 2 ** rate.left / 2 ** rate.right));
      }
    }
    this.#store.apply(one, stack);
  }

  #functionType(index: number): FunctionType {
    const imported = this.#imported[index];
    const body = this.#module.functions[index - this.#imported.length];
    return this.#type(imported?.type ?? body?.type ?? -1);
  }

  #indirect(one: Instruction, stack: Value[]): number {
    const index = this.#store.entry(one.b, Number(stack.pop()) >>> 0);
    if (typeof index !== "number") throw new Trap("null function");
    const wanted = JSON.stringify(this.#type(one.a));
    if (JSON.stringify(this.#functionType(index)) !== wanted) throw new Trap("signature");
    return index;
  }

  #invoke(index: number, stack: Value[]): void {
    const { parameters } = this.#functionType(index);
    const operands = stack.splice(stack.length - parameters.length);
    stack.push(...this.#call(index, operands));
  }
}

function jump(stack: Value[], labels: Label[], label: number, arity: number): number {
  const found = labels[labels.length - 1 - label];
  if (found === undefined) throw new TypeError(`no label ${label}`);
  const carried = stack.splice(stack.length - arity);
  stack.length = found.height;
  stack.push(...carried);
  labels.length -= label + (found.loop ? 0 : 1);
  return found.target;
}

function select(stack: Value[]): void {
  const chosen = stack.pop() !== 0;
  const second = stack.pop() ?? null;
  if (!chosen) stack[stack.length - 1] = second;
}

function zeros({ count, type }: FunctionBody["locals"][number]): Value[] {
  const reference = type === ValueType.FUNCREF || type === ValueType.EXTERNREF;
  return Array<Value>(count).fill(reference ? null : type === ValueType.I64 ? 0n : 0);
}

const BITS = new DataView(new ArrayBuffer(8));

function literal({ op, a, long }: Instruction): Value | undefined {
  if (op === Op.I32_CONST || op === Op.REF_FUNC) return a;
  if (op === Op.I64_CONST) return long;
  if (op === Op.REF_NULL) return null;
  if (op === Op.F32_CONST) {
    BITS.setUint32(0, a);
    return BITS.getFloat32(0);
  }
  if (op !== Op.F64_CONST) return undefined;
  BITS.setBigUint64(0, BigInt.asUintN(64, long));
  return BITS.getFloat64(0);
}
