/** Which of the stored states a fold of a room's log can start from. Pure: log and states are arguments. */

interface LogBegin {
  /** The offset before its first entry; undefined if the log is empty. */
  readonly floor: number | undefined;
  /** The last entry that came from another room; 0: the room began empty. */
  readonly origin: number;
}

/** The states that the log continues, in order, and whether it continues the room's first state. */
export function foldable<State extends { readonly offset: number }>(
  states: readonly State[],
  { floor, origin }: LogBegin,
): { readonly states: State[]; readonly is_whole: boolean } {
  return {
    states: states.filter(({ offset }) => offset >= (floor ?? 0)),
    // A stored room has been called: if its log is empty, the room does not start from there.
    is_whole: floor === undefined ? states.length === 0 : floor === origin,
  };
}
