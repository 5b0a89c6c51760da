/**
 * The operand stack of the validator: types instead of values, and the bottom that code after a branch
 * makes. Knows nothing of instructions.
 */
import { invalid } from "./errors.ts";
import { VALUE_TYPE_NAMES } from "./module.ts";
import type { ValueType } from "./module.ts";
import type { Work } from "./reader.ts";

/** Stands for any type: what dead code takes from below the bottom of its block. */
export const UNKNOWN = 0;
/** A value type or `UNKNOWN`. */
export type OperandType = ValueType | typeof UNKNOWN;

/** One stack for all bodies of a module; `reset` between them. */
export class OperandStack {
  #types = new Uint8Array(64);
  readonly #work: Work;
  /** Values on the stack. */
  height = 0;
  /** The greatest height since `reset`. */
  max_height = 0;
  /** Where the innermost block's operands start; nothing below may be taken. */
  base = 0;
  /** Whether the innermost block is behind a branch, so that anything may be taken at its base. */
  polymorphic = false;

  constructor(work: Work) {
    this.#work = work;
  }

  /** Empties it. */
  reset(): void {
    this.height = 0;
    this.max_height = 0;
    this.base = 0;
    this.polymorphic = false;
  }

  /** Puts one value on top. */
  push(type: OperandType): void {
    if (this.height === this.#types.length) {
      const wider = new Uint8Array(2 * this.height);
      wider.set(this.#types);
      this.#types = wider;
    }
    this.#types[this.height] = type;
    this.height += 1;
    this.#work.steps += 1;
    if (this.height > this.max_height) this.max_height = this.height;
  }

  /** Puts values on top, the last one uppermost. */
  pushAll(types: readonly ValueType[]): void {
    for (const type of types) this.push(type);
  }

  /** Takes the top value, whatever it is. */
  popAny(offset: number): OperandType {
    this.#work.steps += 1;
    if (this.height === this.base) {
      if (this.polymorphic) return UNKNOWN;
      throw invalid("an instruction takes a value where there is none", offset);
    }
    this.height -= 1;
    return this.#typeAt(this.height);
  }

  /** Takes a value of one type. */
  pop(expected: OperandType, offset: number): OperandType {
    const actual = this.popAny(offset);
    this.#agree(actual, expected, offset);
    return actual;
  }

  /** Takes values, the last one first. */
  popAll(types: readonly ValueType[], offset: number): void {
    for (let at = types.length - 1; at >= 0; at -= 1) this.pop(types[at] ?? UNKNOWN, offset);
  }

  /** Whether these values could be taken; takes none. */
  checkAll(types: readonly ValueType[], offset: number): void {
    for (let taken = 1; taken <= types.length; taken += 1) {
      this.#work.steps += 1;
      const expected = types[types.length - taken] ?? UNKNOWN;
      const place = this.height - taken;
      if (place >= this.base) this.#agree(this.#typeAt(place), expected, offset);
      else if (!this.polymorphic) {
        throw invalid("a branch carries more values than there are", offset);
      }
    }
  }

  /** Control does not come past this point of the innermost block. */
  cut(): void {
    this.height = this.base;
    this.polymorphic = true;
  }

  #typeAt(place: number): OperandType {
    return (this.#types[place] ?? UNKNOWN) as OperandType;
  }

  #agree(actual: OperandType, expected: OperandType, offset: number): void {
    if (actual === expected || actual === UNKNOWN || expected === UNKNOWN) return;
    const [found, needed] = [VALUE_TYPE_NAMES[actual], VALUE_TYPE_NAMES[expected]];
    throw invalid(`a value is ${found} where ${needed} is needed`, offset);
  }
}
