/** Answers calls if no room has a reducer. */
import { noModule, noReducer, nothingShown } from "../../../shared/rooms/reducer_room.ts";
import type { ReducerCalls } from "./commands.ts";

/** Refuses every call: the room has no reducer. */
export const NO_REDUCERS: ReducerCalls = {
  call: ({ room_id }, { answer }) => answer(noReducer(`${room_id} has no reducer`)),
  values: ({ room_id }, { answer }) => answer(nothingShown(room_id)),
  module: ({ room_id }) => Promise.reject(noModule(room_id)),
  past: ({ room_id }) => Promise.reject(noReducer(`${room_id} has no reducer`)),
  cutOff: () => ({ rooms: [], total: 0 }),
};
