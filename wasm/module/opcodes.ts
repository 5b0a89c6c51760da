/**
 * The instructions of WebAssembly 2.0 without SIMD: their numbers, immediates and, if an
 * instruction's types never vary, its signature. Tables only; decode_types.ts has the names of the
 * other opcodes.
 */
import { ValueType } from "./module.ts";

/** Opcodes that code uses by name. Numbers of the form 0xfcNN follow the prefix 0xfc. */
export const Op = {
  UNREACHABLE: 0x00,
  NOP: 0x01,
  BLOCK: 0x02,
  LOOP: 0x03,
  IF: 0x04,
  ELSE: 0x05,
  END: 0x0b,
  BR: 0x0c,
  BR_IF: 0x0d,
  BR_TABLE: 0x0e,
  RETURN: 0x0f,
  CALL: 0x10,
  CALL_INDIRECT: 0x11,
  DROP: 0x1a,
  SELECT: 0x1b,
  SELECT_TYPED: 0x1c,
  LOCAL_GET: 0x20,
  LOCAL_SET: 0x21,
  LOCAL_TEE: 0x22,
  GLOBAL_GET: 0x23,
  GLOBAL_SET: 0x24,
  TABLE_GET: 0x25,
  TABLE_SET: 0x26,
  I32_LOAD: 0x28,
  I64_LOAD32_U: 0x35,
  I32_STORE: 0x36,
  I64_STORE32: 0x3e,
  MEMORY_SIZE: 0x3f,
  MEMORY_GROW: 0x40,
  I32_CONST: 0x41,
  I64_CONST: 0x42,
  F32_CONST: 0x43,
  F64_CONST: 0x44,
  I32_EQZ: 0x45,
  I32_EQ: 0x46,
  I32_NE: 0x47,
  I32_LT_S: 0x48,
  I32_LT_U: 0x49,
  I32_GT_S: 0x4a,
  I32_GT_U: 0x4b,
  I32_LE_S: 0x4c,
  I32_LE_U: 0x4d,
  I32_GE_S: 0x4e,
  I32_GE_U: 0x4f,
  I64_LT_S: 0x53,
  I64_LE_U: 0x58,
  I32_ADD: 0x6a,
  I32_SUB: 0x6b,
  I32_MUL: 0x6c,
  I32_AND: 0x71,
  I64_ADD: 0x7c,
  I64_SUB: 0x7d,
  I64_MUL: 0x7e,
  I64_SHL: 0x86,
  I64_SHR_U: 0x88,
  I64_EXTEND_I32_U: 0xad,
  REF_NULL: 0xd0,
  REF_IS_NULL: 0xd1,
  REF_FUNC: 0xd2,
  MEMORY_INIT: 0xfc08,
  DATA_DROP: 0xfc09,
  MEMORY_COPY: 0xfc0a,
  MEMORY_FILL: 0xfc0b,
  TABLE_INIT: 0xfc0c,
  ELEM_DROP: 0xfc0d,
  TABLE_COPY: 0xfc0e,
  TABLE_GROW: 0xfc0f,
  TABLE_SIZE: 0xfc10,
  TABLE_FILL: 0xfc11,
} as const;

/** Whether the instruction opens a block, which an `end` closes. */
export const opensBlock = (op: number): boolean =>
  op === Op.BLOCK || op === Op.LOOP || op === Op.IF;

/** The prefix of the opcodes written here as 0xfcNN. */
export const PREFIX = 0xfc;
/** Block type "no parameters, no results", as the signed number that the binary holds. */
export const EMPTY_BLOCK = -64;

/**
 * What follows an opcode in the binary. `index`: one u32; `index2`: two, in the order a, b; `zero` and
 * `zero2`: bytes 0 (memory 0); `index-zero`: a u32, then a byte 0; `memory-access`: alignment, offset.
 */
type ImmediateKind =
  | "none"
  | "block"
  | "index"
  | "index2"
  | "labels"
  | "types"
  | "memory-access"
  | "zero"
  | "zero2"
  | "index-zero"
  | "reference-type"
  | "i32"
  | "i64"
  | "f32"
  | "f64";

