/**
 * The features beyond WebAssembly 1.0 that a decoded module uses, by the names of their proposals. Pure; for
 * people who want to know what their compiler made. A module with a feature that the gateway refuses never
 * gets here, since decoding it fails.
 */
import type { WasmModule } from "../../wasm/module/module.ts";
import { ValueType } from "../../wasm/module/module.ts";
import { Op } from "../../wasm/module/opcodes.ts";

/** A feature beyond WebAssembly 1.0 that policies may use. */
export type Feature =
  | "sign extension"
  | "non-trapping conversions"
  | "multi-value"
  | "bulk memory"
  | "reference types"
  | "mutable globals";

/** Opcodes by feature, as ranges with first and last opcode. */
const RANGES: readonly (readonly [first: number, last: number, feature: Feature])[] = [
  [0xc0, 0xc4, "sign extension"],
  [0xfc00, 0xfc07, "non-trapping conversions"],
  [Op.MEMORY_INIT, Op.TABLE_COPY, "bulk memory"],
  [Op.TABLE_GROW, Op.TABLE_FILL, "reference types"],
  [Op.REF_NULL, Op.REF_FUNC, "reference types"],
  [Op.TABLE_GET, Op.TABLE_SET, "reference types"],
  [Op.SELECT_TYPED, Op.SELECT_TYPED, "reference types"],
];

function* codeFeatures(module: WasmModule): Iterable<Feature> {
  for (const { code } of module.functions) {
    for (const { op, a } of code) {
      const feature = RANGES.find(([first, last]) => op >= first && op <= last)?.[2];
      if (feature !== undefined) yield feature;
      // The block type is an index, so the block takes values or gives several.
      if (op >= Op.BLOCK && op <= Op.IF && a >= 0) yield "multi-value";
    }
  }
}

function* declaredFeatures(module: WasmModule): Iterable<Feature> {
  const { types, tables, imports, elements, data, globals, exports } = module;
  if (types.some(({ results }) => results.length > 1)) yield "multi-value";
  if (module.has_data_count || data.some(({ mode }) => mode === "passive")) yield "bulk memory";
  if (elements.some(({ mode }) => mode !== "active")) yield "bulk memory";
  const values = types.flatMap(({ parameters, results }) => [...parameters, ...results]);
  const references = [...values, ...globals.map(({ type }) => type)];
  if (references.some((type) => type === ValueType.FUNCREF || type === ValueType.EXTERNREF)) {
    yield "reference types";
  }
  if (tables.length > 1 || tables.some(({ type }) => type === ValueType.EXTERNREF)) {
    yield "reference types";
  }
  const imported = imports.flatMap(({ description }) =>
    description.kind === "global" ? [description.global] : []
  );
  const all = [...imported, ...globals];
  const is_mutable_export = exports.some(({ kind, index }) =>
    kind === "global" && all[index]?.mutable === true
  );
  if (is_mutable_export || imported.some(({ mutable }) => mutable)) yield "mutable globals";
}

/** The features that a module uses, sorted, each once. */
export function usedFeatures(module: WasmModule): readonly Feature[] {
  return [...new Set([...codeFeatures(module), ...declaredFeatures(module)])].sort();
}
