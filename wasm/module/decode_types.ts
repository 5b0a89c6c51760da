/**
 * Decodes the small parts of sections: types, limits, constant expressions. Checks the form only; the engine checks
 * indices and sizes. The refusal of an unknown code names the feature that has it.
 */
import { malformed, overLimit, unsupported } from "./errors.ts";
import type { UnsupportedFeature, WasmError } from "./errors.ts";
import { ValueType } from "./module.ts";
import type { FunctionType, GlobalType, Limits, ModuleLimits, TableType } from "./module.ts";
import type { Reader } from "./reader.ts";

const VALUE_TYPES: ReadonlySet<number> = new Set(Object.values(ValueType));
const FUNCTION_FORM = 0x60;

/** Whether a byte is the code of a value type that policies may use. */
export function isValueType(byte: number): byte is ValueType {
  return VALUE_TYPES.has(byte);
}

/** One value type. */
export function readValueType(reader: Reader): ValueType {
  const offset = reader.position;
  const byte = reader.u8();
  if (isValueType(byte)) return byte;
  throw unknownCode("value type", byte, offset);
}

/** funcref or externref. */
export function readReferenceType(reader: Reader): TableType["type"] {
  const offset = reader.position;
  const byte = reader.u8();
  if (byte === ValueType.FUNCREF || byte === ValueType.EXTERNREF) return byte;
  if (isValueType(byte)) throw malformed("a number type stands for a reference type", offset);
  throw unknownCode("value type", byte, offset);
}

/** The operand of ref.null: a reference type, where later versions also take the index of a type. */
export function readNullType(reader: Reader): TableType["type"] {
  if (reader.peek() >= 0 && reader.peek() < 0x40) {
    throw unsupported("typed function references", "ref.null of a defined type", reader.position);
  }
  return readReferenceType(reader);
}

/** A function type; both lists are bounded. */
export function readFunctionType(reader: Reader, limits: ModuleLimits): FunctionType {
  const offset = reader.position;
  const form = reader.u8();
  if (form !== FUNCTION_FORM) throw unknownCode("type form", form, offset);
  const parameters = reader.list(() => readValueType(reader));
  const results = reader.list(() => readValueType(reader));
  if (parameters.length > limits.parameters) {
    throw overLimit(
      `a function type has ${parameters.length} parameters; ${limits.parameters} are allowed`,
      offset,
    );
  }
  if (results.length > limits.results) {
    throw overLimit(
      `a function type has ${results.length} results; ${limits.results} are allowed`,
      offset,
    );
  }
  return { parameters, results };
}

/** Minimum and optional maximum; the flags of later proposals are refused by name. */
export function readLimits(reader: Reader, what: "table" | "memory"): Limits {
  const offset = reader.position;
  const flags = reader.u8();
  if (flags > 0x0f) throw malformed(`the limits of a ${what} have unknown flags`, offset);
  if (flags & 8) throw unsupported("custom page sizes", `a ${what} with a page size`, offset);
  if (flags & 4) throw unsupported("memory64", `a ${what} with 64-bit indices`, offset);
  if (flags & 2) throw unsupported("shared memory", `a shared ${what}`, offset);
  const minimum = reader.u32();
  return { minimum, maximum: flags & 1 ? reader.u32() : undefined };
}

/** Element type and limits. */
export function readTableType(reader: Reader): TableType {
  const offset = reader.position;
  if (reader.peek() === 0x40) {
    throw unsupported("typed function references", "a table with an initial value", offset);
  }
  const type = readReferenceType(reader);
  return { type, limits: readLimits(reader, "table") };
}

/** Value type and mutability. */
export function readGlobalType(reader: Reader): GlobalType {
  const type = readValueType(reader);
  const offset = reader.position;
  const mutability = reader.u8();
  if (mutability === 2 || mutability === 3) throw unsupported("threads", "a shared global", offset);
  if (mutability > 3) throw malformed("mutability is neither 0 nor 1", offset);
  return { type, mutable: mutability === 1 };
}

// The later or optional feature of an opcode, type or section. Anything in no table here is unknown, and so malformed.

/** By kind of code: first and last code, and their feature. */
const FEATURES = {
  opcode: [
    [0x06, 0x0a, "exceptions"],
    [0x12, 0x13, "tail calls"],
    [0x14, 0x14, "typed function references"],
    [0x15, 0x15, "tail calls"],
    [0x18, 0x19, "exceptions"],
    [0x1f, 0x1f, "exceptions"],
    [0xd3, 0xd3, "GC"],
    [0xd4, 0xd6, "typed function references"],
    [0xe0, 0xe6, "stack switching"],
    [0xfb, 0xfb, "GC"],
    [0xfd, 0xfd, "SIMD"],
    [0xfe, 0xfe, "threads"],
  ],
  "opcode 0xfc": [
    [0x12, 0x12, "memory control"],
    [0x13, 0x16, "wide arithmetic"],
    [0x30, 0x31, "half precision"],
  ],
  "value type": [
    [0x7b, 0x7b, "SIMD"],
    [0x77, 0x78, "GC"],
    [0x75, 0x75, "stack switching"],
    [0x74, 0x74, "exceptions"],
    [0x71, 0x73, "GC"],
    [0x6a, 0x6e, "GC"],
    [0x69, 0x69, "exceptions"],
    [0x68, 0x68, "stack switching"],
    [0x65, 0x67, "stringref"],
    [0x61, 0x64, "typed function references"],
  ],
  "type form": [
    [0x65, 0x65, "threads"],
    [0x5e, 0x5f, "GC"],
    [0x5d, 0x5d, "stack switching"],
    [0x4c, 0x50, "GC"],
  ],
  section: [
    [13, 13, "exceptions"],
    [14, 14, "stringref"],
  ],
} satisfies Readonly<Record<string, readonly (readonly [number, number, UnsupportedFeature])[]>>;

/** The refusal of a code that no table of the decoder has; opcodes `0xfc` are those behind that prefix. */
export function unknownCode(what: keyof typeof FEATURES, code: number, offset: number): WasmError {
  const feature = FEATURES[what].find(([first, last]) => code >= first && code <= last)?.[2];
  const named = `${what} 0x${code.toString(16).padStart(2, "0")}`;
  return feature === undefined
    ? malformed(`there is no ${named}`, offset)
    : unsupported(feature, named, offset);
}

/** The refusal of the opcode `number` behind the prefix 0xfd: SIMD, from 0x100 on the relaxed one. */
export function vectorOpcode(number: number, offset: number): WasmError {
  const feature = number >= 0x100 ? "relaxed SIMD" : "SIMD";
  return unsupported(feature, `opcode 0xfd 0x${number.toString(16)}`, offset);
}