/** Parameters and results of an instruction whose types never vary. */
export interface Signature {
  readonly parameters: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** The facts about one opcode for decoder and encoder. */
export interface OpcodeEntry {
  /** As the text format writes it. */
  readonly name: string;
  readonly immediate: ImmediateKind;
  /** `undefined` where the types depend on immediates or context. */
  readonly signature: Signature | undefined;
  /** How many operands it takes and results it gives; 0 where that depends on immediates or context. */
  readonly taken: number;
  readonly given: number;
  /** Loads and stores: the access in bytes, as a power of 2; the greatest alignment. Else -1. */
  readonly access: number;
}

const TYPE_OF_LETTER: Readonly<Record<string, ValueType>> = {
  i: ValueType.I32,
  I: ValueType.I64,
  f: ValueType.F32,
  F: ValueType.F64,
};

const ENTRIES = new Map<number, OpcodeEntry>();

/** `undefined` for a shape with a "?", and for none. */
function signatureOf(shape: string): Signature | undefined {
  const [before, after] = shape.split(">");
  if (before === undefined || after === undefined || shape.includes("?")) return undefined;
  const types = (letters: string) =>
    [...letters].map((letter) => {
      const type = TYPE_OF_LETTER[letter];
      if (type === undefined) throw new TypeError(`no value type ${letter}`);
      return type;
    });
  return { parameters: types(before), results: types(after) };
}

/**
 * `shape` is operands, ">", results, each letter a type (i I f F, or ? for one that varies); "" when their numbers
 * vary, too.
 */
function add(op: number, name: string, immediate: ImmediateKind, shape = "", access = -1): void {
  const [{ length: taken } = "", { length: given } = ""] = shape.split(">");
  ENTRIES.set(op, { name, immediate, signature: signatureOf(shape), taken, given, access });
}

/** Adds a run of opcodes without immediates that share a shape. */
function addRun(first: number, prefix: string, names: string, shape: string): void {
  names.split(" ").forEach((name, at) => add(first + at, prefix + name, "none", shape));
}

function addControl(): void {
  add(Op.UNREACHABLE, "unreachable", "none");
  add(Op.NOP, "nop", "none", ">");
  add(Op.BLOCK, "block", "block");
  add(Op.LOOP, "loop", "block");
  add(Op.IF, "if", "block");
  add(Op.ELSE, "else", "none");
  add(Op.END, "end", "none");
  add(Op.BR, "br", "index");
  add(Op.BR_IF, "br_if", "index");
  add(Op.BR_TABLE, "br_table", "labels");
  add(Op.RETURN, "return", "none");
  add(Op.CALL, "call", "index");
  add(Op.CALL_INDIRECT, "call_indirect", "index2");
  add(Op.DROP, "drop", "none", "?>");
  add(Op.SELECT, "select", "none", "???>?");
  add(Op.SELECT_TYPED, "select", "types", "???>?");
  add(Op.REF_NULL, "ref.null", "reference-type", ">?");
  add(Op.REF_IS_NULL, "ref.is_null", "none", "?>?");
  add(Op.REF_FUNC, "ref.func", "index", ">?");
}

function addVariablesAndTables(): void {
  add(Op.LOCAL_GET, "local.get", "index", ">?");
  add(Op.LOCAL_SET, "local.set", "index", "?>");
  add(Op.LOCAL_TEE, "local.tee", "index", "?>?");
  add(Op.GLOBAL_GET, "global.get", "index", ">?");
  add(Op.GLOBAL_SET, "global.set", "index", "?>");
  add(Op.TABLE_GET, "table.get", "index", "?>?");
  add(Op.TABLE_SET, "table.set", "index", "??>");
  add(Op.TABLE_INIT, "table.init", "index2", "???>");
  add(Op.ELEM_DROP, "elem.drop", "index", "");
  add(Op.TABLE_COPY, "table.copy", "index2", "???>");
  add(Op.TABLE_GROW, "table.grow", "index", "??>?");
  add(Op.TABLE_SIZE, "table.size", "index", ">?");
  add(Op.TABLE_FILL, "table.fill", "index", "???>");
}

/** Name, shape and access of every load and store, from 0x28 on. */
const ACCESSES = `i32.load i>i 2;i64.load i>I 3;f32.load i>f 2;f64.load i>F 3;i32.load8_s i>i 0;
i32.load8_u i>i 0;i32.load16_s i>i 1;i32.load16_u i>i 1;i64.load8_s i>I 0;i64.load8_u i>I 0;
i64.load16_s i>I 1;i64.load16_u i>I 1;i64.load32_s i>I 2;i64.load32_u i>I 2;i32.store ii> 2;
i64.store iI> 3;f32.store if> 2;f64.store iF> 3;i32.store8 ii> 0;i32.store16 ii> 1;
i64.store8 iI> 0;i64.store16 iI> 1;i64.store32 iI> 2`;

function addMemory(): void {
  ACCESSES.split(/;\s*/).forEach((line, at) => {
    const [name = "", shape = "", access = ""] = line.split(" ");
    add(Op.I32_LOAD + at, name, "memory-access", shape, Number(access));
  });
  add(Op.MEMORY_SIZE, "memory.size", "zero", ">i");
  add(Op.MEMORY_GROW, "memory.grow", "zero", "i>i");
  add(Op.MEMORY_INIT, "memory.init", "index-zero", "iii>");
  add(Op.DATA_DROP, "data.drop", "index", ">");
  add(Op.MEMORY_COPY, "memory.copy", "zero2", "iii>");
  add(Op.MEMORY_FILL, "memory.fill", "zero", "iii>");
}

function addNumbers(): void {
  add(Op.I32_CONST, "i32.const", "i32", ">i");
  add(Op.I64_CONST, "i64.const", "i64", ">I");
  add(Op.F32_CONST, "f32.const", "f32", ">f");
  add(Op.F64_CONST, "f64.const", "f64", ">F");
  const integer_compare = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u";
  const float_compare = "eq ne lt gt le ge";
  const integer_unary = "clz ctz popcnt";
  const integer_binary = "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr";
  const float_unary = "abs neg ceil floor trunc nearest sqrt";
  const float_binary = "add sub mul div min max copysign";
  addRun(0x45, "i32.", "eqz", "i>i");
  addRun(0x46, "i32.", integer_compare, "ii>i");
  addRun(0x50, "i64.", "eqz", "I>i");
  addRun(0x51, "i64.", integer_compare, "II>i");
  addRun(0x5b, "f32.", float_compare, "ff>i");
  addRun(0x61, "f64.", float_compare, "FF>i");
  addRun(0x67, "i32.", integer_unary, "i>i");
  addRun(0x6a, "i32.", integer_binary, "ii>i");
  addRun(0x79, "i64.", integer_unary, "I>I");
  addRun(0x7c, "i64.", integer_binary, "II>I");
  addRun(0x8b, "f32.", float_unary, "f>f");
  addRun(0x92, "f32.", float_binary, "ff>f");
  addRun(0x99, "f64.", float_unary, "F>F");
  addRun(0xa0, "f64.", float_binary, "FF>F");
}

function addConversions(): void {
  addRun(0xa7, "i32.", "wrap_i64", "I>i");
  addRun(0xa8, "i32.", "trunc_f32_s trunc_f32_u", "f>i");
  addRun(0xaa, "i32.", "trunc_f64_s trunc_f64_u", "F>i");
  addRun(0xac, "i64.", "extend_i32_s extend_i32_u", "i>I");
  addRun(0xae, "i64.", "trunc_f32_s trunc_f32_u", "f>I");
  addRun(0xb0, "i64.", "trunc_f64_s trunc_f64_u", "F>I");
  addRun(0xb2, "f32.", "convert_i32_s convert_i32_u", "i>f");
  addRun(0xb4, "f32.", "convert_i64_s convert_i64_u", "I>f");
  addRun(0xb6, "f32.", "demote_f64", "F>f");
  addRun(0xb7, "f64.", "convert_i32_s convert_i32_u", "i>F");
  addRun(0xb9, "f64.", "convert_i64_s convert_i64_u", "I>F");
  addRun(0xbb, "f64.", "promote_f32", "f>F");
  addRun(0xbc, "i32.", "reinterpret_f32", "f>i");
  addRun(0xbd, "i64.", "reinterpret_f64", "F>I");
  addRun(0xbe, "f32.", "reinterpret_i32", "i>f");
  addRun(0xbf, "f64.", "reinterpret_i64", "I>F");
  addRun(0xc0, "i32.", "extend8_s extend16_s", "i>i");
  addRun(0xc2, "i64.", "extend8_s extend16_s extend32_s", "I>I");
  addRun(0xfc00, "i32.", "trunc_sat_f32_s trunc_sat_f32_u", "f>i");
  addRun(0xfc02, "i32.", "trunc_sat_f64_s trunc_sat_f64_u", "F>i");
  addRun(0xfc04, "i64.", "trunc_sat_f32_s trunc_sat_f32_u", "f>I");
  addRun(0xfc06, "i64.", "trunc_sat_f64_s trunc_sat_f64_u", "F>I");
}

addControl();
addVariablesAndTables();
addMemory();
addNumbers();
addConversions();

/** Every opcode that policies may use. */
export const OPCODES: ReadonlyMap<number, OpcodeEntry> = ENTRIES;
