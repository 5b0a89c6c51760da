/**
 * Types of the instructions that do not touch the control stack: calls, variables, tables, memory,
 * references and the ones with a fixed signature.
 */
import type { Context } from "./context.ts";
import { invalid, malformed } from "./errors.ts";
import {
  type GlobalType,
  type Instruction,
  type LocalGroup,
  type TableType,
  ValueType,
} from "./module.ts";
import { Op, type OpcodeEntry } from "./opcodes.ts";
import { type OperandStack, type OperandType, UNKNOWN } from "./operand_stack.ts";
import type { Work } from "./reader.ts";

/** The types of parameters and locals by index, without a slot for each: runs are searched. */
export class LocalTypes {
  /** Behind the last index of each run, and the run's type. */
  readonly #ends: number[] = [];
  readonly #types: ValueType[] = [];
  readonly #work: Work;

  constructor(parameters: readonly ValueType[], groups: readonly LocalGroup[], work: Work) {
    this.#work = work;
    for (const type of parameters) this.#add(1, type);
    for (const { count, type } of groups) this.#add(count, type);
  }

  #add(count: number, type: ValueType): void {
    this.#work.steps += 1;
    this.#ends.push((this.#ends.at(-1) ?? 0) + count);
    this.#types.push(type);
  }

  /** @throws {WasmError} when there is no such local. */
  at(index: number, offset: number): ValueType {
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      this.#work.steps += 1;
      const middle = (low + high) >>> 1;
      if (index < (this.#ends[middle] ?? 0)) high = middle;
      else low = middle + 1;
    }
    const type = this.#types[low];
    if (type === undefined) throw invalid(`there is no local ${index}`, offset);
    return type;
  }
}

function globalAt(context: Context, index: number, offset: number): GlobalType {
  const global = context.globals[index];
  if (global === undefined) throw invalid(`there is no global ${index}`, offset);
  return global;
}

function tableAt(context: Context, index: number, offset: number): TableType {
  const table = context.tables[index];
  if (table === undefined) throw invalid(`there is no table ${index}`, offset);
  return table;
}

function elementTypeAt(context: Context, index: number, offset: number): ValueType {
  const type = context.element_types[index];
  if (type === undefined) throw invalid(`there is no element segment ${index}`, offset);
  return type;
}

function isReference(type: OperandType): boolean {
  return type === ValueType.FUNCREF || type === ValueType.EXTERNREF;
}

/** What every check of this file gets. */
interface Place {
  readonly stack: OperandStack;
  readonly context: Context;
  readonly locals: LocalTypes;
  readonly offset: number;
}

function checkCall({ op, a, b }: Instruction, { stack, context, offset }: Place): void {
  const indirect = op === Op.CALL_INDIRECT;
  const type = indirect ? context.types[a] : context.functions[a];
  if (type === undefined) {
    throw invalid(`there is no ${indirect ? "type" : "function"} ${a}`, offset);
  }
  if (indirect) {
    if (tableAt(context, b, offset).type !== ValueType.FUNCREF) {
      throw invalid("a call goes through a table that holds no functions", offset);
    }
    stack.pop(ValueType.I32, offset);
  }
  stack.popAll(type.parameters, offset);
  stack.pushAll(type.results);
}

function checkSelect({ op, list }: Instruction, { stack, offset }: Place): void {
  stack.pop(ValueType.I32, offset);
  if (op === Op.SELECT_TYPED) {
    const type = list[0] as ValueType | undefined;
    if (list.length !== 1 || type === undefined) {
      throw invalid(`a select names ${list.length} types instead of one`, offset);
    }
    stack.pop(type, offset);
    stack.pop(type, offset);
    stack.push(type);
    return;
  }
  const second = stack.popAny(offset);
  const first = stack.pop(second, offset);
  if (isReference(first) || isReference(second)) {
    throw invalid("a select of references names no type", offset);
  }
  stack.push(first === UNKNOWN ? second : first);
}

function checkVariable({ op, a }: Instruction, place: Place): void {
  const { stack, context, offset } = place;
  if (op === Op.GLOBAL_GET) {
    stack.push(globalAt(context, a, offset).type);
  } else if (op === Op.GLOBAL_SET) {
    const global = globalAt(context, a, offset);
    if (!global.mutable) throw invalid(`global ${a} is a constant`, offset);
    stack.pop(global.type, offset);
  } else {
    const type = place.locals.at(a, offset);
    if (op !== Op.LOCAL_GET) stack.pop(type, offset);
    if (op !== Op.LOCAL_SET) stack.push(type);
  }
}

