/**
 * Random well-typed code of one function, from a tape: expressions that leave one value, statements
 * that leave none. For tests only.
 */
import { type Instruction, instruction, plain, ValueType } from "../module/module.ts";
import { EMPTY_BLOCK, Op, OPCODES } from "../module/opcodes.ts";
import { BULK, LOADS, NUMERIC, specialConstant, STORES } from "./generate_ops.ts";
import { type Sketch, type Tape, TYPES } from "./tape.ts";

const { I32, I64, F32, F64, FUNCREF } = ValueType;
class Code {
  readonly out: Instruction[] = [];
  readonly locals: ValueType[];
  readonly #tape: Tape;
  readonly #sketch: Sketch;
  readonly #parameters: number;
  /** Locals that code may set; loop counters follow them. */
  readonly #free: number;
  /** The values that a branch to each open label carries, the innermost last. */
  readonly #labels: (readonly ValueType[])[];

  constructor(tape: Tape, sketch: Sketch, type: number) {
    this.#tape = tape;
    this.#sketch = sketch;
    const { parameters, results } = TYPES[type] ?? { parameters: [], results: [] };
    const own = [I32, I64, F32, F64, I32, FUNCREF].slice(0, tape.below(7));
    this.#parameters = parameters.length;
    this.locals = [...parameters, ...own];
    this.#free = this.locals.length;
    this.#labels = [results];
    this.#statements(4);
    for (const result of results) this.#value(result, 3);
    this.#push(Op.END);
  }

