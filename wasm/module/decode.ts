/**
 * Turns a binary into a `WasmModule`: header, sections in their order without the custom ones, then full
 * validation. Pure; throws `WasmError` and nothing else, in time linear in the bytes.
 */
import { type RawModule, SECTIONS, type Sections } from "./decode_sections.ts";
import { malformed, overLimit, unsupported } from "./errors.ts";
import { unknownCode } from "./features.ts";
import { type FunctionBody, type ModuleLimits, POLICY_LIMITS, type WasmModule } from "./module.ts";
import { Reader, type Work } from "./reader.ts";
import { findFacts } from "./facts.ts";
import { validateModule } from "./validate.ts";

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
