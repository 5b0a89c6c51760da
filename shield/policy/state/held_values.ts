/**
 * The values of keyed state where policies run: what came with requests, and what calls have written since,
 * by the numbers of the holds. `key_holds.ts` decides in the process which worker has which key.
 */

/** Values by the number of their hold; null where there is none. */
export type HeldValues = Map<number, Uint8Array | null>;

/** What a request says of holds. */
export interface ToldValues {
  /** The holds that begin with it, and their values. */
  readonly given: readonly (readonly [hold: number, value: Uint8Array | null])[];
  /** The holds that have ended. */
  readonly ended: readonly number[];
}

/** Takes over what a request says. */
export function takeTold(held: HeldValues, { given, ended }: ToldValues): void {
  for (const hold of ended) held.delete(hold);
  for (const [hold, value] of given) held.set(hold, value);
}

/** A value that a policy read before it wrote it, or wrote; null: there is none. */
export interface SlotValue {
  /** The place of the policy in its chain, from 0 on. */
  readonly place: number;
  /** The slot of its declaration. */
  readonly slot: number;
  readonly value: Uint8Array | null;
}
