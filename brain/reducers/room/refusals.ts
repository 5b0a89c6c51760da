/** Refusals of commands that only a room with a reducer can answer. */
import { ArqonError } from "@arqon/proto";

/** The refusal of a command that only a reducer can answer. */
export const noReducer = (detail: string): ArqonError =>
  new ArqonError("invalid-command", `room.call: ${detail}`);

/** The refusal for a room without visible values. */
export const nothingShown = (room_id: string): ArqonError =>
  new ArqonError("invalid-command", `room.values: ${room_id} shows none: no reducer_visible`);

/** The refusal for a room whose module is not public. */
export const noModule = (room_id: string): ArqonError =>
  new ArqonError(
    "invalid-command",
    `room.module: ${room_id} does not publish it: no reducer_public`,
  );
