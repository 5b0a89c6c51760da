/**
 * Encodes a `WasmModule` as bytes, every integer and segment in its shortest form: a binary in that form is
 * reproduced byte for byte. Checks nothing; `WebAssembly.validate` or `decodeModule` do.
 */
import { EXTERNAL_KINDS, ValueType } from "./module.ts";
import type {
  ConstExpression,
  DataSegment,
  ElementSegment,
  FunctionBody,
  GlobalType,
  Import,
  Instruction,
  Limits,
  TableType,
  WasmModule,
} from "./module.ts";
import { Writer } from "./writer.ts";
import { Op, type OpcodeEntry, OPCODES, PREFIX } from "./opcodes.ts";

const HEADER = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
const FUNCTION_FORM = 0x60;

function writeLimits(writer: Writer, { minimum, maximum }: Limits): void {
  writer.u8(maximum === undefined ? 0 : 1);
  writer.u32(minimum);
  if (maximum !== undefined) writer.u32(maximum);
}

function writeTableType(writer: Writer, { type, limits }: TableType): void {
  writer.u8(type);
  writeLimits(writer, limits);
}

function writeGlobalType(writer: Writer, { type, mutable }: GlobalType): void {
  writer.u8(type);
  writer.u8(mutable ? 1 : 0);
}

function writeImport(writer: Writer, { module, name, description }: Import): void {
  writer.text(module);
  writer.text(name);
  writer.u8(EXTERNAL_KINDS.indexOf(description.kind));
  switch (description.kind) {
    case "function":
      return writer.u32(description.type);
    case "table":
      return writeTableType(writer, description.table);
    case "memory":
      return writeLimits(writer, description.limits);
    case "global":
      return writeGlobalType(writer, description.global);
    default:
      description satisfies never;
  }
}

/** The flags of an element segment: bit 0 not active, bit 1 explicit or declarative, bit 2 expressions. */
function elementFlags({ mode, table, type, items }: ElementSegment): number {
  const expressions = items.kind === "expressions" ? 4 : 0;
  if (mode !== "active") return expressions | (mode === "passive" ? 1 : 3);
  const short = table === 0 && type === ValueType.FUNCREF;
  return expressions | (short ? 0 : 2);
}

function writeElement(writer: Writer, segment: ElementSegment): void {
  const { items, type } = segment;
  const flags = elementFlags(segment);
  writer.u32(flags);
  if (segment.mode === "active") {
    if (flags & 2) writer.u32(segment.table);
    writeConstExpression(writer, segment.at);
  }
  if (flags & 3) writer.u8(items.kind === "expressions" ? type : 0);
  if (items.kind === "expressions") {
    writer.list(items.expressions, (each) => writeConstExpression(writer, each));
  } else {
    writer.list(items.indices, (index) => writer.u32(index));
  }
}

function writeData(writer: Writer, { mode, at, bytes }: DataSegment): void {
  if (mode === "passive") {
    writer.u32(1);
  } else {
    writer.u32(0);
    writeConstExpression(writer, at);
  }
  writer.sized(bytes);
}

function writeCode(writer: Writer, module: WasmModule): void {
  const body_bytes = new Writer(1 << 16);
  writer.list(module.functions, (body) => {
    body_bytes.clear();
    writeBody(body_bytes, body);
    writer.sized(body_bytes.view());
  });
}

interface SectionWriter {
  readonly id: number;
  /** Whether the section is written. */
  readonly present: boolean;
  readonly write: (writer: Writer) => void;
}

function listSection<Item>(
  id: number,
  items: readonly Item[],
  write: (writer: Writer, item: Item) => void,
): SectionWriter {
  return {
    id,
    present: items.length > 0,
    write: (writer) => writer.list(items, (item) => write(writer, item)),
  };
}

