/**
 * Lets an instance begin each call with its state after initialisation. A call can change memory, globals,
 * tables and which segments are dropped. A module that changes only the first two is restored: its globals by two
 * functions that the transform appends, with a second global for each, so that references and the bits of NaNs are
 * preserved, too; its memory by the host, from a copy. Any other module gets a fresh instance for each call. Decides
 * and writes code only; the host is `wasm/instance/first_state.ts`.
 */
import {
  type Global,
  importCounts,
  type Instruction,
  instruction,
  plain,
  ValueType,
  type WasmModule,
} from "../module/module.ts";
import { Op } from "../module/opcodes.ts";

/** How a call begins with the state after initialisation. */
export type Renewal =
  | { readonly by: "instance" }
  /** `units` is the price of restoring the state, without its memory; see `restoreUnits`. */
  | { readonly by: "restore"; readonly units: number };

/**
 * Units of restoring the state of any instance, a global of it, and a page of 64 KiB. Measured (V8 15, a
 * core of 3.7 GHz): a page 2 µs in the caches and up to 7 where 60 policies of 64 pages take turns, so that
 * each copy comes from memory and goes there; a fresh instance 25 µs and up to 26 for each page that it
 * touches. `arqon_init` has paid for the pages that it added by `memory.grow`.
 */
const BASE_UNITS = 1_000;
const GLOBAL_UNITS = 4;
const PAGE_UNITS = 8_192;

/** Units of restoring a state whose memory has this many pages: those of the instance, not of the module. */
export function restoreUnits(units: number, pages: number): number {
  return units + pages * PAGE_UNITS;
}

/** Instructions whose effect only a fresh instance undoes. */
const LASTING: ReadonlySet<number> = new Set([
  ...[Op.TABLE_SET, Op.TABLE_INIT, Op.TABLE_COPY, Op.TABLE_GROW, Op.TABLE_FILL],
  ...[Op.ELEM_DROP, Op.DATA_DROP],
]);

/** The globals of its own that the module's code sets, by index. */
export function writtenGlobals(module: WasmModule): readonly number[] {
  const first = importCounts(module).global;
  const written = new Set<number>();
  for (const { code } of module.functions) {
    for (const { op, a } of code) if (op === Op.GLOBAL_SET && a >= first) written.add(a);
  }
  return [...written].sort((a, b) => a - b);
}

/** How the module's instances are renewed. `written` are its `writtenGlobals`. */
export function renewalOf(module: WasmModule, written: readonly number[]): Renewal {
  const lasts = module.functions.some(({ code }) => code.some(({ op }) => LASTING.has(op)));
  if (lasts) return { by: "instance" };
  return { by: "restore", units: BASE_UNITS + written.length * GLOBAL_UNITS };
}

function nothingOf(type: ValueType): Instruction {
  switch (type) {
    case ValueType.I32:
      return instruction(Op.I32_CONST);
    case ValueType.I64:
      return instruction(Op.I64_CONST);
    case ValueType.F32:
      return instruction(Op.F32_CONST);
    case ValueType.F64:
      return instruction(Op.F64_CONST);
    case ValueType.FUNCREF:
    case ValueType.EXTERNREF:
      return instruction(Op.REF_NULL, type);
    default:
      return type satisfies never;
  }
}

/** The code that saves and restores globals. */
export interface SavedGlobals {
  /** The globals with the saved values, in the order of `written`. */
  readonly globals: readonly Global[];
  /** Bodies of the two functions. */
  readonly save: readonly Instruction[];
  readonly restore: readonly Instruction[];
}

/** The parts for `written`; `first` is the index of the first new global. */
export function savedGlobals(
  module: WasmModule,
  written: readonly number[],
  first: number,
): SavedGlobals {
  const imported = importCounts(module).global;
  const globals = written.map((index): Global => {
    const { type } = module.globals[index - imported]!;
    return { type, mutable: true, init: [nothingOf(type)], offset: 0 };
  });
  const copies = (from: (at: number) => number, to: (at: number) => number) => [
    ...written.flatMap((_, at) => [
      instruction(Op.GLOBAL_GET, from(at)),
      instruction(Op.GLOBAL_SET, to(at)),
    ]),
    plain(Op.END),
  ];
  const own = (at: number) => written[at]!;
  const saved = (at: number) => first + at;
  return { globals, save: copies(own, saved), restore: copies(saved, own) };
}
