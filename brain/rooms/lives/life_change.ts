/**
 * Notifies the subscribers of every room that this Brain owns that the state belongs to another life. It works in
 * steps, because there may be very many rooms. `room_lives.ts` decides about lives.
 */
import type { KvKey } from "../../../shared/spine/contract/spine.ts";
import { isRoomKey } from "../store/command_pages.ts";
import type { RoomAddress } from "../../cluster_view.ts";

/** Rooms notified between two pauses, and the pause in ms: at most 2,000 rooms a second. */
const CHUNK_ROOMS = 200;
const CHUNK_REST_MS = 100;

/** The dependencies of the notification. */
export interface LifeChangeOptions {
  readonly stored: () => Promise<readonly KvKey[]>;
  /** The previously known rooms, stored or not. */
  readonly known: () => Iterable<RoomAddress>;
  readonly isOwner: (at: RoomAddress) => boolean;
  readonly tell: (at: RoomAddress) => void;
  readonly isStopping: () => boolean;
}

/**
 * Notifies the subscribers of all rooms. Rejects if the bucket cannot be listed; the known rooms have been notified by
 * then.
 */
export async function tellLifeChange(options: LifeChangeOptions): Promise<void> {
  const { stored, known, isOwner, tell, isStopping } = options;
  const visited = new Set<string>();
  let rooms = 0;
  const each = async (at: RoomAddress) => {
    const id = `${at.tenant_id}.${at.room_id}`;
    if (visited.has(id) || !isOwner(at)) return;
    visited.add(id);
    tell(at);
    if (++rooms % CHUNK_ROOMS === 0) {
      await new Promise((resolve) => setTimeout(resolve, CHUNK_REST_MS));
    }
  };
  for (const at of [...known()]) {
    if (isStopping()) return;
    await each(at);
  }
  for (const [tenant_id = "", room_id = ""] of (await stored()).filter(isRoomKey)) {
    if (isStopping()) return;
    await each({ tenant_id, room_id });
  }
}
