/**
 * What a Brain knows of all rooms with reducers, whoever owns them: what it has to know without reading one. It learns of
 * it from the bucket of records, and reads and stores nothing.
 */
import { ArqonError } from "@arqon/proto";
import { decodeRecord } from "../../shared/records/reducer_record.ts";
import { REMOVAL_KEY } from "../../shared/records/reducer_removal.ts";
import type { KvChange } from "../../shared/spine/contract/spine.ts";
import type { RoomAddress as Place } from "../rooms/commands/command.ts";
import { type KnownRoom, knownRoom } from "./room/forking.ts";
import { unlessNewer } from "../../shared/records/stored.ts";

/** A name of a room of all tenants. */
export const keyOf = ({ tenant_id, room_id }: Place): string => `${tenant_id}/${room_id}`;

/** Rooms that somebody has called. */
export class KnownRooms {
  readonly #rooms = new Map<string, KnownRoom>();

  /** Takes note of a record. */
  hear({ key: [tenant_id = "", room_id = ""], value }: KvChange): void {
    // What is being removed is beside the records of rooms.
    if (tenant_id === REMOVAL_KEY[0]) return;
    const key = keyOf({ tenant_id, room_id });
    const record = value && unlessNewer(() => decodeRecord(value));
    // A newer Brain looks after it.
    if (record === undefined || record === "newer") this.#rooms.delete(key);
    else this.#rooms.set(key, knownRoom(tenant_id, room_id, record));
  }

  /** All of them. */
  all(): Iterable<KnownRoom> {
    return this.#rooms.values();
  }

  /** Those whose timers or entries wait for somebody; `isOver`: whether that time of a room has come. */
  due(isOver: (at: KnownRoom, at_ms: number) => boolean): IteratorObject<KnownRoom> {
    return this.#rooms.values().filter((at) =>
      at.is_behind || at.next_ms !== null && isOver(at, at.next_ms)
    );
  }

  /** Throws `room-limit` for one more room of a tenant that has so many. */
  requireFew(at: Place, rooms_per_tenant: number): void {
    if (this.#rooms.size < rooms_per_tenant || this.#rooms.has(keyOf(at))) return;
    const own = this.#rooms.values().reduce(
      (sum, { tenant_id }) => tenant_id === at.tenant_id ? sum + 1 : sum,
      0,
    );
    if (own >= rooms_per_tenant) throw new ArqonError("room-limit", String(rooms_per_tenant));
  }
}