function checkReference({ op, a }: Instruction, { stack, context, offset }: Place): void {
  if (op === Op.REF_NULL) {
    stack.push(a as ValueType);
  } else if (op === Op.REF_IS_NULL) {
    const type = stack.popAny(offset);
    if (type !== UNKNOWN && !isReference(type)) {
      throw invalid("ref.is_null takes a number", offset);
    }
    stack.push(ValueType.I32);
  } else {
    if (a >= context.functions.length) throw invalid(`there is no function ${a}`, offset);
    if (!context.declared.has(a)) {
      throw invalid(`function ${a} is referred to but not declared`, offset);
    }
    stack.push(ValueType.FUNCREF);
  }
}

function checkTable({ op, a }: Instruction, { stack, context, offset }: Place): void {
  const { type } = tableAt(context, a, offset);
  if (op === Op.TABLE_FILL || op === Op.TABLE_GROW) stack.pop(ValueType.I32, offset);
  if (op === Op.TABLE_SET || op === Op.TABLE_FILL || op === Op.TABLE_GROW) stack.pop(type, offset);
  if (op === Op.TABLE_GET || op === Op.TABLE_SET || op === Op.TABLE_FILL) {
    stack.pop(ValueType.I32, offset);
  }
  if (op === Op.TABLE_GET) stack.push(type);
  if (op === Op.TABLE_SIZE || op === Op.TABLE_GROW) stack.push(ValueType.I32);
}

function checkSegmentUse({ op, a, b }: Instruction, { stack, context, offset }: Place): void {
  if (op === Op.ELEM_DROP) {
    elementTypeAt(context, a, offset);
    return;
  }
  // table.copy: a is the table written, b the one read; table.init: a is the segment, b the table.
  const from = op === Op.TABLE_COPY
    ? tableAt(context, b, offset).type
    : elementTypeAt(context, a, offset);
  const to = tableAt(context, op === Op.TABLE_COPY ? a : b, offset).type;
  if (from !== to) throw invalid("a table is filled with references of another type", offset);
  for (let taken = 0; taken < 3; taken += 1) stack.pop(ValueType.I32, offset);
}

function checkMemory({ op, a }: Instruction, entry: OpcodeEntry, context: Context, offset: number) {
  if (op === Op.MEMORY_INIT || op === Op.DATA_DROP) {
    if (context.data_count === undefined) {
      throw malformed(`${entry.name} needs a data count section`, offset);
    }
    if (a >= context.data_count) throw invalid(`there is no data segment ${a}`, offset);
  }
  if (op !== Op.DATA_DROP && context.memories === 0) {
    throw invalid(`${entry.name} without a memory`, offset);
  }
  if (entry.access >= 0 && a > entry.access) {
    throw invalid(`${entry.name} is aligned to more than its size`, offset);
  }
}

/** Whether an opcode with a fixed signature also looks at memory or data segments. */
function touchesMemory(op: number): boolean {
  return (op >= Op.I32_LOAD && op <= Op.MEMORY_GROW) ||
    (op >= Op.MEMORY_INIT && op <= Op.MEMORY_FILL);
}

/** Takes the operands of one instruction from the stack and puts its results there. */
export function checkStraight(
  instruction: Instruction,
  entry: OpcodeEntry,
  stack: OperandStack,
  context: Context,
  locals: LocalTypes,
  offset: number,
): void {
  const { op } = instruction;
  if (entry.signature !== undefined) {
    if (touchesMemory(op)) checkMemory(instruction, entry, context, offset);
    stack.popAll(entry.signature.parameters, offset);
    stack.pushAll(entry.signature.results);
    return;
  }
  const place = { stack, context, locals, offset };
  if (op === Op.CALL || op === Op.CALL_INDIRECT) checkCall(instruction, place);
  else if (op === Op.DROP) stack.popAny(offset);
  else if (op === Op.SELECT || op === Op.SELECT_TYPED) checkSelect(instruction, place);
  else if (op >= Op.LOCAL_GET && op <= Op.GLOBAL_SET) checkVariable(instruction, place);
  else if (op >= Op.REF_NULL && op <= Op.REF_FUNC) checkReference(instruction, place);
  else if (op === Op.TABLE_INIT || op === Op.ELEM_DROP || op === Op.TABLE_COPY) {
    checkSegmentUse(instruction, place);
  } else checkTable(instruction, place);
}
