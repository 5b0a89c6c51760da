/**
 * A thread with a Shield's presence that brings many members at once. It is a thread of its own, so that what
 * it keeps is not in the heap that `presence_memory_child.ts` measures.
 */
import { newMember, startShieldPresence } from "./presence_shields.ts";
import { openNatsSpine } from "../measure/brains.ts";

/** The order for the thread: which members join, and where. */
export interface MemoryOrder {
  readonly nats_url: string;
  readonly members: number;
  readonly rooms: number;
  /** Number of rooms of each connection. */
  readonly rooms_per_connection: number;
  readonly meta: boolean;
}

async function join(order: MemoryOrder): Promise<void> {
  const { nats_url, members, rooms, rooms_per_connection, meta } = order;
  const { presence } = startShieldPresence("shield-1", await openNatsSpine(nats_url, "shield"));
  scope.postMessage("connected");
  await new Promise<void>((resolve) => scope.onmessage = () => resolve());
  let connection = newMember("bench", "room-0", 0);
  for (let index = 0; index < members; index++) {
    const room_id = `room-${index % rooms}`;
    if (index % rooms_per_connection === 0) connection = newMember("bench", room_id, index);
    presence.join({ ...connection, room_id, ...(meta ? {} : { meta: "" }) });
  }
  scope.postMessage("joined");
}

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<MemoryOrder>) => void) | null;
  postMessage(message: string): void;
};
scope.onmessage = ({ data }) => void join(data);
