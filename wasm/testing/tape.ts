/**
 * The common parts of the generator of random modules: the tape from which it chooses, and the types
 * of every generated module. For tests only.
 */
import { type FunctionType, ValueType } from "../module/module.ts";

const { I32, I64, F64 } = ValueType;

/** Returns the numbers of a list one after the other, then zeros. */
export class Tape {
  readonly #numbers: readonly number[];
  #next = 0;

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }

  /** A number from 0 up to, not including, `count`. */
  below(count: number): number {
    const found = this.#numbers[this.#next] ?? 0;
    this.#next += 1;
    return count < 1 ? 0 : found % count;
  }

  /** One of `items`; the first if the tape is exhausted. */
  one<Item>(items: readonly Item[]): Item {
    const found = items[this.below(items.length)];
    if (found === undefined) throw new TypeError("nothing to choose from");
    return found;
  }

  /** True once in `count` times, never if the tape is exhausted. */
  oneIn(count: number): boolean {
    return this.below(count) === count - 1 && count > 1;
  }
}

const of = (parameters: ValueType[], results: ValueType[]): FunctionType => ({
  parameters,
  results,
});

/** The types of every generated module; imports use 6 and 7. */
export const TYPES: readonly FunctionType[] = [
  of([], []),
  of([], [I32]),
  of([I32], [I32]),
  of([I32, I64], [I64]),
  of([F64, I32], [F64]),
  of([I32, I64], [I32, I64]),
  of([I32, I32, I32], []),
  of([I32, I32], [I32]),
  of([], [I32, I64]),
];

/** What code may refer to. */
export interface Sketch {
  /** Type index of every function, imports first. */
  readonly functions: readonly number[];
  /** Types of the globals; all are mutable. */
  readonly globals: readonly ValueType[];
  readonly table_entries: number;
  /** Whether the code may show the bits of NaNs, and has some: the interpreter does not preserve them. */
  readonly nan_bits: "hidden" | "shown";
}
