/**
 * Validates function bodies by the algorithm of the specification's appendix (operand and control
 * stack), one pass without recursion, and notes what the metering transform needs to know.
 */
import type { Context } from "./context.ts";
import type { RawBody } from "./decode_instructions.ts";
import { invalid, malformed } from "./errors.ts";
import { type BodyFacts, type FunctionType, type Instruction, ValueType } from "./module.ts";
import { EMPTY_BLOCK, Op, OPCODES } from "./opcodes.ts";
import { OperandStack } from "./operand_stack.ts";
import type { Work } from "./reader.ts";
import { checkStraight, LocalTypes } from "./validate_straight.ts";

/** A block that is open. */
interface Frame {
  /** BLOCK, LOOP, IF, or ELSE for the second half of an if. */
  op: number;
  readonly type: FunctionType;
  /** Index of its opening instruction (an else takes the place of its if); -1 for the body. */
  opener: number;
  readonly base: number;
  polymorphic: boolean;
  /** Whether control arrives at the current place, and at its start. */
  dead: boolean;
  readonly dead_before: boolean;
}

const NO_VALUES: FunctionType = { parameters: [], results: [] };
const ONE_RESULT: ReadonlyMap<number, FunctionType> = new Map(
  Object.values(ValueType).map((type) => [type - 0x80, { parameters: [], results: [type] }]),
);

/** What a branch to the block carries: a loop's parameters, any other block's results. */
function labelTypes(frame: Frame): readonly ValueType[] {
  return frame.op === Op.LOOP ? frame.type.parameters : frame.type.results;
}

type Facts = { -readonly [Key in keyof BodyFacts]: BodyFacts[Key] };

function emptyFacts(length: number): Facts {
  return {
    heights: new Uint32Array(length),
    dead: new Uint8Array(length),
    arities: new Uint16Array(length),
    partners: new Uint32Array(length),
    max_height: 0,
    control_count: 0,
    max_nesting: 0,
  };
}

/** Validates the bodies of one module, one after another. */
export class BodyValidator {
  readonly #context: Context;
  readonly #work: Work;
  readonly #stack: OperandStack;
  #frames: Frame[] = [];
  #facts = emptyFacts(0);
  /** The index of the instruction that is checked. */
  #index = 0;
  #offset = 0;

  constructor(context: Context, work: Work) {
    this.#context = context;
    this.#work = work;
    this.#stack = new OperandStack(work);
  }

  /** @throws {WasmError} when the body does not have its type. */
  validate(body: RawBody, type: FunctionType): BodyFacts {
    const { code, offsets } = body;
    this.#stack.reset();
    this.#frames = [];
    this.#facts = emptyFacts(code.length);
    this.#offset = body.offset;
    const locals = new LocalTypes(type.parameters, body.locals, this.#work);
    // The body is a block without parameters: those are locals.
    this.#open(Op.BLOCK, { parameters: [], results: type.results }, -1);
    code.forEach((instruction, index) => {
      this.#index = index;
      this.#offset = offsets[index] ?? body.offset;
      this.#note();
      this.#step(instruction, locals);
    });
    this.#facts.max_height = this.#stack.max_height;
    return this.#facts;
  }

  #note(): void {
    this.#work.steps += 1;
    this.#facts.heights[this.#index] = this.#stack.height;
    this.#facts.dead[this.#index] = this.#top().dead ? 1 : 0;
  }

  #top(): Frame {
    const frame = this.#frames.at(-1);
    if (frame === undefined) throw malformed("instructions behind the end", this.#offset);
    return frame;
  }

