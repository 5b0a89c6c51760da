/**
 * What a client shows of a room: the values that the room has confirmed, and on top of them what its own calls will
 * have done that are not confirmed yet, guessed anew after each change. Pure: guesses, answers and changes are given
 * to it.
 *
 * A change that comes while calls wait for their answers may be theirs, and nothing in it says so: it is kept back
 * until those calls are answered, so that no call counts twice for a moment. The bus answers a call before it tells
 * what the call has changed.
 */
import { isSameValue, type ReducedValue, type ValueChanges } from "./values_view.ts";
import type { Guess, GuessedValues } from "./guest.ts";

/** Changes that are kept back at most; with more the oldest counts, whoever's it is. */
const HELD_MAX = 1_000;

/** What came of a call: the entry whose changes are to come, or that nothing visible is. */
export type CallOutcome = { readonly entry: number } | "nothing";

interface Pending {
  readonly number: number;
  readonly guess: (values: GuessedValues) => Guess;
  /** Undefined: there is no answer yet. */
  entry: number | undefined;
}

interface Held {
  /** The last call that had been made when it came. */
  readonly number: number;
  readonly version: number;
  readonly changes: ValueChanges;
}

/** The values of a room and those that own calls make of them. */
export class Rebase {
  readonly #confirmed = new Map<string, ReducedValue>();
  #version = 0;
  #pending: Pending[] = [];
  #held: Held[] = [];
  #guessed = new Map<string, ReducedValue | undefined>();
  #last = 0;

  /** Calls that are not confirmed. */
  get pending(): number {
    return this.#pending.length;
  }

  /** The entry whose values are below the guesses. */
  get version(): number {
    return this.#version;
  }

  read(key: string): ReducedValue | undefined {
    return this.#guessed.has(key) ? this.#guessed.get(key) : this.#confirmed.get(key);
  }

  /** Keys that have a value, in no order. */
  *keys(): Iterable<string> {
    for (const key of this.#confirmed.keys()) if (!this.#guessed.has(key)) yield key;
    for (const [key, value] of this.#guessed) if (value !== undefined) yield key;
  }

  /** Takes a call; gives its number and what it changes here. */
  call(guess: (values: GuessedValues) => Guess): { number: number; changes: ValueChanges } {
    const number = ++this.#last;
    this.#pending.push({ number, guess, entry: undefined });
    return { number, changes: this.#guessAnew(new Map()) };
  }

  /** Takes what came of a call. */
  answered(number: number, outcome: CallOutcome): ValueChanges {
    const pending = this.#pending.find((one) => one.number === number);
    if (pending === undefined) return new Map();
    if (outcome !== "nothing" && outcome.entry > this.#version) pending.entry = outcome.entry;
    else this.#pending = this.#pending.filter((one) => one !== pending);
    return this.#guessAnew(this.#release());
  }

  /** Takes changes that the room tells. */
  confirmed(version: number, changes: ValueChanges): ValueChanges {
    this.#held.push({ number: this.#last, version, changes });
    return this.#guessAnew(this.#release());
  }

  /** Lets changes count that wait for no answer any longer; gives what was there before them. */
  #release(): Map<string, ReducedValue | undefined> {
    const before = new Map<string, ReducedValue | undefined>();
    const open = this.#pending.find(({ entry }) => entry === undefined)?.number ?? Infinity;
    while (this.#held.length > 0) {
      if (this.#held[0]!.number >= open && this.#held.length <= HELD_MAX) break;
      const { version, changes } = this.#held.shift()!;
      for (const [key, value] of changes) {
        if (!before.has(key)) before.set(key, this.read(key));
        if (value === undefined) this.#confirmed.delete(key);
        else this.#confirmed.set(key, value);
      }
      // Entries have begun anew: what was answered before is in none of them.
      if (version < this.#version) {
        this.#pending = this.#pending.filter(({ entry }) => entry === undefined);
      }
      this.#version = version;
    }
    this.#pending = this.#pending.filter(({ entry = Infinity }) => entry > this.#version);
    return before;
  }

  /** Guesses all calls anew; gives what is another value than before. */
  #guessAnew(before: Map<string, ReducedValue | undefined>): ValueChanges {
    const old = this.#guessed;
    this.#guessed = new Map();
    for (const { guess } of this.#pending) {
      for (const [key, value] of guess(this) ?? []) this.#guessed.set(key, value);
    }
    for (const key of [...old.keys(), ...this.#guessed.keys()]) {
      if (before.has(key)) continue;
      before.set(key, old.has(key) ? old.get(key) : this.#confirmed.get(key));
    }
    const changes = new Map<string, ReducedValue | undefined>();
    for (const [key, value] of before) {
      const now = this.read(key);
      if (!isSameValue(value, now)) changes.set(key, now);
    }
    return changes;
  }
}
