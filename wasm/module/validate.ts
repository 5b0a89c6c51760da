/**
 * Validates a decoded module by the rules of WebAssembly 2.0: indices, sizes, constant expressions,
 * names of exports; each body through `validate_body.ts`. Says nothing of what policies may import.
 */
import type { Context } from "./context.ts";
import type { RawModule } from "./decode_sections.ts";
import { invalid, malformed, overLimit, unsupported } from "./errors.ts";
import {
  type BodyFacts,
  type ConstExpression,
  type ExternalKind,
  type FunctionType,
  type GlobalType,
  type Import,
  type Instruction,
  type Limits,
  type ModuleLimits,
  type TableType,
  ValueType,
} from "./module.ts";
import { Op, OPCODES } from "./opcodes.ts";
import type { Work } from "./reader.ts";
import { BodyValidator } from "./validate_body.ts";

const MAX_PAGES = 65_536;
const EXTENDED_CONST = new Set<number>([
  Op.I32_ADD,
  Op.I32_SUB,
  Op.I32_MUL,
  Op.I64_ADD,
  Op.I64_SUB,
  Op.I64_MUL,
]);

function checkLimits(limits: Limits, what: string, bound: number, offset: number): void {
  const { minimum, maximum } = limits;
  if (minimum > bound || (maximum !== undefined && maximum > bound)) {
    throw invalid(`a ${what} is larger than ${bound}`, offset);
  }
  if (maximum !== undefined && minimum > maximum) {
    throw invalid(`the minimum of a ${what} is above its maximum`, offset);
  }
}

function typeAt(types: readonly FunctionType[], index: number, offset: number): FunctionType {
  const type = types[index];
  if (type === undefined) throw invalid(`there is no type ${index}`, offset);
  return type;
}

interface ImportedSpaces {
  readonly functions: FunctionType[];
  readonly tables: TableType[];
  readonly globals: GlobalType[];
  memories: number;
}

function addImport(entry: Import, into: ImportedSpaces, types: readonly FunctionType[]): void {
  const { description, offset } = entry;
  switch (description.kind) {
    case "function":
      into.functions.push(typeAt(types, description.type, offset));
      break;
    case "table":
      checkLimits(description.table.limits, "table", 2 ** 32 - 1, offset);
      into.tables.push(description.table);
      break;
    case "memory":
      checkLimits(description.limits, "memory", MAX_PAGES, offset);
      into.memories += 1;
      break;
    case "global":
      into.globals.push(description.global);
      break;
    default:
      description satisfies never;
  }
}

function declaredFunctions(raw: RawModule): Set<number> {
  const declared = new Set<number>();
  const note = (expression: ConstExpression) => {
    for (const { op, a } of expression) if (op === Op.REF_FUNC) declared.add(a);
  };
  for (const { init } of raw.globals) note(init);
  for (const { kind, index } of raw.exports) if (kind === "function") declared.add(index);
  for (const { items } of raw.elements) {
    if (items.kind === "expressions") items.expressions.forEach(note);
    else items.indices.forEach((index) => declared.add(index));
  }
  return declared;
}

function contextOf(raw: RawModule): Context {
  const spaces: ImportedSpaces = { functions: [], tables: [], globals: [], memories: 0 };
  for (const entry of raw.imports) addImport(entry, spaces, raw.types);
  const imported_globals = spaces.globals.length;
  raw.function_types.forEach((type, at) => {
    spaces.functions.push(typeAt(raw.types, type, raw.bodies[at]?.offset ?? 0));
  });
  for (const table of raw.tables) {
    checkLimits(table.limits, "table", 2 ** 32 - 1, table.offset);
    spaces.tables.push(table);
  }
  for (const memory of raw.memories) checkLimits(memory.limits, "memory", MAX_PAGES, memory.offset);
  for (const global of raw.globals) spaces.globals.push(global);
  return {
    types: raw.types,
    functions: spaces.functions,
    tables: spaces.tables,
    memories: spaces.memories + raw.memories.length,
    globals: spaces.globals,
    imported_globals,
    element_types: raw.elements.map((segment) => segment.type),
    data_count: raw.data_count,
    declared: declaredFunctions(raw),
  };
}

