/**
 * Whether a place in an earlier life of a durable room's log still means what it meant: only the answer
 * to a SUB says, so it asks by a subscription that it ends at once. Reads no history.
 */
import type { Room } from "@arqon/sdk";
import type { Place } from "./history.ts";

/**
 * False when the room began anew, or what came up to the place is gone. Needs a connection on which
 * nobody is subscribed to the room. Rejects with what the bus refuses a SUB with.
 */
export async function isKnownPlace(room: Pick<Room, "subscribe">, place: Place): Promise<boolean> {
  using subscription = room.subscribe({ position: place, buffer: 1 });
  await subscription.ready;
  if (subscription.recovered !== false) return true;
  for await (const { signal, sender } of subscription) {
    // Too many messages since, for example, say nothing of the place itself.
    if (signal?.kind === "GAP" && sender === "") return signal.reason !== "epoch-changed";
  }
  return false;
}