  #push(op: number, a = 0, b = 0): void {
    this.out.push(instruction(op, a, b));
  }

  /** Sometimes a NaN, an infinity or a zero, if their bits may show. */
  #special(type: ValueType): boolean {
    if (this.#sketch.nan_bits === "hidden" || !this.#tape.oneIn(3)) return false;
    if (type !== F32 && type !== F64) return false;
    this.out.push(specialConstant(this.#tape, type));
    return true;
  }

  #constant(type: ValueType): void {
    if (this.#special(type)) return;
    if (type === I32) this.#push(Op.I32_CONST, this.#tape.below(200) - 20);
    else if (type === I64) {
      this.out.push(instruction(Op.I64_CONST, 0, 0, BigInt(this.#tape.below(999))));
    } else if (type === F32) this.#push(Op.F32_CONST, 0x3f80_0000 + this.#tape.below(5000));
    else if (type === F64) {
      const bits = 0x3ff0_0000_0000_0000n + BigInt(this.#tape.below(1 << 30));
      this.out.push(instruction(Op.F64_CONST, 0, 0, bits));
    } else if (this.#tape.oneIn(2)) {
      this.#push(Op.REF_FUNC, this.#tape.below(this.#sketch.functions.length));
    } else this.#push(Op.REF_NULL, FUNCREF);
  }

  #value(type: ValueType, depth: number): void {
    const choice = depth <= 0 ? this.#tape.below(2) : this.#tape.below(12);
    if (choice === 1) return this.#variable(type, depth);
    if (choice >= 2 && choice <= 4) return this.#numeric(type, depth);
    if (choice === 5) return this.#load(type, depth);
    if (choice === 6) return this.#ifValue(type, depth);
    if (choice === 7) return this.#blockValue(type, depth);
    if (choice === 8 || choice === 9) return this.#callValue(type, depth);
    if (choice === 10) return this.#select(type, depth);
    if (choice === 11) return this.#state(type, depth);
    this.#constant(type);
  }

  #variable(type: ValueType, depth: number): void {
    const usable = this.locals.flatMap((local, index) => local === type ? [index] : []);
    if (usable.length > 0) return this.#push(Op.LOCAL_GET, this.#tape.one(usable));
    const global = this.#sketch.globals.indexOf(type);
    if (global >= 0) return this.#push(Op.GLOBAL_GET, global);
    if (depth > 0) this.#numeric(type, depth);
    else this.#constant(type);
  }

  #numeric(type: ValueType, depth: number): void {
    const ops = NUMERIC[this.#sketch.nan_bits].get(type);
    if (ops === undefined) return this.#constant(type);
    const op = this.#tape.one(ops);
    for (const parameter of OPCODES.get(op)?.signature?.parameters ?? []) {
      this.#value(parameter, depth - 1);
    }
    this.out.push(plain(op));
  }

  /** Mostly in bounds. */
  #address(depth: number): void {
    this.#value(I32, depth - 1);
    if (this.#tape.oneIn(20)) return;
    this.#push(Op.I32_CONST, 0xfff);
    this.#push(Op.I32_AND);
  }

  #load(type: ValueType, depth: number): void {
    const ops = LOADS.get(type);
    if (ops === undefined) return this.#constant(type);
    this.#address(depth);
    this.#push(this.#tape.one(ops), 0, this.#tape.below(64));
  }

  #ifValue(type: ValueType, depth: number): void {
    this.#value(I32, depth - 1);
    this.#inside(Op.IF, type - 0x80, [type], () => {
      this.#statements(depth - 1);
      this.#value(type, depth - 1);
      this.#push(Op.ELSE);
      this.#statements(depth - 1);
      this.#value(type, depth - 1);
    });
  }

  #blockValue(type: ValueType, depth: number): void {
    this.#inside(Op.BLOCK, type - 0x80, [type], () => {
      this.#statements(depth - 1);
      this.#value(type, depth - 1);
      this.#value(I32, depth - 1);
      this.#push(Op.BR_IF, 0);
    });
  }

  #callValue(type: ValueType, depth: number): void {
    const usable = this.#sketch.functions.flatMap((own, index) => {
      const results = TYPES[own]?.results ?? [];
      return results.length === 1 && results[0] === type ? [index] : [];
    });
    if (usable.length === 0) return this.#constant(type);
    this.#call(this.#tape.one(usable), depth);
  }

  #call(index: number, depth: number): void {
    const type = this.#sketch.functions[index] ?? 0;
    for (const parameter of TYPES[type]?.parameters ?? []) this.#value(parameter, depth - 1);
    if (!this.#tape.oneIn(3)) return this.#push(Op.CALL, index);
    this.#value(I32, depth - 1);
    this.#push(Op.I32_CONST, 7);
    this.#push(Op.I32_AND);
    this.#push(Op.CALL_INDIRECT, type, 0);
  }

  #select(type: ValueType, depth: number): void {
    this.#value(type, depth - 1);
    this.#value(type, depth - 1);
    this.#value(I32, depth - 1);
    if (type !== FUNCREF) return this.#push(Op.SELECT);
    this.out.push(instruction(Op.SELECT_TYPED, 0, 0, 0n, [type]));
  }

  /** A value from the sizes and tables. */
  #state(type: ValueType, depth: number): void {
    if (type === FUNCREF) {
      this.#value(I32, depth - 1);
      this.#push(Op.I32_CONST, 7);
      this.#push(Op.I32_AND);
      return this.#push(Op.TABLE_GET, 0);
    }
    if (type !== I32) return this.#constant(type);
    const choice = this.#tape.below(5);
    if (choice === 0) return this.#push(Op.MEMORY_SIZE);
    if (choice === 1) return this.#push(Op.TABLE_SIZE, 0);
    this.#value(choice === 2 ? I32 : FUNCREF, depth - 1);
    if (choice === 2) return this.#push(Op.MEMORY_GROW);
    if (choice === 3) return this.#push(Op.REF_IS_NULL);
    this.#push(Op.I32_CONST, this.#tape.below(3));
    this.#push(Op.TABLE_GROW, 0);
  }

  /** Opens a construct, fills it, closes it. */
  #inside(op: number, type: number, carries: readonly ValueType[], fill: () => void): void {
    this.#push(op, type);
    this.#labels.push(carries);
    fill();
    this.#labels.pop();
    this.#push(Op.END);
  }

  #statements(depth: number): void {
    if (depth <= 0) return;
    for (let left = this.#tape.below(4); left > 0; left -= 1) this.#statement(depth);
  }

  #statement(depth: number): void {
    const choice = this.#tape.below(16);
    if (choice <= 1) this.#set(depth);
    else if (choice === 2) this.#store(depth);
    else if (choice === 3) this.#dropped(depth);
    else if (choice <= 5) this.#ifStatement(depth);
    else if (choice === 6) {
      this.#inside(Op.BLOCK, EMPTY_BLOCK, [], () => this.#statements(depth - 1));
    } else if (choice <= 8) this.#loop(depth);
    else if (choice <= 10) this.#branch(depth);
    else if (choice === 11) this.#leave(depth);
    else if (choice === 12) this.#bulk(depth);
    else if (choice === 13) this.#values(depth);
    else if (choice === 14) this.#callStatement(depth);
    else this.#push(Op.NOP);
  }

  #set(depth: number): void {
    if (this.#free === 0 || this.#tape.oneIn(3)) {
      const global = this.#tape.below(this.#sketch.globals.length);
      this.#value(this.#sketch.globals[global] ?? I32, depth - 1);
      return this.#push(Op.GLOBAL_SET, global);
    }
    const local = this.#tape.below(this.#free);
    this.#value(this.locals[local] ?? I32, depth - 1);
    if (!this.#tape.oneIn(4)) return this.#push(Op.LOCAL_SET, local);
    this.#push(Op.LOCAL_TEE, local);
    this.#push(Op.DROP);
  }

  #store(depth: number): void {
    const [type, op] = this.#tape.one(STORES[this.#sketch.nan_bits]);
    this.#address(depth);
    this.#value(type, depth - 1);
    this.#push(op, 0, this.#tape.below(64));
  }

  #dropped(depth: number): void {
    this.#value(this.#tape.one([I32, I64, F32, F64, FUNCREF]), depth);
    this.#push(Op.DROP);
  }

  #ifStatement(depth: number): void {
    this.#value(I32, depth - 1);
    this.#inside(Op.IF, EMPTY_BLOCK, [], () => {
      this.#statements(depth - 1);
      if (!this.#tape.oneIn(2)) return;
      this.#push(Op.ELSE);
      this.#statements(depth - 1);
    });
  }

  /** Ends after a few rounds unless its body branches back. */
  #loop(depth: number): void {
    const counter = this.locals.length;
    this.locals.push(I32);
    this.#push(Op.I32_CONST, 1 + this.#tape.below(5));
    this.#push(Op.LOCAL_SET, counter);
    this.#inside(Op.LOOP, EMPTY_BLOCK, [], () => {
      this.#statements(depth - 1);
      this.#push(Op.LOCAL_GET, counter);
      this.#push(Op.I32_CONST, 1);
      this.#push(Op.I32_SUB);
      this.#push(Op.LOCAL_TEE, counter);
      this.#push(Op.BR_IF, 0);
    });
  }

  #carried(label: number, depth: number): number {
    const types = this.#labels[this.#labels.length - 1 - label] ?? [];
    for (const type of types) this.#value(type, depth - 1);
    return types.length;
  }

  #branch(depth: number): void {
    const label = this.#tape.below(this.#labels.length);
    const count = this.#carried(label, depth);
    this.#value(I32, depth - 1);
    this.#push(Op.BR_IF, label);
    for (let left = count; left > 0; left -= 1) this.#push(Op.DROP);
  }

  /** Control leaves; the code after it is dead. */
  #leave(depth: number): void {
    const choice = this.#tape.below(8);
    if (choice === 7) return this.#push(Op.UNREACHABLE);
    const label = choice >= 5 ? this.#labels.length - 1 : this.#tape.below(this.#labels.length);
    this.#carried(label, depth);
    if (choice >= 5) return this.#push(Op.RETURN);
    if (choice >= 2) return this.#push(Op.BR, label);
    const wanted = (this.#labels[this.#labels.length - 1 - label] ?? []).join();
    const alike = this.#labels.flatMap((types, at) =>
      types.join() === wanted ? [this.#labels.length - 1 - at] : []
    );
    const list = Array.from({ length: this.#tape.below(4) }, () => this.#tape.one(alike));
    this.#value(I32, depth - 1);
    this.out.push(instruction(Op.BR_TABLE, label, 0, 0n, list));
  }

  #bulk(depth: number): void {
    const op = this.#tape.one(BULK);
    if (op === Op.DATA_DROP) return this.#push(op, 1);
    if (op === Op.ELEM_DROP) return this.#push(op, 0);
    this.#push(Op.I32_CONST, this.#tape.below(5));
    if (op === Op.TABLE_SET || op === Op.TABLE_FILL) this.#value(FUNCREF, depth - 1);
    else this.#push(Op.I32_CONST, this.#tape.below(4));
    if (op === Op.TABLE_SET) return this.#push(op, 0);
    if (this.#tape.oneIn(20)) this.#value(I32, depth - 1);
    else this.#push(Op.I32_CONST, this.#tape.below(5));
    this.#push(op, op === Op.TABLE_INIT ? 1 : 0);
  }

  /** A block with parameters and several results. */
  #values(depth: number): void {
    this.#value(I32, depth - 1);
    this.#value(I64, depth - 1);
    const op = this.#tape.one([Op.BLOCK, Op.LOOP]);
    this.#inside(op, 5, [I32, I64], () => {
      if (!this.#tape.oneIn(3)) return;
      this.#value(I32, depth - 1);
      this.#push(Op.BR_IF, op === Op.BLOCK ? 0 : 1 + this.#same());
    });
    this.#push(Op.DROP);
    this.#push(Op.DROP);
  }

  /** An outer label that carries i32 and i64, too; else the loop itself. */
  #same(): number {
    const wanted = [I32, I64].join();
    for (let out = 1; out < this.#labels.length; out += 1) {
      if (this.#labels[this.#labels.length - 1 - out]?.join() === wanted) return out - 1;
    }
    return -1;
  }

  #callStatement(depth: number): void {
    const index = this.#tape.below(this.#sketch.functions.length);
    this.#call(index, depth);
    const results = TYPES[this.#sketch.functions[index] ?? 0]?.results.length ?? 0;
    for (let left = results; left > 0; left -= 1) this.#push(Op.DROP);
  }

  get own(): readonly ValueType[] {
    return this.locals.slice(this.#parameters);
  }
}

/** Locals after the parameters, and code with its `end`, for a function of the type with that index. */
export function generateCode(
  tape: Tape,
  sketch: Sketch,
  type: number,
): { readonly locals: readonly ValueType[]; readonly code: readonly Instruction[] } {
  const code = new Code(tape, sketch, type);
  return { locals: code.own, code: code.out };
}
