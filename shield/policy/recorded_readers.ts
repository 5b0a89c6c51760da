/** Has the journal record what policies decide about readers that are no subscribers. */
import type { Notes, Policies } from "../message/gates.ts";

/** The same policies. A SUB brings its own note; a read of history, values, a stream or a proof gets one here. */
export function recordingReaders(policies: Policies, notes: Notes | undefined): Policies {
  if (notes === undefined) return policies;
  return {
    ...policies,
    onSubscribe(caller, room_id, given) {
      const note = given ?? notes.operation(caller, "on_subscribe", room_id);
      const judged = policies.onSubscribe(caller, room_id, note);
      if (given !== undefined || note === undefined) return judged;
      judged?.then(() => notes.allow(note), (error) => notes.deny(note, error));
      return judged;
    },
  };
}
