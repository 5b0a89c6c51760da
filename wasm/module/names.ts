/**
 * Decodes the content of the custom section "name", which names functions and globals for debuggers
 * and traces. A name section that is not well formed is not an error: it stays bytes.
 */
import { WasmError } from "./errors.ts";
import type { NameMap, NameSection } from "./module.ts";
import { Reader, type Work } from "./reader.ts";

/** Ids of the subsections that are decoded. */
export const NameSubsection = { MODULE: 0, FUNCTIONS: 1, GLOBALS: 7 } as const;

function readNameMap(reader: Reader): NameMap {
  return reader.list((): readonly [number, string] => {
    const index = reader.u32();
    return [index, reader.text()];
  });
}

function readSubsections(reader: Reader): NameSection | undefined {
  let module: string | undefined;
  let functions: NameMap | undefined;
  let globals: NameMap | undefined;
  const others: { id: number; bytes: Uint8Array }[] = [];
  let last = -1;
  while (!reader.done()) {
    const id = reader.u8();
    // Out of order or twice: written anew it would not be the same, so it is left alone.
    if (id <= last) return undefined;
    last = id;
    const content = reader.span(reader.u32());
    if (id === NameSubsection.MODULE) module = content.text();
    else if (id === NameSubsection.FUNCTIONS) functions = readNameMap(content);
    else if (id === NameSubsection.GLOBALS) globals = readNameMap(content);
    else others.push({ id, bytes: content.take(content.end - content.position) });
    content.finish("a subsection of the name section");
  }
  return { module, functions, globals, others };
}

/** The names in the content of a name section; `undefined` when it is not well formed. */
export function decodeNames(bytes: Uint8Array, work: Work): NameSection | undefined {
  try {
    return readSubsections(new Reader(bytes, 0, bytes.length, work));
  } catch (error) {
    if (error instanceof WasmError) return undefined;
    throw error;
  }
}
