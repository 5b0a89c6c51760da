/**
 * The state of a module that the interpreter runs: memory, tables, globals and segments, and the
 * instructions that change them. For tests only.
 */
import type { ConstExpression, Instruction, WasmModule } from "../module/module.ts";
import { Op } from "../module/opcodes.ts";
import { Trap, type Value } from "./interpreter_numbers.ts";

const PAGE_BYTES = 65_536;
/** The limits of tables as the meter divides them. */
const TABLE_ENTRIES = 10_000;

/** Copies `size` items; traps before the first if either side is out of bounds. */
function checked(
  from_length: number,
  from: number,
  to_length: number,
  to: number,
  size: number,
): void {
  if (from + size > from_length || to + size > to_length) throw new Trap("out of bounds");
}

/** Memory, tables and globals of one instance. */
export class Store {
  memory = new Uint8Array();
  readonly globals: Value[] = [];
  readonly #tables: Value[][];
  readonly #table_limits: readonly number[];
  readonly #elements: (readonly Value[])[];
  readonly #data: Uint8Array[];
  readonly #memory_limit_bytes: number;
  /** Lengths of the passive segments before any was dropped; 0 for the others. */
  readonly #passive_entries: readonly number[];
  readonly #passive_bytes: readonly number[];

  /** The interpreter does not support imported globals, tables or memories. */
  constructor(
    module: WasmModule,
    memory_limit_pages: number,
    constant: (code: ConstExpression) => Value,
  ) {
    const [memory] = module.memories;
    this.memory = new Uint8Array((memory?.limits.minimum ?? 0) * PAGE_BYTES);
    this.#memory_limit_bytes = PAGE_BYTES *
      Math.min(memory?.limits.maximum ?? memory_limit_pages, memory_limit_pages);
    for (const { init } of module.globals) this.globals.push(constant(init));
    const total = module.tables.reduce((sum, table) => sum + table.limits.minimum, 0);
    const room = Math.floor((TABLE_ENTRIES - total) / Math.max(1, module.tables.length));
    this.#tables = module.tables.map((table) => Array<Value>(table.limits.minimum).fill(null));
    this.#table_limits = module.tables.map(({ limits }) =>
      Math.min(limits.maximum ?? Infinity, limits.minimum + room)
    );
    this.#elements = module.elements.map(({ items }) =>
      items.kind === "functions" ? items.indices : items.expressions.map(constant)
    );
    this.#data = module.data.map(({ bytes }) => bytes);
    const passive = (
      segments: readonly { mode: string }[],
      lengths: readonly { length: number }[],
    ) => segments.map(({ mode }, at) => mode === "passive" ? lengths[at]?.length ?? 0 : 0);
    this.#passive_entries = passive(module.elements, this.#elements);
    this.#passive_bytes = passive(module.data, this.#data);
    module.elements.forEach((segment, index) => {
      if (segment.mode === "active") {
        const to = Number(constant(segment.at)) >>> 0;
        this.#fillTable(segment.table, index, to, 0, this.#elements[index]?.length ?? 0);
      }
      if (segment.mode !== "passive") this.#elements[index] = [];
    });
    module.data.forEach((segment, index) => {
      if (segment.mode !== "active") return;
      this.#fillMemory(index, Number(constant(segment.at)) >>> 0, 0, segment.bytes.length);
      this.#data[index] = new Uint8Array();
    });
  }

  #table(index: number): Value[] {
    const table = this.#tables[index];
    if (table === undefined) throw new TypeError(`no table ${index}`);
    return table;
  }

  /** One entry of a table. Traps if it is out of bounds. */
  entry(table: number, index: number): Value {
    const found = this.#table(table)[index];
    if (found === undefined) throw new Trap("table index out of bounds");
    return found;
  }

  #fillTable(table: number, segment: number, to: number, from: number, size: number): void {
    const items = this.#elements[segment] ?? [];
    const entries = this.#table(table);
    checked(items.length, from, entries.length, to, size);
    items.slice(from, from + size).forEach((item, at) => entries[to + at] = item);
  }

  #fillMemory(segment: number, to: number, from: number, size: number): void {
    const bytes = this.#data[segment] ?? new Uint8Array();
    checked(bytes.length, from, this.memory.length, to, size);
    this.memory.set(bytes.subarray(from, from + size), to);
  }

  /** The greatest size operand with which a bulk instruction can succeed. */
  most({ op, a }: Instruction): number {
    const memory = this.memory.length;
    if (op === Op.MEMORY_GROW) return (this.#memory_limit_bytes - memory) / PAGE_BYTES;
    if (op === Op.TABLE_GROW) return (this.#table_limits[a] ?? 0) - this.#table(a).length;
    // A dropped segment still counts: before the code runs, only its declared size is known.
    if (op === Op.TABLE_INIT) return this.#passive_entries[a] ?? 0;
    if (op === Op.MEMORY_INIT) return this.#passive_bytes[a] ?? 0;
    return op === Op.TABLE_FILL || op === Op.TABLE_COPY ? this.#table(a).length : memory;
  }

  /** Runs an instruction on the state, with its operands on `stack`. */
  apply(one: Instruction, stack: Value[]): void {
    const pop = () => Number(stack.pop()) >>> 0;
    const { op, a } = one;
    if (op === Op.GLOBAL_GET) stack.push(this.globals[a] ?? null);
    else if (op === Op.GLOBAL_SET) this.globals[a] = stack.pop() ?? null;
    else if (op === Op.TABLE_SIZE) stack.push(this.#table(a).length);
    else if (op === Op.TABLE_GET) stack.push(this.entry(a, pop()));
    else if (op === Op.TABLE_SET) this.#tableSet(a, stack);
    else if (op === Op.MEMORY_SIZE) stack.push(this.memory.length / PAGE_BYTES);
    else if (op === Op.MEMORY_GROW) stack.push(this.#growMemory(pop()));
    else if (op === Op.TABLE_GROW) stack.push(this.#growTable(a, pop(), stack.pop() ?? null));
    else if (op === Op.DATA_DROP) this.#data[a] = new Uint8Array();
    else if (op === Op.ELEM_DROP) this.#elements[a] = [];
    else if (op !== Op.NOP) this.#bulk(one, pop(), stack.pop() ?? null, pop());
  }

  #tableSet(table: number, stack: Value[]): void {
    const value = stack.pop() ?? null;
    const index = Number(stack.pop()) >>> 0;
    this.entry(table, index);
    this.#table(table)[index] = value;
  }

  /** The instructions with three operands; `middle` is a source or a value. */
  #bulk({ op, a, b }: Instruction, size: number, middle: Value, to: number): void {
    const from = Number(middle) >>> 0;
    if (op === Op.MEMORY_FILL) {
      checked(size, 0, this.memory.length, to, size);
      this.memory.fill(from & 0xff, to, to + size);
    } else if (op === Op.MEMORY_COPY) {
      checked(this.memory.length, from, this.memory.length, to, size);
      this.memory.copyWithin(to, from, from + size);
    } else if (op === Op.MEMORY_INIT) this.#fillMemory(a, to, from, size);
    else if (op === Op.TABLE_INIT) this.#fillTable(b, a, to, from, size);
    else if (op === Op.TABLE_FILL) {
      checked(size, 0, this.#table(a).length, to, size);
      this.#table(a).fill(middle, to, to + size);
    } else if (op === Op.TABLE_COPY) {
      const source = this.#table(b);
      checked(source.length, from, this.#table(a).length, to, size);
      const items = source.slice(from, from + size);
      items.forEach((item, at) => this.#table(a)[to + at] = item);
    } else throw new TypeError(`the interpreter does not know instruction ${op}`);
  }

  #growMemory(pages: number): number {
    const old = this.memory.length;
    const bytes = old + pages * PAGE_BYTES;
    if (bytes > this.#memory_limit_bytes) return -1;
    const wider = new Uint8Array(bytes);
    wider.set(this.memory);
    this.memory = wider;
    return old / PAGE_BYTES;
  }

  #growTable(table: number, entries: number, value: Value): number {
    const items = this.#table(table);
    const old = items.length;
    if (old + entries > (this.#table_limits[table] ?? 0)) return -1;
    for (let left = entries; left > 0; left -= 1) items.push(value);
    return old;
  }
}
