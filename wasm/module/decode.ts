/**
 * Turns a binary into a `WasmModule`: header, sections in their order without the custom ones, then full
 * validation. Pure; throws `WasmError` and nothing else, in time linear in the bytes.
 */
import { type RawModule, SECTIONS, type Sections } from "./decode_sections.ts";
import { invalid, malformed, overLimit, unsupported } from "./errors.ts";
import { unknownCode } from "./decode_types.ts";
import { POLICY_LIMITS } from "./module.ts";
import type {
  ConstExpression,
  FunctionBody,
  ModuleLimits,
  TableType,
  WasmModule,
} from "./module.ts";
import { Reader, type Work } from "./reader.ts";
import { findFacts } from "./facts.ts";
import { Op, OPCODES } from "./opcodes.ts";

const CUSTOM_SECTION = 0;
const MAGIC = 0x6d73_6100;
const VERSION = 1;
/** The version field of a component: layer 1 in its upper half. */
const COMPONENT_LAYER = 0x0001_0000;

function readHeader(reader: Reader): void {
  if (reader.bits32() !== MAGIC) throw malformed("this is not WebAssembly: no magic number", 0);
  const version = reader.bits32();
  if (version === VERSION) return;
  if (version >= COMPONENT_LAYER && version < 2 * COMPONENT_LAYER) {
    throw unsupported("components", "a component", 4);
  }
  throw malformed(`WebAssembly version ${version} instead of 1`, 4);
}

function emptyModule(size_bytes: number): Sections {
  return {
    types: [],
    imports: [],
    function_types: [],
    tables: [],
    memories: [],
    globals: [],
    exports: [],
    start: undefined,
    elements: [],
    data_count: undefined,
    bodies: [],
    data: [],
    size_bytes,
  };
}

/** Whether a section with `id` may follow `seen` of the known ones; throws if not. */
function placeOf(id: number, seen: number, offset: number): number {
  const place = SECTIONS.findIndex((section) => section.id === id);
  if (place < 0) throw unknownCode("section", id, offset);
  if (place < seen) throw malformed(`section ${id} comes twice or too late`, offset);
  return place;
}

function readSections(reader: Reader, limits: ModuleLimits): RawModule {
  const module = emptyModule(reader.end);
  let seen = 0;
  while (!reader.done()) {
    const offset = reader.position;
    const id = reader.u8();
    const content = reader.span(reader.u32());
    if (id === CUSTOM_SECTION) {
      // Only its name has a form. Names for debuggers and the like do not affect a guest.
      content.text();
      continue;
    }
    const place = placeOf(id, seen, offset);
    SECTIONS[place]?.read(content, module, limits);
    content.finish(`section ${id}`);
    seen = place + 1;
  }
  if (module.bodies.length !== module.function_types.length) {
    throw malformed("functions and bodies are not equally many", reader.end);
  }
  if (module.data_count !== undefined && module.data_count !== module.data.length) {
    throw malformed("the data count is not the number of data segments", reader.end);
  }
  return module;
}

function withFacts(raw: RawModule, work: Work): WasmModule {
  const facts = findFacts(raw, work);
  const functions = raw.bodies.map(({ locals, code }, at): FunctionBody => ({
    locals,
    code,
    type: raw.function_types[at]!,
    facts: facts[at]!,
  }));
  const { function_types: _types, bodies: _bodies, data_count, ...rest } = raw;
  return { ...rest, functions, has_data_count: data_count !== undefined };
}

/**
 * Decodes and fully validates. `work` counts the steps taken; for tests.
 * @throws {WasmError} for any bytes that are not a module that policies may be.
 */
export function decodeModule(
  bytes: Uint8Array,
  limits: ModuleLimits = POLICY_LIMITS,
  work: Work = { steps: 0 },
): WasmModule {
  if (bytes.length > limits.module_bytes) {
    const allowed = limits.module_bytes;
    throw overLimit(`the module has ${bytes.length} bytes; ${allowed} are allowed`, 0);
  }
  const reader = new Reader(bytes, 0, bytes.length, work);
  readHeader(reader);
  const raw = readSections(reader, limits);
  validateModule(raw, bytes, limits);
  return withFacts(raw, work);
}

