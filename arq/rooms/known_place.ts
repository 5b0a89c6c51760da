/**
 * Whether a place from an earlier epoch of a durable room still means the same. Only the answer to a SUB says
 * so; this file subscribes, reads that answer and ends the subscription. It reads no history.
 */
import type { Room } from "@arqon/sdk";
import type { Place } from "./history.ts";

/**
 * False when the room has begun anew, or when messages up to the place are gone. The connection must have no
 * subscription to the room. Rejects with the bus's refusal of the SUB.
 */
export async function isKnownPlace(room: Pick<Room, "subscribe">, place: Place): Promise<boolean> {
  using subscription = room.subscribe({ position: place, buffer: 1 });
  await subscription.ready;
  if (subscription.recovered !== false) return true;
  for await (const { signal, sender } of subscription) {
    // Other reasons, such as too many messages since, say nothing about the place itself.
    if (signal?.kind === "GAP" && sender === "") return signal.reason !== "epoch-changed";
  }
  return false;
}
