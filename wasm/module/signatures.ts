/** The texts in which the checks of an ABI describe a module's functions. */
import { type FunctionType, functionTypes, VALUE_TYPE_NAMES } from "./module.ts";
import type { ValueType, WasmModule } from "./module.ts";

/** `(i32, i32) -> (i32)` */
export function signatureText({ parameters, results }: FunctionType): string {
  const list = (types: readonly ValueType[]) =>
    types.map((type) => VALUE_TYPE_NAMES[type]).join(", ");
  return `(${list(parameters)}) -> (${list(results)})`;
}

/** The signature of a function by its index, the imported ones first; undefined: there is none. */
export function signatureAt(module: WasmModule, index: number): string | undefined {
  const type = functionTypes(module, module.functions.map(({ type }) => type))[index];
  return type && signatureText(type);
}

/** A name from the guest, shortened and on one line. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 64)}…` : name);
}

const SENTENCES_MAX = 8;

/** The first sentences, and how many more there are. */
export function firstSentences(sentences: readonly string[]): string {
  const more = sentences.length - SENTENCES_MAX;
  const rest = more > 0 ? [`${more} more problems are not listed.`] : [];
  return [...sentences.slice(0, SENTENCES_MAX), ...rest].join(" ");
}
