/**
 * Decodes instructions: function bodies and constant expressions. A loop with its own stack, no
 * recursion, so that depth costs a slot and not a call. Checks the form only; the engine checks types.
 */
import {
  isValueType,
  readNullType,
  readValueType,
  unknownCode,
  vectorOpcode,
} from "./decode_types.ts";
import { malformed, overLimit, unsupported } from "./errors.ts";
import {
  type FunctionBody,
  type Instruction,
  instruction,
  type LocalGroup,
  type ModuleLimits,
  plain,
} from "./module.ts";
import { EMPTY_BLOCK, Op, type OpcodeEntry, OPCODES, opensBlock, PREFIX } from "./opcodes.ts";
import type { Reader } from "./reader.ts";

const VECTOR_PREFIX = 0xfd;
/** Alignments are powers of 2 below this. */
const MAX_ALIGNMENT = 32;
/** Set in the alignment if a memory index follows, by the multi-memory proposal. */
const MEMORY_INDEX_FLAG = 0x40;

/** A decoded body; `facts.ts` adds the facts. */
export interface RawBody extends Omit<FunctionBody, "facts" | "type"> {
  /** Byte offset of each instruction. */
  readonly offsets: Uint32Array;
}

interface Opcode {
  readonly op: number;
  readonly entry: OpcodeEntry;
}

function readOpcode(reader: Reader): Opcode {
  const offset = reader.position;
  const byte = reader.u8();
  if (byte === VECTOR_PREFIX) throw vectorOpcode(reader.u32(), offset);
  if (byte !== PREFIX) {
    const entry = OPCODES.get(byte);
    if (entry === undefined) throw unknownCode("opcode", byte, offset);
    return { op: byte, entry };
  }
  const number = reader.u32();
  const op = 0xfc00 + number;
  const entry = OPCODES.get(op);
  if (entry === undefined) throw unknownCode("opcode 0xfc", number, offset);
  return { op, entry };
}

function readBlockType(reader: Reader): number {
  const offset = reader.position;
  const byte = reader.peek();
  if (byte === EMPTY_BLOCK + 0x80) {
    reader.u8();
    return EMPTY_BLOCK;
  }
  if (byte >= 0x40 && byte < 0x80) {
    if (!isValueType(byte)) throw unknownCode("value type", byte, offset);
    reader.u8();
    return byte - 0x80;
  }
  const index = reader.s33();
  if (index < 0) throw malformed("a block type is a negative index", offset);
  return index;
}

function readMemoryZero(reader: Reader, name: string): void {
  const offset = reader.position;
  if (reader.u8() !== 0) throw unsupported("several memories", `${name} of another memory`, offset);
}

function readMemoryAccess(reader: Reader, op: number, name: string): Instruction {
  const offset = reader.position;
  const alignment = reader.u32();
  if (alignment >= MEMORY_INDEX_FLAG && alignment < MEMORY_INDEX_FLAG + MAX_ALIGNMENT) {
    throw unsupported("several memories", `${name} with a memory index`, offset);
  }
  if (alignment >= MAX_ALIGNMENT) throw malformed("an alignment is too large", offset);
  return instruction(op, alignment, reader.u32());
}

/** The operands of `0xfc` instructions and others with two operands. */
function readPair(
  reader: Reader,
  op: number,
  name: string,
  immediate: "index2" | "index-zero" | "zero2",
): Instruction {
  switch (immediate) {
    case "index2": {
      const first = reader.u32();
      return instruction(op, first, reader.u32());
    }
    case "index-zero": {
      const index = reader.u32();
      readMemoryZero(reader, name);
      return instruction(op, index);
    }
    case "zero2":
      readMemoryZero(reader, name);
      readMemoryZero(reader, name);
      return plain(op);
    default:
      return immediate satisfies never;
  }
}

function readOperands(reader: Reader, { op, entry }: Opcode): Instruction {
  switch (entry.immediate) {
    case "none":
      return plain(op);
    case "block":
      return instruction(op, readBlockType(reader));
    case "index":
      return instruction(op, reader.u32());
    case "labels": {
      const labels = reader.list(() => reader.u32());
      return instruction(op, reader.u32(), 0, 0n, labels);
    }
    case "types":
      return instruction(op, 0, 0, 0n, reader.list(() => readValueType(reader)));
    case "memory-access":
      return readMemoryAccess(reader, op, entry.name);
    case "zero":
      readMemoryZero(reader, entry.name);
      return plain(op);
    case "reference-type":
      return instruction(op, readNullType(reader));
    case "i32":
      return instruction(op, reader.s32());
    case "i64":
      return instruction(op, 0, 0, reader.s64());
    case "f32":
      return instruction(op, reader.bits32());
    case "f64":
      return instruction(op, 0, 0, reader.bits64());
    case "index2":
    case "index-zero":
    case "zero2":
      return readPair(reader, op, entry.name, entry.immediate);
    default:
      return entry.immediate satisfies never;
  }
}

interface Sequence {
  readonly code: Instruction[];
  readonly offsets: number[];
}

/** Reads up to and with the `end` that closes the sequence itself. */
function readSequence(reader: Reader, loops_limit: number): Sequence {
  const code: Instruction[] = [];
  const offsets: number[] = [];
  const open: number[] = [];
  let loops = 0;
  while (true) {
    const offset = reader.position;
    const opcode = readOpcode(reader);
    const read = readOperands(reader, opcode);
    code.push(read);
    offsets.push(offset);
    const { op } = opcode;
    if (opensBlock(op)) {
      if (op === Op.LOOP && ++loops > loops_limit) {
        throw overLimit(`loops nest deeper than ${loops_limit}`, offset);
      }
      open.push(op);
    } else if (op === Op.ELSE) {
      if (open.at(-1) !== Op.IF) throw malformed("an else without an if", offset);
      open[open.length - 1] = Op.ELSE;
    } else if (op === Op.END) {
      const closed = open.pop();
      if (closed === undefined) return { code, offsets };
      if (closed === Op.LOOP) loops -= 1;
    }
  }
}

/** A constant expression, as its instructions without the closing `end`. */
export function readConstExpression(reader: Reader, limits: ModuleLimits): Instruction[] {
  const { code } = readSequence(reader, limits.nested_loops);
  code.pop();
  return code;
}

function readLocals(reader: Reader, limits: ModuleLimits): LocalGroup[] {
  const offset = reader.position;
  let total = 0;
  const groups = reader.list(() => {
    const count = reader.u32();
    total += count;
    return { count, type: readValueType(reader) };
  });
  if (total > 0xffff_ffff) throw malformed("a function has more than 2^32 - 1 locals", offset);
  if (total > limits.locals) {
    throw overLimit(`a function has ${total} locals; ${limits.locals} are allowed`, offset);
  }
  return groups;
}

/** One entry of the code section. */
export function readBody(reader: Reader, limits: ModuleLimits): RawBody {
  const size_offset = reader.position;
  const size_bytes = reader.u32();
  if (size_bytes > reader.end - reader.position) {
    throw malformed(`a function body of ${size_bytes} bytes goes past the end`, size_offset);
  }
  if (size_bytes > limits.body_bytes) {
    const allowed = limits.body_bytes;
    throw overLimit(`a function body has ${size_bytes} bytes; ${allowed} are allowed`, size_offset);
  }
  const body = reader.span(size_bytes);
  const locals = readLocals(body, limits);
  const { code, offsets } = readSequence(body, limits.nested_loops);
  body.finish("a function body");
  return { locals, code, offsets: Uint32Array.from(offsets) };
}
