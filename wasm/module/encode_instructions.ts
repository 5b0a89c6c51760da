/**
 * Writes instructions, bodies and constant expressions as bytes. The mirror of
 * `decode_instructions.ts`; checks nothing.
 */
import type { ConstExpression, FunctionBody, Instruction } from "./module.ts";
import { Op, type OpcodeEntry, OPCODES, PREFIX } from "./opcodes.ts";
import type { Writer } from "./writer.ts";

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
export function writeConstExpression(writer: Writer, expression: ConstExpression): void {
  for (const instruction of expression) writeInstruction(writer, instruction);
  writer.u8(Op.END);
}

/** A function's entry in the code section, without the length in front. */
export function writeBody(writer: Writer, body: Pick<FunctionBody, "locals" | "code">): void {
  writer.list(body.locals, ({ count, type }) => {
    writer.u32(count);
    writer.u8(type);
  });
  for (const instruction of body.code) writeInstruction(writer, instruction);
}
