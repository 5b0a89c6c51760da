/** A room that goes on although entries of its log are lost, because an operator has accepted that. Pure. */
import { CanonicalWriter } from "./canonical.ts";
import { digestOf, type RoomState } from "./room_state.ts";

/**
 * The state as if the entries before `offset` had changed nothing; that one is the operator's word. Its digest says that they are missing, so that no
 * replay that has them takes it for its own.
 */
export function withoutEntries(state: RoomState, offset: number): RoomState {
  const writer = new CanonicalWriter().raw(state.chain).text("lost");
  writer.i64(state.offset).i64(offset);
  return { ...state, offset, chain: digestOf(writer.done()) };
}
