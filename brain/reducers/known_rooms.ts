/**
 * What a Brain knows of all rooms with reducers, whoever owns them, without reading one. It follows the bucket of
 * records, and reads and stores nothing else.
 */
import { ArqonError } from "@arqon/proto";
import { decodeRecord, REMOVAL_KEY } from "../../shared/records/reducer_record.ts";
import type { KvChange } from "../../shared/spine/contract/spine.ts";
import type { RoomAddress as Place } from "../cluster_view.ts";
import { type KnownRoom, knownRoom } from "./room/fork.ts";
import { unlessNewer } from "../../shared/records/stored.ts";

/** The key of a room among all tenants. */
export const keyOf = ({ tenant_id, room_id }: Place): string => `${tenant_id}/${room_id}`;

/** Rooms that have been called. */
export class KnownRooms {
  readonly #rooms = new Map<string, KnownRoom>();

  apply({ key: [tenant_id = "", room_id = ""], value }: KvChange): void {
    // The bucket also has the modules being removed.
    if (tenant_id === REMOVAL_KEY[0]) return;
    const key = keyOf({ tenant_id, room_id });
    const record = value && unlessNewer(() => decodeRecord(value));
    // A newer Brain handles it.
    if (record === undefined || record === "newer") this.#rooms.delete(key);
    else this.#rooms.set(key, knownRoom(tenant_id, room_id, record));
  }

  all(): Iterable<KnownRoom> {
    return this.#rooms.values();
  }

  /** Rooms with due timers or unpublished entries; `isOver` says whether a room's time has been reached. */
  due(isOver: (at: KnownRoom, at_ms: number) => boolean): IteratorObject<KnownRoom> {
    return this.#rooms.values().filter((at) =>
      at.is_behind || at.next_ms !== null && isOver(at, at.next_ms)
    );
  }

  /** Throws `room-limit` if another room would exceed the tenant's limit. */
  requireFew(at: Place, rooms_per_tenant: number): void {
    if (this.#rooms.size < rooms_per_tenant || this.#rooms.has(keyOf(at))) return;
    const own = this.#rooms.values().reduce(
      (sum, { tenant_id }) => tenant_id === at.tenant_id ? sum + 1 : sum,
      0,
    );
    if (own >= rooms_per_tenant) throw new ArqonError("room-limit", String(rooms_per_tenant));
  }
}
