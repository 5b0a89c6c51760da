/**
 * The facts about the bodies of a valid module that the metering transform needs: the height of the operand
 * stack, dead code, the values that branches carry, matching instructions. One pass without recursion; it
 * checks nothing.
 */
import type { RawModule } from "./decode_sections.ts";
import { type BodyFacts, type FunctionType, functionTypes, type Instruction } from "./module.ts";
import { EMPTY_BLOCK, Op, OPCODES } from "./opcodes.ts";
import type { Work } from "./reader.ts";

/** A block that is open. */
interface Frame {
  readonly is_loop: boolean;
  readonly parameters: number;
  readonly results: number;
  /** Index of its opening instruction (an else takes the place of its if); -1 for the body. */
  opener: number;
  readonly base: number;
  /** Whether control reaches the current position, and the start. */
  dead: boolean;
  readonly dead_before: boolean;
}

/** The types of a module, and those of its functions with the imported ones first. */
interface Types {
  readonly types: readonly FunctionType[];
  readonly functions: readonly FunctionType[];
}

/** The facts of one body, found instruction by instruction. */
class FactFinder {
  readonly #types: Types;
  readonly #frames: Frame[] = [];
  readonly #facts: { -readonly [Key in keyof BodyFacts]: BodyFacts[Key] };
  #height = 0;
  #index = 0;

  constructor(types: Types, { results }: FunctionType, length: number) {
    this.#types = types;
    this.#facts = {
      heights: new Uint32Array(length),
      dead: new Uint8Array(length),
      arities: new Uint16Array(length),
      partners: new Uint32Array(length),
      max_height: 0,
    };
    // The body is a block without parameters: those are locals.
    this.#open(Op.BLOCK, 0, results.length, -1);
  }

  find(code: readonly Instruction[]): BodyFacts {
    const { heights, dead } = this.#facts;
    code.forEach((instruction, index) => {
      this.#index = index;
      heights[index] = this.#height;
      dead[index] = this.#top().dead ? 1 : 0;
      this.#step(instruction);
    });
    return this.#facts;
  }

  #top(): Frame {
    return this.#frames.at(-1)!;
  }

  /** Takes nothing below a block's base: dead code may have fewer values than an instruction needs. */
  #move(taken: number, given: number): void {
    this.#to(Math.max(this.#height - taken, this.#top().base) + given);
  }

  #to(height: number): void {
    this.#height = height;
    if (height > this.#facts.max_height) this.#facts.max_height = height;
  }

  #open(op: number, parameters: number, results: number, opener: number): void {
    const dead = this.#frames.at(-1)?.dead ?? false;
    const base = this.#height;
    const is_loop = op === Op.LOOP;
    this.#frames.push({ is_loop, parameters, results, opener, base, dead, dead_before: dead });
    this.#to(base + parameters);
  }

  /** Control does not pass this point of the innermost block. */
  #cut(): void {
    const frame = this.#top();
    frame.dead = true;
    this.#height = frame.base;
  }

  /** The values that a branch to that block carries: a loop's parameters, any other block's results. */
  #carry(depth: number): number {
    const { is_loop, parameters, results } = this.#frames[this.#frames.length - 1 - depth]!;
    return this.#facts.arities[this.#index] = is_loop ? parameters : results;
  }

  #step({ op, a }: Instruction): void {
    switch (op) {
      case Op.BLOCK:
      case Op.LOOP:
      case Op.IF:
        return this.#stepOpen(op, a);
      case Op.ELSE:
        return this.#stepElse();
      case Op.END:
        return this.#stepEnd();
      case Op.BR_IF: {
        const carried = this.#carry(a);
        this.#move(1, 0);
        return this.#move(carried, carried);
      }
      case Op.BR:
      case Op.BR_TABLE:
        this.#carry(a);
        return this.#cut();
      case Op.RETURN:
        this.#carry(this.#frames.length - 1);
        return this.#cut();
      case Op.UNREACHABLE:
        return this.#cut();
      case Op.CALL:
      case Op.CALL_INDIRECT:
        return this.#stepCall(op, a);
    }
    const { taken, given } = OPCODES.get(op)!;
    this.#move(taken, given);
  }

  #stepCall(op: number, index: number): void {
    const is_direct = op === Op.CALL;
    const { functions, types } = this.#types;
    const { parameters, results } = (is_direct ? functions : types)[index]!;
    this.#move(parameters.length + (is_direct ? 0 : 1), results.length);
  }

  #stepOpen(op: number, block_type: number): void {
    if (op === Op.IF) this.#move(1, 0);
    const type = block_type < 0 ? undefined : this.#types.types[block_type];
    const parameters = type?.parameters.length ?? 0;
    const results = type?.results.length ?? (block_type === EMPTY_BLOCK ? 0 : 1);
    this.#move(parameters, 0);
    this.#open(op, parameters, results, this.#index);
  }

  #stepElse(): void {
    const frame = this.#top();
    this.#facts.partners[frame.opener] = this.#index;
    frame.opener = this.#index;
    frame.dead = frame.dead_before;
    this.#to(frame.base + frame.parameters);
  }

  #stepEnd(): void {
    const { opener, base, results } = this.#frames.pop()!;
    const { partners } = this.#facts;
    partners[this.#index] = opener < 0 ? this.#index + 1 : opener;
    if (opener >= 0) partners[opener] = this.#index;
    // In dead code a block may end with fewer values than it returns.
    this.#to(base + results);
  }
}

/** The facts of each body of a valid module, in order. */
export function findFacts(raw: RawModule, work: Work): BodyFacts[] {
  const { types, imports, function_types, bodies } = raw;
  const functions = functionTypes({ types, imports }, function_types);
  return bodies.map(({ code }, at) => {
    work.steps += code.length;
    return new FactFinder({ types, functions }, types[function_types[at]!]!, code.length).find(
      code,
    );
  });
}