  #open(op: number, type: FunctionType, opener: number): void {
    const dead = this.#frames.at(-1)?.dead ?? false;
    const base = this.#stack.height;
    this.#frames.push({ op, type, opener, base, polymorphic: false, dead, dead_before: dead });
    this.#stack.base = base;
    this.#stack.polymorphic = false;
    this.#stack.pushAll(type.parameters);
  }

  /** The block's results are all there is above its base. */
  #checkResults(frame: Frame): void {
    this.#stack.popAll(frame.type.results, this.#offset);
    if (this.#stack.height !== frame.base) {
      throw invalid("a block leaves values that it does not give", this.#offset);
    }
  }

  #cut(): void {
    const frame = this.#top();
    frame.polymorphic = true;
    frame.dead = true;
    this.#stack.cut();
  }

  #blockType(code: number): FunctionType {
    if (code === EMPTY_BLOCK) return NO_VALUES;
    const type = code < 0 ? ONE_RESULT.get(code) : this.#context.types[code];
    if (type === undefined) throw invalid(`there is no type ${code}`, this.#offset);
    return type;
  }

  #label(depth: number): readonly ValueType[] {
    const frame = this.#frames[this.#frames.length - 1 - depth];
    if (frame === undefined) throw invalid(`there is no label ${depth}`, this.#offset);
    return labelTypes(frame);
  }

  #carry(types: readonly ValueType[]): void {
    this.#facts.arities[this.#index] = types.length;
  }

  #step(instruction: Instruction, locals: LocalTypes): void {
    const { op, a } = instruction;
    switch (op) {
      case Op.BLOCK:
      case Op.LOOP:
      case Op.IF:
        return this.#stepOpen(op, a);
      case Op.ELSE:
        return this.#stepElse();
      case Op.END:
        return this.#stepEnd();
      case Op.BR:
      case Op.BR_IF:
        return this.#stepBranch(op, a);
      case Op.BR_TABLE:
        return this.#stepBranchTable(instruction);
      case Op.RETURN: {
        const results = this.#frames[0]?.type.results ?? [];
        this.#carry(results);
        this.#stack.popAll(results, this.#offset);
        return this.#cut();
      }
      case Op.UNREACHABLE:
        return this.#cut();
    }
    const entry = OPCODES.get(op);
    if (entry === undefined) throw malformed(`there is no opcode ${op}`, this.#offset);
    checkStraight(instruction, entry, this.#stack, this.#context, locals, this.#offset);
  }

  #stepOpen(op: number, block_type: number): void {
    if (op === Op.IF) this.#stack.pop(ValueType.I32, this.#offset);
    const type = this.#blockType(block_type);
    this.#stack.popAll(type.parameters, this.#offset);
    this.#open(op, type, this.#index);
    this.#facts.control_count += 1;
    const nesting = this.#frames.length - 1;
    if (nesting > this.#facts.max_nesting) this.#facts.max_nesting = nesting;
  }

  #stepElse(): void {
    const frame = this.#top();
    this.#checkResults(frame);
    this.#facts.partners[frame.opener] = this.#index;
    frame.op = Op.ELSE;
    frame.opener = this.#index;
    frame.polymorphic = false;
    frame.dead = frame.dead_before;
    this.#stack.polymorphic = false;
    this.#stack.pushAll(frame.type.parameters);
  }

  #stepEnd(): void {
    const frame = this.#top();
    this.#checkResults(frame);
    this.#checkMissingElse(frame);
    this.#frames.pop();
    if (frame.opener < 0) {
      this.#facts.partners[this.#index] = this.#index + 1;
      return;
    }
    this.#facts.partners[frame.opener] = this.#index;
    this.#facts.partners[this.#index] = frame.opener;
    const outer = this.#top();
    this.#stack.base = outer.base;
    this.#stack.polymorphic = outer.polymorphic;
    this.#stack.pushAll(frame.type.results);
  }

  /** An if without an else passes its parameters on as its results. */
  #checkMissingElse(frame: Frame): void {
    if (frame.op !== Op.IF) return;
    const { parameters, results } = frame.type;
    const same = parameters.length === results.length &&
      parameters.every((type, at) => type === results[at]);
    if (!same) throw invalid("an if without an else changes its values", this.#offset);
  }

  #stepBranch(op: number, depth: number): void {
    if (op === Op.BR_IF) this.#stack.pop(ValueType.I32, this.#offset);
    const types = this.#label(depth);
    this.#carry(types);
    this.#stack.popAll(types, this.#offset);
    if (op === Op.BR_IF) this.#stack.pushAll(types);
    else this.#cut();
  }

  #stepBranchTable({ a, list }: Instruction): void {
    this.#stack.pop(ValueType.I32, this.#offset);
    const types = this.#label(a);
    this.#carry(types);
    for (const depth of list) {
      this.#work.steps += 1;
      const other = this.#label(depth);
      if (other.length !== types.length) {
        throw invalid("the labels of a br_table carry unlike values", this.#offset);
      }
      this.#stack.checkAll(other, this.#offset);
    }
    this.#stack.popAll(types, this.#offset);
    this.#cut();
  }
}
