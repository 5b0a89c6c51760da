/** A Brain without reducers, for tests of rooms. */
import { ArqonError } from "@arqon/proto";
import type { ReducerCalls } from "../desk/commands.ts";

/** Answers every call that the room has none. */
export const NO_REDUCERS: ReducerCalls = {
  call: ({ room_id }, { answer }) =>
    answer(new ArqonError("invalid-command", `${room_id} has no reducer`)),
  values: ({ room_id }, { answer }) =>
    answer(new ArqonError("invalid-command", `${room_id} shows no values`)),
  module: ({ room_id }) =>
    Promise.reject(new ArqonError("invalid-command", `${room_id} gives no module`)),
  past: ({ room_id }) =>
    Promise.reject(new ArqonError("invalid-command", `${room_id} has no reducer`)),
};