function constType({ op, a }: Instruction, context: Context, offset: number): ValueType {
  switch (op) {
    case Op.I32_CONST:
      return ValueType.I32;
    case Op.I64_CONST:
      return ValueType.I64;
    case Op.F32_CONST:
      return ValueType.F32;
    case Op.F64_CONST:
      return ValueType.F64;
    case Op.REF_NULL:
      return a === ValueType.FUNCREF ? ValueType.FUNCREF : ValueType.EXTERNREF;
    case Op.REF_FUNC:
      if (a >= context.functions.length) throw invalid(`there is no function ${a}`, offset);
      return ValueType.FUNCREF;
    case Op.GLOBAL_GET: {
      const global = context.globals[a];
      if (global === undefined) throw invalid(`there is no global ${a}`, offset);
      if (global.mutable) throw invalid("a constant expression reads a mutable global", offset);
      if (a >= context.imported_globals) {
        const what = "global.get of a global that is not imported, in a constant expression,";
        throw unsupported("extended const", what, offset);
      }
      return global.type;
    }
  }
  const name = OPCODES.get(op)?.name ?? "an instruction";
  if (EXTENDED_CONST.has(op)) {
    throw unsupported("extended const", `${name} in a constant expression`, offset);
  }
  throw invalid(`${name} stands in a constant expression`, offset);
}

function checkConst(code: ConstExpression, type: ValueType, context: Context, offset: number) {
  const types = code.map((each) => constType(each, context, offset));
  if (types.length !== 1 || types[0] !== type) {
    throw invalid("a constant expression does not give one value of the right type", offset);
  }
}

function checkSegments(raw: RawModule, context: Context): void {
  for (const { items, type, mode, table, at, offset } of raw.elements) {
    if (items.kind === "expressions") {
      for (const expression of items.expressions) checkConst(expression, type, context, offset);
    } else {
      const missing = items.indices.find((index) => index >= context.functions.length);
      if (missing !== undefined) throw invalid(`there is no function ${missing}`, offset);
    }
    if (mode !== "active") continue;
    const filled = context.tables[table];
    if (filled === undefined) throw invalid(`there is no table ${table}`, offset);
    if (filled.type !== type) {
      throw invalid("an element segment is not of its table's type", offset);
    }
    checkConst(at, ValueType.I32, context, offset);
  }
  for (const { mode, at, offset } of raw.data) {
    if (mode !== "active") continue;
    if (context.memories === 0) throw invalid("a data segment fills no memory", offset);
    checkConst(at, ValueType.I32, context, offset);
  }
}

function checkExports(raw: RawModule, context: Context): void {
  const sizes: Record<ExternalKind, number> = {
    function: context.functions.length,
    table: context.tables.length,
    memory: context.memories,
    global: context.globals.length,
  };
  const names = new Set<string>();
  for (const { name, kind, index, offset } of raw.exports) {
    if (index >= sizes[kind]) {
      throw invalid(`an export names ${kind} ${index}, which is not there`, offset);
    }
    if (names.has(name)) throw invalid("two exports have the same name", offset);
    names.add(name);
  }
}

function checkStart(raw: RawModule, context: Context): void {
  if (raw.start === undefined) return;
  const type = context.functions[raw.start];
  if (type === undefined) throw invalid(`the start function ${raw.start} is not there`, 0);
  if (type.parameters.length + type.results.length > 0) {
    throw invalid("the start function takes or gives values", 0);
  }
}

function checkStaticLimits(raw: RawModule, context: Context, limits: ModuleLimits): void {
  if (context.memories > 1) {
    throw unsupported("several memories", "a second memory", raw.memories.at(-1)?.offset ?? 0);
  }
  const entries = context.tables.reduce((sum, table) => sum + table.limits.minimum, 0);
  if (entries > limits.table_entries) {
    const allowed = limits.table_entries;
    throw overLimit(`the tables start with ${entries} entries; ${allowed} are allowed`, 0);
  }
}

/** Validates everything and returns what it learned about each body, in order. */
export function validateModule(raw: RawModule, limits: ModuleLimits, work: Work): BodyFacts[] {
  const context = contextOf(raw);
  checkStaticLimits(raw, context, limits);
  for (const { init, type, offset } of raw.globals) checkConst(init, type, context, offset);
  checkExports(raw, context);
  checkStart(raw, context);
  checkSegments(raw, context);
  const validator = new BodyValidator(context, work);
  const imported = context.functions.length - raw.bodies.length;
  return raw.bodies.map((body, at) => {
    const type = context.functions[imported + at];
    if (type === undefined) throw malformed("a body without a type", body.offset);
    return validator.validate(body, type);
  });
}
