/** Entries of a log and reducers in TypeScript, for tests of rooms. */
import { BoundsError, type Draft, type Reducer } from "../state/fold.ts";
import { ROOM_BOUNDS } from "../state/room_state.ts";
import type { CommandEntry, RoomBounds, TimerEntry } from "../state/room_state.ts";

const encoder = new TextEncoder();

/** UTF-8. */
export const utf8 = (text: string): Uint8Array => encoder.encode(text);

/** A room with these bounds. */
export const roomOf = (bounds: Partial<RoomBounds> = {}) => ({
  room_id: "lobby",
  bounds: { ...ROOM_BOUNDS, ...bounds },
});

/** A command, by default of Ann. */
export function command(
  offset: number,
  about: Partial<Omit<CommandEntry, "kind" | "offset">> = {},
): CommandEntry {
  return {
    kind: "command",
    offset,
    time_ms: 1_000 + offset,
    seed: new Uint8Array(16),
    command: "do",
    data: new Uint8Array(),
    id: "",
    user_id: "ann",
    role: "user",
    claims: {},
    ...about,
  };
}

/** The entry of a due timer. */
export const timer = (offset: number, key: string, time_ms: number): TimerEntry => ({
  kind: "timer",
  offset,
  key,
  time_ms,
  seed: new Uint8Array(16),
});

/** A reducer that runs a function, and rejects with 409 when it throws a text. */
export const reducerOf = (apply: (draft: Draft) => void): Reducer => (draft) => {
  try {
    apply(draft);
    return { kind: "applied" };
  } catch (error) {
    if (error instanceof BoundsError) throw error;
    return { kind: "rejected", code: 409, reason: String(error) };
  }
};
