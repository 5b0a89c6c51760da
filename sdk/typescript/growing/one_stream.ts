/** One growing message from its beginning to its end, also when it has ended already. */
import type { Room } from "../room/room.ts";
import { growing } from "./growing_messages.ts";
import type { Growing } from "./growing_messages.ts";
import type { GrowingState } from "./growing_room.ts";
import { history } from "../request/history.ts";

/** How far back a message that has ended is looked for, in messages. */
const ENDED_MESSAGES = 100;

/**
 * Receives one message until it has ended; the first time has all that there is of it. One that has ended lately is
 * read from the room's log; one that has not begun is waited for, until `signal` is aborted.
 */
export async function* readStream(
  room: Room,
  id: string,
  { signal }: { readonly signal?: AbortSignal } = {},
): AsyncGenerator<Growing, void> {
  const heard = growing(room, { compared: () => endedOf(room, id), ...signal && { signal } });
  for await (const one of heard) {
    if (one.id !== id) continue;
    yield one;
    if (one.state !== "growing") return;
  }
}

/** The message, if the room's log has it. */
async function endedOf(room: Room, id: string): Promise<Growing[]> {
  const { messages } = await history(room, { limit: ENDED_MESSAGES, reverse: true });
  const stored = messages.find(({ message_id }) => message_id.startsWith(`growing:${id}:`));
  if (stored === undefined) return [];
  const { "x-arqon-growing": state, "x-arqon-growing-reason": reason = "" } = stored.headers;
  const { type, sender, message_id, offset } = stored;
  return [{
    ...{ id, type, sender, reason, text: stored.text(), piece: stored.text() },
    started_ms: Number(message_id.split(":")[2]),
    state: state as GrowingState,
    offset: Number(offset),
  }];
}