/** Every known section in the order that the binary must keep. */
function sectionsOf(module: WasmModule): SectionWriter[] {
  return [
    listSection(1, module.types, (writer, { parameters, results }) => {
      writer.u8(FUNCTION_FORM);
      writer.list(parameters, (type) => writer.u8(type));
      writer.list(results, (type) => writer.u8(type));
    }),
    listSection(2, module.imports, writeImport),
    listSection(3, module.functions, (writer, { type }) => writer.u32(type)),
    listSection(4, module.tables, writeTableType),
    listSection(5, module.memories, (writer, { limits }) => writeLimits(writer, limits)),
    listSection(6, module.globals, (writer, global) => {
      writeGlobalType(writer, global);
      writeConstExpression(writer, global.init);
    }),
    listSection(7, module.exports, (writer, { name, kind, index }) => {
      writer.text(name);
      writer.u8(EXTERNAL_KINDS.indexOf(kind));
      writer.u32(index);
    }),
    {
      id: 8,
      present: module.start !== undefined,
      write: (writer) => writer.u32(module.start ?? 0),
    },
    listSection(9, module.elements, writeElement),
    { id: 12, present: module.has_data_count, write: (writer) => writer.u32(module.data.length) },
    { id: 10, present: module.functions.length > 0, write: (writer) => writeCode(writer, module) },
    listSection(11, module.data, writeData),
  ];
}

/** The binary of a module. @throws {TypeError} if a number does not fit the format. */
export function encodeModule(module: WasmModule): Uint8Array<ArrayBuffer> {
  const out = new Writer(Math.max(1_024, 2 * module.size_bytes));
  out.raw(HEADER);
  const content = new Writer(Math.max(1_024, module.size_bytes));
  for (const { id, present, write } of sectionsOf(module)) {
    if (!present) continue;
    content.clear();
    write(content);
    out.u8(id);
    out.sized(content.view());
  }
  return out.view().slice();
}

// Instructions, bodies and constant expressions: the mirror of `decode_instructions.ts`.

function writeOperands(writer: Writer, instruction: Instruction, entry: OpcodeEntry): void {
  const { a, b, long, list } = instruction;
  switch (entry.immediate) {
    case "none":
      return;
    case "index":
      return writer.u32(a);
    case "index2":
    case "index-zero":
    case "memory-access":
      writer.u32(a);
      return writer.u32(b);
    case "labels":
      writer.list(list, (label) => writer.u32(label));
      return writer.u32(a);
    case "types":
      return writer.list(list, (type) => writer.u8(type));
    case "zero":
      return writer.u8(0);
    case "zero2":
      writer.u8(0);
      return writer.u8(0);
    case "reference-type":
      return writer.u8(a);
    case "block":
    case "i32":
      return writer.s33(a);
    case "i64":
      return writer.s64(long);
    case "f32":
      return writer.bits32(a);
    case "f64":
      return writer.bits64(long);
    default:
      entry.immediate satisfies never;
  }
}

/** One instruction. @throws {TypeError} if the opcode is not in `OPCODES`. */
function writeInstruction(writer: Writer, instruction: Instruction): void {
  const { op } = instruction;
  const entry = OPCODES.get(op);
  if (entry === undefined) throw new TypeError(`there is no opcode 0x${op.toString(16)}`);
  if (op > 0xff) {
    writer.u8(PREFIX);
    writer.u32(op & 0xff);
  } else {
    writer.u8(op);
  }
  writeOperands(writer, instruction, entry);
}

/** A constant expression and its `end`. */
function writeConstExpression(writer: Writer, expression: ConstExpression): void {
  for (const instruction of expression) writeInstruction(writer, instruction);
  writer.u8(Op.END);
}

/** A function's entry in the code section, without the length in front. */
function writeBody(writer: Writer, body: Pick<FunctionBody, "locals" | "code">): void {
  writer.list(body.locals, ({ count, type }) => {
    writer.u32(count);
    writer.u8(type);
  });
  for (const instruction of body.code) writeInstruction(writer, instruction);
}
