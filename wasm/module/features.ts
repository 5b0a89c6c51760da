/**
 * The later or optional feature of an opcode, type or section, so that a refusal names it. Anything in
 * no table here is unknown, and so malformed. Tables only.
 */
import { malformed, unsupported, type UnsupportedFeature, type WasmError } from "./errors.ts";

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
