/**
 * Which of the stored states a fold of a room's log can begin with. Where log and states come from is not its matter.
 * Pure.
 */

/** Where a log begins. */
export interface LogBegin {
  /** The entry behind which it begins; undefined: it keeps none. */
  readonly floor: number | undefined;
  /** The last entry that came of another room; 0: the room began empty. */
  readonly origin: number;
}

/** The states from which the log goes on, in their order, and whether it goes on from the one that the room began with. */
export function foldable<State extends { readonly offset: number }>(
  states: readonly State[],
  { floor, origin }: LogBegin,
): { readonly states: State[]; readonly is_whole: boolean } {
  return {
    states: states.filter(({ offset }) => offset >= (floor ?? 0)),
    // A room that was stored has been called: where nothing is left of its log, that is not where it begins.
    is_whole: floor === undefined ? states.length === 0 : floor === origin,
  };
}
