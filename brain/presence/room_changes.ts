/** Groups the changes of a merge by room. Pure. */
import type { Changes } from "../../shared/presence/state.ts";
import type { WrittenEntry } from "../../shared/presence/types.ts";

/** The joins and leaves of one room, in the order of the merge. */
export interface RoomDelta {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly joins: readonly WrittenEntry[];
  readonly leaves: readonly WrittenEntry[];
}

interface Draft extends RoomDelta {
  readonly joins: WrittenEntry[];
  readonly leaves: WrittenEntry[];
}

/** The room's key in a map, as one text; "/" is in no id. */
export function roomKey(tenant_id: string, room_id: string): string {
  return `${tenant_id}/${room_id}`;
}

/** Groups joins and leaves by room, leaves first; rooms are in the order in which they first appear. */
export function byRoom({ joins, leaves }: Changes): Iterable<RoomDelta> {
  const rooms = new Map<string, Draft>();
  let last: Draft | undefined;
  const roomOf = ({ entry: { tenant_id, room_id } }: WrittenEntry): Draft => {
    // Members of one room are mostly adjacent.
    if (last !== undefined && last.room_id === room_id && last.tenant_id === tenant_id) return last;
    const key = roomKey(tenant_id, room_id);
    let room = rooms.get(key);
    if (room === undefined) rooms.set(key, room = { tenant_id, room_id, joins: [], leaves: [] });
    return last = room;
  };
  for (const gone of leaves) roomOf(gone).leaves.push(gone);
  for (const come of joins) roomOf(come).joins.push(come);
  return rooms.values();
}
