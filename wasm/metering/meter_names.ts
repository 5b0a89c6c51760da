/**
 * Keeps debug names right across metering. Functions and globals are only appended, so their old
 * names stand and the new ones get theirs; labels are numbered by the blocks before them in their
 * function, and the charges are blocks too, so label names move. Custom sections that count bytes of
 * the code are dropped: a wrong line table is worse than none.
 */
import { WasmError } from "../module/errors.ts";
import type { CustomSection, NameMap, NameSection } from "../module/module.ts";
import { Reader } from "../module/reader.ts";
import { Writer } from "../module/writer.ts";

/** What names need to know of the metered module. */
export interface NameChanges {
  /** Functions and globals of the old module, imports too; a name past them names nothing. */
  readonly function_count: number;
  readonly global_count: number;
  readonly added_functions: NameMap;
  readonly added_globals: NameMap;
  /** Per function index: the new number of each old label (`MeteredCode.labels`). */
  readonly labels: ReadonlyMap<number, readonly number[]>;
}

const LABELS = 3;
/** Id of the data section, the last of the known ones. */
const DATA_SECTION = 11;
const CODE_OFFSETS =
  /^(\.debug_|reloc\.|metadata\.code\.)|^(linking|sourceMappingURL|external_debug_info)$/;

/** Whether a custom section says something about byte positions in the old code. */
function countsCodeBytes(name: string): boolean {
  return CODE_OFFSETS.test(name);
}

interface LabelNames {
  readonly function_index: number;
  readonly names: readonly (readonly [label: number, name: Uint8Array])[];
}

function readLabels(bytes: Uint8Array): readonly LabelNames[] {
  const reader = new Reader(bytes, 0, bytes.length, { steps: 0 });
  const functions = reader.list(() => {
    const function_index = reader.u32();
    const names = reader.list((): readonly [number, Uint8Array] => {
      const label = reader.u32();
      return [label, reader.take(reader.u32())];
    });
    return { function_index, names };
  });
  reader.finish("the label names");
  return functions;
}

/** The label subsection with the new numbers; `undefined` when it is not well formed. */
function moveLabels(bytes: Uint8Array, changes: NameChanges): Uint8Array | undefined {
  let functions: readonly LabelNames[];
  try {
    functions = readLabels(bytes);
  } catch (error) {
    if (error instanceof WasmError) return undefined;
    throw error;
  }
  const out = new Writer();
  out.list(functions, ({ function_index, names }) => {
    const moved = names.flatMap(([label, name]) => {
      const now = changes.labels.get(function_index)?.[label];
      return now === undefined ? [] : [[now, name] as const];
    });
    out.u32(function_index);
    out.list(moved, ([label, name]) => {
      out.u32(label);
      out.sized(name);
    });
  });
  return out.view();
}

function append(old: NameMap | undefined, count: number, added: NameMap): NameMap | undefined {
  if (old === undefined) return undefined;
  return [...old.filter(([index]) => index < count), ...added];
}

/** A name section for the metered module. */
function moveNames(names: NameSection, changes: NameChanges): NameSection {
  return {
    module: names.module,
    functions: append(names.functions, changes.function_count, changes.added_functions),
    globals: append(names.globals, changes.global_count, changes.added_globals),
    others: names.others.flatMap(({ id, bytes }) => {
      const moved = id === LABELS ? moveLabels(bytes, changes) : bytes;
      return moved === undefined ? [] : [{ id, bytes: moved }];
    }),
  };
}

/** The custom sections of the metered module. */
export function moveCustoms(
  customs: readonly CustomSection[],
  changes: NameChanges,
): readonly CustomSection[] {
  return customs.filter(({ name }) => !countsCodeBytes(name)).map((custom) => {
    const { names } = custom;
    if (names === undefined) return custom;
    // Sections that the old module lacked (its code, say) may have come behind it; it has to be last.
    return { ...custom, after: DATA_SECTION, names: moveNames(names, changes) };
  });
}
