/**
 * Random valid modules from a tape of numbers, so that fast-check can make and shrink them: every
 * tape is a module, an exhausted one continues with zeros, and 0 always chooses the smallest option. The
 * modules use every kind of control, calls through imports and tables, and bulk instructions; most
 * of their loops end. For tests only. The code of functions is in `generate_code.ts`.
 */
import {
  type ElementSegment,
  type FunctionBody,
  type Import,
  instruction,
  NO_FACTS,
  ValueType,
  type WasmModule,
} from "../module/module.ts";
import { Op } from "../module/opcodes.ts";
import { generateCode } from "./generate_code.ts";
import { type Sketch, type Tape, TYPES } from "./tape.ts";

const { I32, I64, F64, FUNCREF } = ValueType;

const IMPORTS: readonly Import[] = [
  { module: "arqon_host_v1", name: "host_log", description: { kind: "function", type: 6 } },
  { module: "arqon_host_v1", name: "host_get_header", description: { kind: "function", type: 7 } },
  { module: "env", name: "number", description: { kind: "function", type: 1 } },
];

function elementsOf(functions: number, entries: readonly number[]): readonly ElementSegment[] {
  const base = { table: 0, at: [], type: FUNCREF, offset: 0 } as const;
  const all = Array.from({ length: functions }, (_none, index) => index);
  const listed = (indices: readonly number[]) => ({ kind: "functions", indices }) as const;
  const expressions = entries.map((index) => [instruction(Op.REF_FUNC, index)]);
  return [
    { ...base, mode: "active", at: [instruction(Op.I32_CONST, 0)], items: listed(entries) },
    { ...base, mode: "passive", items: { kind: "expressions", expressions } },
    { ...base, mode: "declarative", items: listed(all) },
  ];
}

/**
 * The module of a tape. Exports are `f0`, `f1`, … and `memory`. With `nan_bits` "shown" its code reads
 * the bits of NaNs.
 */
export function generateModule(tape: Tape, nan_bits: Sketch["nan_bits"] = "hidden"): WasmModule {
  const imports = IMPORTS.slice(0, tape.below(IMPORTS.length + 1));
  const own = Array.from({ length: 1 + tape.below(3) }, () => tape.below(6));
  const imported = imports.map(({ description }) =>
    description.kind === "function" ? description.type : 0
  );
  const functions = [...imported, ...own];
  const entries = Array.from({ length: 8 }, () => tape.below(functions.length));
  const sketch: Sketch = {
    functions,
    globals: [I32, I64, F64, FUNCREF],
    table_entries: 8,
    nan_bits,
  };
  const bodies = own.map((type): FunctionBody => {
    const { locals, code } = generateCode(tape, sketch, type);
    const groups = locals.map((local) => ({ count: 1, type: local }));
    return { type, locals: groups, code, facts: NO_FACTS };
  });
  const limits = { minimum: 1 + tape.below(2), maximum: tape.oneIn(2) ? 4 : undefined };
  const global = (type: ValueType, op: number, a = 0) => ({
    type,
    mutable: true,
    init: [instruction(op, a)],
    offset: 0,
  });
  const data = { at: [], bytes: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), offset: 0 };
  return {
    types: TYPES,
    imports,
    functions: bodies,
    tables: [{ type: FUNCREF, limits: { minimum: 8, maximum: undefined } }],
    memories: [{ limits, offset: 0 }],
    globals: [
      global(I32, Op.I32_CONST, 5),
      global(I64, Op.I64_CONST),
      global(F64, Op.F64_CONST),
      global(FUNCREF, Op.REF_FUNC, tape.below(functions.length)),
    ],
    exports: [
      { name: "memory", kind: "memory", index: 0 },
      ...own.map((_type, at) => ({
        name: `f${at}`,
        kind: "function" as const,
        index: imported.length + at,
      })),
    ],
    start: undefined,
    elements: elementsOf(functions.length, entries),
    has_data_count: true,
    data: [
      { ...data, mode: "passive" },
      { ...data, mode: "active", at: [instruction(Op.I32_CONST, 16)] },
    ],
    size_bytes: 0,
  };
}
