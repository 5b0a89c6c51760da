/**
 * A policy worker's values of keyed state by the number of their hold: requests bring them, and calls write them.
 * `key_holds.ts` runs in the process, and decides which worker has a key.
 */

/** Values by the number of their hold; null if there is none. */
export type HeldValues = Map<number, Uint8Array | null>;

/** The changes of holds in a request. */
export interface HoldChanges {
  readonly given: readonly (readonly [hold: number, value: Uint8Array | null])[];
  readonly ended: readonly number[];
}

/** Applies the changes of a request, with copies of its values: mostly one takes the place of a hold that has ended. */
export function applyChanges(held: HeldValues, { given, ended }: HoldChanges): void {
  let spare = held.get(ended[0]!);
  for (const hold of ended) held.delete(hold);
  for (const [hold, value] of given) {
    held.set(hold, value && copied(value, held.get(hold) ?? spare));
    spare = undefined;
  }
}

/** A value that a policy wrote, or read before a write; null: there is none. */
export interface SlotValue {
  /** The index of the policy in its chain. */
  readonly place: number;
  /** The slot of its declaration. */
  readonly slot: number;
  readonly value: Uint8Array | null;
}

/** A copy of a value, in the place of the one before it if that has its size: a new array takes most of a µs. */
export function copied(value: Uint8Array, before: Uint8Array | null | undefined): Uint8Array {
  if (before?.length !== value.length) return value.slice();
  before.set(value);
  return before;
}
