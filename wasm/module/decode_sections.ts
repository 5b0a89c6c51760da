/** Decodes the content of each known section. Checks the form only; the engine checks indices. */
import { type RawBody, readBody, readConstExpression } from "./decode_instructions.ts";
import {
  readFunctionType,
  readGlobalType,
  readLimits,
  readReferenceType,
  readTableType,
} from "./decode_types.ts";
import { malformed, overLimit, unsupported } from "./errors.ts";
import {
  type DataSegment,
  type ElementItems,
  type ElementSegment,
  type Export,
  EXTERNAL_KINDS,
  type ExternalKind,
  type Import,
  type ImportDescription,
  type ModuleLimits,
  ValueType,
  type WasmModule,
} from "./module.ts";
import type { Reader } from "./reader.ts";

/** The content of a module's sections, before validation. */
export interface RawModule extends Omit<WasmModule, "functions" | "has_data_count"> {
  readonly function_types: readonly number[];
  readonly bodies: readonly RawBody[];
  readonly data_count: number | undefined;
}

/** A raw module under construction. */
export type Sections = { -readonly [Key in keyof RawModule]: RawModule[Key] };

const TAG_KIND = 4;
/** In place of an import's kind: the imports of one module, or of one module and type, follow. */
const COMPACT_KINDS: readonly number[] = [0x7e, 0x7f];

function readKind(reader: Reader, what: string): ExternalKind {
  const offset = reader.position;
  const byte = reader.u8();
  const kind = EXTERNAL_KINDS[byte];
  if (kind !== undefined) return kind;
  if (byte === TAG_KIND) throw unsupported("exceptions", `an ${what} of a tag`, offset);
  if (COMPACT_KINDS.includes(byte) && what === "import") {
    throw unsupported("compact imports", "a group of imports", offset);
  }
  throw malformed(`an ${what} has the unknown kind ${byte}`, offset);
}

function readDescription(reader: Reader): ImportDescription {
  const kind = readKind(reader, "import");
  switch (kind) {
    case "function":
      return { kind, type: reader.u32() };
    case "table":
      return { kind, table: readTableType(reader) };
    case "memory":
      return { kind, limits: readLimits(reader, "memory") };
    case "global":
      return { kind, global: readGlobalType(reader) };
    default:
      return kind satisfies never;
  }
}

function readImport(reader: Reader): Import {
  const module = reader.text();
  const name = reader.text();
  return { module, name, description: readDescription(reader) };
}

function readExport(reader: Reader): Export {
  const name = reader.text();
  const kind = readKind(reader, "export");
  return { name, kind, index: reader.u32() };
}

/** The bits of the flags that an element segment starts with. */
const ElementFlag = { NOT_ACTIVE: 1, EXPLICIT: 2, EXPRESSIONS: 4 } as const;

function elementMode(flags: number): ElementSegment["mode"] {
  if (!(flags & ElementFlag.NOT_ACTIVE)) return "active";
  return flags & ElementFlag.EXPLICIT ? "declarative" : "passive";
}

function readElementKind(reader: Reader): typeof ValueType.FUNCREF {
  const offset = reader.position;
  if (reader.u8() !== 0) throw malformed("an element segment of an unknown kind", offset);
  return ValueType.FUNCREF;
}

function readElementItems(reader: Reader, flags: number, limits: ModuleLimits): ElementItems {
  if (flags & ElementFlag.EXPRESSIONS) {
    const expressions = reader.list(() => readConstExpression(reader, limits));
    return { kind: "expressions", expressions };
  }
  return { kind: "functions", indices: reader.list(() => reader.u32()) };
}

function readElement(reader: Reader, limits: ModuleLimits): ElementSegment {
  const offset = reader.position;
  const flags = reader.u32();
  if (flags > 7) throw malformed("an element segment has unknown flags", offset);
  const mode = elementMode(flags);
  const explicit = mode === "active" && (flags & ElementFlag.EXPLICIT) !== 0;
  const table = explicit ? reader.u32() : 0;
  const at = mode === "active" ? readConstExpression(reader, limits) : [];
  let type: ElementSegment["type"] = ValueType.FUNCREF;
  if (mode !== "active" || explicit) {
    type = flags & ElementFlag.EXPRESSIONS ? readReferenceType(reader) : readElementKind(reader);
  }
  return { mode, table, at, type, items: readElementItems(reader, flags, limits), offset };
}

function readData(reader: Reader, limits: ModuleLimits): DataSegment {
  const offset = reader.position;
  const flags = reader.u32();
  if (flags > 2) throw malformed("a data segment has unknown flags", offset);
  if (flags === 2 && reader.u32() !== 0) {
    throw unsupported("several memories", "a data segment of another memory", offset);
  }
  const at = flags === 1 ? [] : readConstExpression(reader, limits);
  const bytes = reader.take(reader.u32());
  return { mode: flags === 1 ? "passive" : "active", at, bytes, offset };
}

function readFunctionSection(reader: Reader, limits: ModuleLimits): number[] {
  const offset = reader.position;
  const types = reader.list(() => reader.u32());
  if (types.length > limits.functions) {
    const allowed = limits.functions;
    throw overLimit(`the module has ${types.length} functions; ${allowed} are allowed`, offset);
  }
  return types;
}

function readCodeSection(reader: Reader, into: Sections, limits: ModuleLimits): void {
  const offset = reader.position;
  const count = reader.u32();
  if (count !== into.function_types.length) {
    throw malformed("functions and bodies are not equally many", offset);
  }
  into.bodies = into.function_types.map(() => readBody(reader, limits));
}

function readDataSection(reader: Reader, into: Sections, limits: ModuleLimits): void {
  const offset = reader.position;
  into.data = reader.list(() => readData(reader, limits));
  if (into.data_count !== undefined && into.data_count !== into.data.length) {
    throw malformed("the data count is not the number of data segments", offset);
  }
}

/** A section's content: read all of it from `reader` into the module under construction. */
type SectionReader = (reader: Reader, into: Sections, limits: ModuleLimits) => void;

function withOffset<Item>(reader: Reader, read: (reader: Reader) => Item) {
  return reader.list(() => ({ offset: reader.position, ...read(reader) }));
}

/** The known sections, in the order that the binary must keep. */
export const SECTIONS: readonly { readonly id: number; readonly read: SectionReader }[] = [
  { id: 1, read: (r, into, limits) => into.types = r.list(() => readFunctionType(r, limits)) },
  { id: 2, read: (r, into) => into.imports = r.list(() => readImport(r)) },
  { id: 3, read: (r, into, limits) => into.function_types = readFunctionSection(r, limits) },
  { id: 4, read: (r, into) => into.tables = r.list(() => readTableType(r)) },
  {
    id: 5,
    read: (r, into) =>
      into.memories = withOffset(r, (reader) => ({ limits: readLimits(reader, "memory") })),
  },
  {
    id: 6,
    read: (r, into, limits) =>
      into.globals = withOffset(r, (reader) => {
        const type = readGlobalType(reader);
        return { ...type, init: readConstExpression(reader, limits) };
      }),
  },
  { id: 7, read: (r, into) => into.exports = r.list(() => readExport(r)) },
  { id: 8, read: (r, into) => into.start = r.u32() },
  { id: 9, read: (r, into, limits) => into.elements = r.list(() => readElement(r, limits)) },
  { id: 12, read: (r, into) => into.data_count = r.u32() },
  { id: 10, read: readCodeSection },
  { id: 11, read: readDataSection },
];
