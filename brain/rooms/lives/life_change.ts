/**
 * Tells the subscribers of every room that this Brain owns that the state is of another life. It
 * does so in steps, since there may be very many rooms. Why there is another life is
 * `room_lives.ts`.
 */
import type { KvKey } from "../../../shared/spine/contract/spine.ts";
import { isRoomKey } from "../store/command_pages.ts";
import type { RoomAddress } from "../commands/command.ts";

/** Rooms told between two rests, and the rest in ms: at most 2,000 rooms a second. */
const CHUNK_ROOMS = 200;
const CHUNK_REST_MS = 100;

/** What telling of another life needs. */
export interface LifeChangeOptions {
  /** The keys of all rooms that are stored now. */
  readonly stored: () => Promise<readonly KvKey[]>;
  /** The rooms that were known before, stored or not. */
  readonly known: () => Iterable<RoomAddress>;
  readonly isOwner: (at: RoomAddress) => boolean;
  readonly tell: (at: RoomAddress) => void;
  readonly isStopping: () => boolean;
}

/**
 * Tells the subscribers of all rooms. Rejects when the bucket cannot be listed; those of the known
 * rooms have been reported by then.
 */
export async function tellLifeChange(options: LifeChangeOptions): Promise<void> {
  const { stored, known, isOwner, tell, isStopping } = options;
  const told = new Set<string>();
  let rooms = 0;
  const each = async (at: RoomAddress) => {
    const id = `${at.tenant_id}.${at.room_id}`;
    if (told.has(id) || !isOwner(at)) return;
    told.add(id);
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
