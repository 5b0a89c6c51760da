/**
 * Decodes the small parts of sections: types, limits, constant expressions. Checks the form only; the
 * engine checks indices and sizes.
 */
import { malformed, overLimit, unsupported } from "./errors.ts";
import { unknownCode } from "./features.ts";
import {
  type FunctionType,
  type GlobalType,
  type Limits,
  type ModuleLimits,
  type TableType,
  ValueType,
} from "./module.ts";
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