// The validation: by the rules of WebAssembly, as the engine decides. Features that engines accept and policies may not
// use are refused here. A policy's imports are not checked.

const EXTENDED_CONST = new Set<number>([
  Op.I32_ADD,
  Op.I32_SUB,
  Op.I32_MUL,
  Op.I64_ADD,
  Op.I64_SUB,
  Op.I64_MUL,
]);

function checkConst(
  code: ConstExpression,
  isOwnGlobal: (index: number) => boolean,
  offset: number,
): void {
  for (const { op, a } of code) {
    if (EXTENDED_CONST.has(op)) {
      const what = `${OPCODES.get(op)?.name} in a constant expression`;
      throw unsupported("extended const", what, offset);
    }
    if (op === Op.GLOBAL_GET && isOwnGlobal(a)) {
      const what = "global.get of a global that is not imported, in a constant expression,";
      throw unsupported("extended const", what, offset);
    }
  }
}

function checkConsts({ imports, globals, elements, data }: RawModule): void {
  const imported = imports.filter(({ description }) => description.kind === "global").length;
  const isOwn = (index: number) => index >= imported && index < imported + globals.length;
  for (const { init, offset } of globals) checkConst(init, isOwn, offset);
  for (const { items, at, offset } of elements) {
    checkConst(at, isOwn, offset);
    if (items.kind !== "expressions") continue;
    for (const expression of items.expressions) checkConst(expression, isOwn, offset);
  }
  for (const { at, offset } of data) checkConst(at, isOwn, offset);
}

/** The engine refuses a minimum above its maximum. */
const entriesOf = ({ limits: { minimum, maximum = minimum } }: TableType): number =>
  Math.min(minimum, maximum);

function checkSizes({ imports, tables, memories }: RawModule, limits: ModuleLimits): void {
  let all_memories = memories.length;
  let entries = 0;
  for (const { description } of imports) {
    if (description.kind === "memory") all_memories++;
    if (description.kind === "table") entries += entriesOf(description.table);
  }
  if (all_memories > 1) {
    throw unsupported("several memories", "a second memory", memories.at(-1)?.offset ?? 0);
  }
  for (const table of tables) entries += entriesOf(table);
  if (entries > limits.table_entries) {
    const allowed = limits.table_entries;
    throw overLimit(`the tables start with ${entries} entries; ${allowed} are allowed`, 0);
  }
}

/** `memory.init` and `data.drop` need a data count section. A rule of the format; engines treat it as validation. */
function checkDataCount({ bodies, data_count }: RawModule): void {
  if (data_count !== undefined) return;
  for (const { code, offsets } of bodies) {
    const at = code.findIndex(({ op }) => op === Op.MEMORY_INIT || op === Op.DATA_DROP);
    if (at < 0) continue;
    const name = OPCODES.get(code[at]!.op)?.name;
    throw malformed(`${name} needs a data count section`, offsets[at]!);
  }
}

/** The engine's sentence on bytes that it refuses; it names the function and the types. */
function refusal(bytes: Uint8Array<ArrayBuffer>): Error {
  try {
    new WebAssembly.Module(bytes);
  } catch (error) {
    const [, sentence = "", at = "0"] = /^(?:.*?\(\): )?(.*?)(?: @\+(\d+))?$/s
      .exec((error as Error).message) ?? [];
    return invalid(sentence, Number(at));
  }
  return invalid("the engine refuses the module", 0);
}

/** Throws `WasmError` unless the module that was decoded from these bytes is valid. */
function validateModule(raw: RawModule, bytes: Uint8Array, limits: ModuleLimits): void {
  checkSizes(raw, limits);
  checkConsts(raw);
  checkDataCount(raw);
  const own = bytes as Uint8Array<ArrayBuffer>;
  if (!WebAssembly.validate(own)) throw refusal(own);
}
