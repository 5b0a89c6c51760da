/**
 * A WebAssembly module as plain data: the decoder makes it, the metering transform rewrites it and the
 * encoder writes it. Types and tiny readers of them only; no bytes and no rules of validation here.
 */

/** Codes of value types as they are in the binary. */
export const ValueType = {
  I32: 0x7f,
  I64: 0x7e,
  F32: 0x7d,
  F64: 0x7c,
  FUNCREF: 0x70,
  EXTERNREF: 0x6f,
} as const;
/** One of the six value types of WebAssembly 2.0 without SIMD. */
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

/** Value types as WebAssembly text writes them. */
export const VALUE_TYPE_NAMES: Readonly<Record<ValueType, string>> = {
  [ValueType.I32]: "i32",
  [ValueType.I64]: "i64",
  [ValueType.F32]: "f32",
  [ValueType.F64]: "f64",
  [ValueType.FUNCREF]: "funcref",
  [ValueType.EXTERNREF]: "externref",
};

/** Parameters and results, in order. */
export interface FunctionType {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** Sizes in entries (tables) or pages of 64 KiB (memories). */
export interface Limits {
  readonly minimum: number;
  readonly maximum: number | undefined;
}

/** A table's element type and size. */
export interface TableType {
  readonly type: typeof ValueType.FUNCREF | typeof ValueType.EXTERNREF;
  readonly limits: Limits;
}

/** The type of a global. */
export interface GlobalType {
  readonly type: ValueType;
  readonly mutable: boolean;
}

/** The kind and type of an import. */
export type ImportDescription =
  | { readonly kind: "function"; /** Index into `types`. */ readonly type: number }
  | { readonly kind: "table"; readonly table: TableType }
  | { readonly kind: "memory"; readonly limits: Limits }
  | { readonly kind: "global"; readonly global: GlobalType };

/** One import; the imports of a kind come first in that kind's index space. */
export interface Import {
  readonly module: string;
  readonly name: string;
  readonly description: ImportDescription;
}

/** The four index spaces that exports name, in the order of their codes. */
export const EXTERNAL_KINDS = ["function", "table", "memory", "global"] as const;
/** One of them. */
export type ExternalKind = (typeof EXTERNAL_KINDS)[number];

/** One export. `index` counts in its kind's index space, imports first. */
export interface Export {
  readonly name: string;
  readonly kind: ExternalKind;
  readonly index: number;
}

/**
 * One instruction. `op` is the opcode byte, or `0xfc00 | n` behind the prefix 0xfc (see `Op` in
 * opcodes.ts). Immutable and without a position, so that equal ones may be one object (`plain`).
 *
 * | instruction | a | b | long | list |
 * |---|---|---|---|---|
 * | block, loop, if | block type: -64 none, other negative a value type - 0x80, else a type index | | | |
 * | br, br_if | label | | | |
 * | br_table | default label | | | the other labels |
 * | call, ref.func | function | | | |
 * | call_indirect | type | table | | |
 * | select with type | | | | value types |
 * | local.*, global.* | index | | | |
 * | table.get/set/grow/size/fill | table | | | |
 * | loads and stores | alignment, as a power of 2 | offset (u32) | | |
 * | memory.size/grow/fill | memory, always 0 | | | |
 * | memory.copy | to memory 0 | from memory 0 | | |
 * | memory.init | data segment | memory 0 | | |
 * | data.drop, elem.drop | segment | | | |
 * | table.init | element segment | table | | |
 * | table.copy | to table | from table | | |
 * | ref.null | value type | | | |
 * | i32.const | value, signed | | | |
 * | i64.const | | | value, signed | |
 * | f32.const | bits, as u32 | | | |
 * | f64.const | | | bits, as u64 | |
 *
 * An empty cell is 0, 0n or the empty list.
 */
export interface Instruction {
  readonly op: number;
  readonly a: number;
  readonly b: number;
  readonly long: bigint;
  readonly list: readonly number[];
}

const NO_LIST: readonly number[] = Object.freeze([]);

/** Makes an instruction; omit the members that its row in the table above leaves empty. */
export function instruction(
  op: number,
  a = 0,
  b = 0,
  long = 0n,
  list: readonly number[] = NO_LIST,
): Instruction {
  return { op, a, b, long, list };
}

const PLAIN = new Map<number, Instruction>();

/** The one shared instruction of an opcode without immediates. */
export function plain(op: number): Instruction {
  let found = PLAIN.get(op);
  if (found === undefined) {
    found = Object.freeze(instruction(op));
    PLAIN.set(op, found);
  }
  return found;
}

/**
 * An initial value or offset. Without the closing `end`. In a decoded (so validated) module it has
 * exactly one instruction: a const, ref.null, ref.func, or global.get of an imported constant.
 */
export type ConstExpression = readonly Instruction[];

/** A run of locals of one type, as declared. */
export interface LocalGroup {
  readonly count: number;
  readonly type: ValueType;
}

/** The facts about a valid body. The arrays have one entry per instruction of `code`. */
export interface BodyFacts {
  /** Values on the operand stack (locals not counted) before the instruction. */
  readonly heights: Uint32Array;
  /** 1 where control never arrives (after br, return, unreachable, …, up to the else or end), else 0. */
  readonly dead: Uint8Array;
  /** Values that br, br_if, br_table, return carry to their target; 0 for every other instruction. */
  readonly arities: Uint16Array;
  /**
   * For block, loop, if and else: index of the instruction that ends it (for an if with an else, the
   * else; the closing `end` otherwise). For end: index of its opener (block, loop, if or else), or
   * `code.length` for the body's last. 0 for all others.
   */
  readonly partners: Uint32Array;
  /** The greatest operand height at any point, in values. */
  readonly max_height: number;
}

/** Facts of generated code, which nobody reads. */
export const NO_FACTS: BodyFacts = {
  heights: new Uint32Array(),
  dead: new Uint8Array(),
  arities: new Uint16Array(),
  partners: new Uint32Array(),
  max_height: 0,
};

/** A function that the module defines. */
export interface FunctionBody {
  readonly type: number;
  /** Declared locals; parameters are not in it. */
  readonly locals: readonly LocalGroup[];
  /** With the closing `end`. */
  readonly code: readonly Instruction[];
  /** The encoder ignores it; a rewritten body may keep the old facts. */
  readonly facts: BodyFacts;
}

/** A memory that the module defines. */
export interface Memory {
  readonly limits: Limits;
  readonly offset: number;
}

/** A global that the module defines. */
export interface Global extends GlobalType {
  readonly init: ConstExpression;
  readonly offset: number;
}

/** The content of an element segment: function indices, or one expression per entry. */
export type ElementItems =
  | { readonly kind: "functions"; readonly indices: readonly number[] }
  | { readonly kind: "expressions"; readonly expressions: readonly ConstExpression[] };

/** An element segment. */
export interface ElementSegment {
  readonly mode: "active" | "passive" | "declarative";
  /** Table it fills and where; 0 and empty unless active. */
  readonly table: number;
  readonly at: ConstExpression;
  readonly type: typeof ValueType.FUNCREF | typeof ValueType.EXTERNREF;
  readonly items: ElementItems;
  readonly offset: number;
}

/** A data segment. `bytes` is a view into the decoded binary. */
export interface DataSegment {
  readonly mode: "active" | "passive";
  /** Where in memory 0; empty unless active. */
  readonly at: ConstExpression;
  readonly bytes: Uint8Array;
  readonly offset: number;
}

/** A whole module. Lists of tables, memories, globals and functions hold the defined ones only. */
export interface WasmModule {
  readonly types: readonly FunctionType[];
  readonly imports: readonly Import[];
  readonly functions: readonly FunctionBody[];
  readonly tables: readonly TableType[];
  readonly memories: readonly Memory[];
  readonly globals: readonly Global[];
  readonly exports: readonly Export[];
  /** Function index, imports first. */
  readonly start: number | undefined;
  readonly elements: readonly ElementSegment[];
  /** Whether the binary has a data count section; the encoder then writes `data.length`. */
  readonly has_data_count: boolean;
  readonly data: readonly DataSegment[];
  /** Length of the decoded binary in bytes. */
  readonly size_bytes: number;
}

/** The limits of docs/policies.md#static-limits that decoding can check. */
export interface ModuleLimits {
  readonly module_bytes: number;
  readonly body_bytes: number;
  /** Functions that the module defines. */
  readonly functions: number;
  /** Locals of one function, parameters not counted. */
  readonly locals: number;
  readonly parameters: number;
  readonly results: number;
  /** Loops inside each other: the optimising compiler's time grows with the square of their depth. */
  readonly nested_loops: number;
  /** Sum of the initial entries of all tables, imported ones too. */
  readonly table_entries: number;
}

/** The limits for policies. */
export const POLICY_LIMITS: ModuleLimits = {
  module_bytes: 1 << 20,
  body_bytes: 64 << 10,
  functions: 10_000,
  locals: 1_024,
  parameters: 16,
  results: 16,
  nested_loops: 256,
  table_entries: 10_000,
};

/** The types of all functions, by index: the imported ones, then those with the types `own`. */
export function functionTypes(
  { types, imports }: Pick<WasmModule, "types" | "imports">,
  own: readonly number[],
): readonly FunctionType[] {
  const imported = imports.flatMap(({ description }) =>
    description.kind === "function" ? description.type : []
  );
  return [...imported, ...own].map((type) => types[type]!);
}

/** The number of entries that an element segment has. */
export const itemCount = (items: ElementItems): number =>
  items.kind === "functions" ? items.indices.length : items.expressions.length;

/** How many of each index space are imported. */
export function importCounts(module: Pick<WasmModule, "imports">): Record<ExternalKind, number> {
  const counts = { function: 0, table: 0, memory: 0, global: 0 };
  for (const entry of module.imports) counts[entry.description.kind] += 1;
  return counts;
}
