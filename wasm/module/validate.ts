/**
 * Whether a decoded module is valid by the rules of WebAssembly, as the engine decides. Features that engines
 * accept and policies may not use are refused here. Does not check a policy's imports.
 */
import type { RawModule } from "./decode_sections.ts";
import { invalid, malformed, overLimit, unsupported } from "./errors.ts";
import type { ConstExpression, ModuleLimits, TableType } from "./module.ts";
import { Op, OPCODES } from "./opcodes.ts";

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
export function validateModule(raw: RawModule, bytes: Uint8Array, limits: ModuleLimits): void {
  checkSizes(raw, limits);
  checkConsts(raw);
  checkDataCount(raw);
  const own = bytes as Uint8Array<ArrayBuffer>;
  if (!WebAssembly.validate(own)) throw refusal(own);
}
