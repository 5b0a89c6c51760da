/**
 * Random modules that only do float arithmetic and store the results, so that memory shows the
 * bits of every NaN. One export `f0` without parameters or results, and `memory`. For tests only.
 */
import {
  type Instruction,
  instruction,
  NO_FACTS,
  plain,
  ValueType,
  type WasmModule,
} from "../module/module.ts";
import { Op, OPCODES } from "../module/opcodes.ts";
import { specialConstant } from "./generate_ops.ts";
import type { Tape } from "./tape.ts";

const { F32, F64 } = ValueType;
type Float = typeof F32 | typeof F64;

const STORES = 60;
const DEPTH = 4;
const F32_LOAD = 0x2a;
const F64_LOAD = 0x2b;
const F32_STORE = 0x38;
const F64_STORE = 0x39;

const isFloat = (type: ValueType | undefined) => type === F32 || type === F64;

/** Instructions with float operands and a float result. */
const ARITHMETIC = new Map([F32, F64].map((type) => {
  const found = [...OPCODES].filter(([, { immediate, signature }]) =>
    immediate === "none" && signature?.results[0] === type && signature.parameters.every(isFloat)
  );
  return [type as Float, found.map(([op]) => op)] as const;
}));

function pushValue(out: Instruction[], tape: Tape, type: Float, depth: number): void {
  const address = 8 * tape.below(STORES);
  const choice = depth === 0 ? tape.below(2) : tape.below(8);
  if (choice === 0) {
    out.push(specialConstant(tape, type));
  } else if (choice === 1) {
    out.push(instruction(Op.I32_CONST, address), instruction(type === F32 ? F32_LOAD : F64_LOAD));
  } else {
    const op = tape.one(ARITHMETIC.get(type) ?? []);
    for (const parameter of OPCODES.get(op)?.signature?.parameters ?? []) {
      pushValue(out, tape, parameter as Float, depth - 1);
    }
    out.push(plain(op));
  }
}

/** The module of a tape. */
export function generateFloats(tape: Tape): WasmModule {
  const code: Instruction[] = [];
  for (let at = 0; at < STORES; at += 1) {
    const type = tape.one([F32, F64] as const);
    code.push(instruction(Op.I32_CONST, 8 * at));
    pushValue(code, tape, type, DEPTH);
    code.push(instruction(type === F32 ? F32_STORE : F64_STORE));
  }
  code.push(plain(Op.END));
  return {
    types: [{ parameters: [], results: [] }],
    imports: [],
    functions: [{ type: 0, locals: [], code, facts: NO_FACTS }],
    tables: [],
    memories: [{ limits: { minimum: 1, maximum: 1 }, offset: 0 }],
    globals: [],
    exports: [
      { name: "memory", kind: "memory", index: 0 },
      { name: "f0", kind: "function", index: 0 },
    ],
    start: undefined,
    elements: [],
    has_data_count: false,
    data: [],
    size_bytes: 0,
  };
}
