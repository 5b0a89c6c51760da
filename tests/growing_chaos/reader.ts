/** Reads the growing messages of rooms, and holds all that it hears to what it must be. For tabs and the parent. */
import type { Connection } from "@arqon/sdk";
import { growing } from "@arqon/sdk/streams";
import { textOf } from "./sources.ts";

/** What a reader tells: a message that it has heard to its end, or what is wrong. */
export interface Heard {
  readonly id: string;
  /** What is wrong with it; "" when its text is the source's, byte for byte. */
  readonly problem: string;
  /** Whether there was something of it when the reader came. */
  readonly is_joined: boolean;
}

/** What a reader has heard of messages that have not ended, by their ids. */
export type Open = Map<string, { readonly text: string; readonly is_joined: boolean }>;

/** Hears the messages of a room until `signal` is aborted, and tells each that has ended. */
export async function readRoom(
  bus: Connection,
  room: string,
  signal: AbortSignal,
  tell: (heard: Heard) => void,
  open: Open = new Map(),
): Promise<void> {
  try {
    for await (const { id, text, piece, state } of growing(bus.room(room), { signal })) {
      const whole = textOf(room, id);
      const before = open.get(id) ?? { text: "", is_joined: text.length > 40 };
      const { is_joined } = before;
      let problem = "";
      if (!whole.startsWith(text)) problem = `${JSON.stringify(text)} is no beginning of it`;
      else if (before.text + piece !== text) problem = "the pieces are not the text";
      if (state === "growing") {
        open.set(id, { text, is_joined });
        if (problem !== "") tell({ id, problem, is_joined });
        continue;
      }
      if (problem === "" && (state !== "finished" || text !== whole)) {
        problem = `${state} with ${text.length} of ${whole.length}`;
      }
      open.delete(id);
      tell({ id, problem, is_joined });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
