/**
 * The rooms of each tenant, for `brain.rooms_per_tenant` and for counts. The bucket is listed periodically; in
 * between the Brains report creations and ends to each other. So the tally may miss rooms under way: it bounds growth
 * and is not exact.
 */
import { ArqonError, DecodeError, readEnvelope } from "@arqon/proto";
import type { KvKey } from "../../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { parseTenantSubject } from "../../../shared/subjects/subject.ts";
import { BRAIN_HEADER } from "./announcer.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import { isRoomKey } from "../store/command_pages.ts";

/** The tally; one per Brain. */
export class RoomTally {
  #tenants = new Map<string, Set<string>>();
  readonly #rooms_per_tenant: number;
  /** Creations and ends during a listing of the bucket: the listing may or may not contain them. */
  #meanwhile: [at: RoomAddress, exists: boolean][] | undefined;
  #onNoted: (at: RoomAddress) => void = () => {};
  #onRecounted: () => void = () => {};

  constructor(rooms_per_tenant: number) {
    this.#rooms_per_tenant = rooms_per_tenant;
  }

  /** Calls back after each creation or end, and after each new listing. One listener. */
  follow(onNoted: (at: RoomAddress) => void, onRecounted: () => void): void {
    this.#onNoted = onNoted;
    this.#onRecounted = onRecounted;
  }

  has({ tenant_id, room_id }: RoomAddress): boolean {
    return this.#tenants.get(tenant_id)?.has(room_id) === true;
  }

  /** The rooms of all tenants. Rooms that change during the iteration may be included or not. */
  *rooms(): Generator<RoomAddress> {
    for (const [tenant_id, rooms] of this.#tenants) {
      for (const room_id of rooms) yield { tenant_id, room_id };
    }
  }

  /** Counts again from the bucket; resolves with all keys. Rejects as `list` does, then without a change. */
  async recount(list: () => Promise<KvKey[]>): Promise<readonly KvKey[]> {
    const meanwhile: [RoomAddress, boolean][] = [];
    this.#meanwhile = meanwhile;
    try {
      const keys = await list();
      this.#meanwhile = undefined;
      this.#tenants = new Map();
      for (const [tenant_id = "", room_id = ""] of keys.filter(isRoomKey)) {
        this.#set({ tenant_id, room_id }, true);
      }
      for (const [at, exists] of meanwhile) this.#set(at, exists);
      this.#onRecounted();
      return keys;
    } finally {
      this.#meanwhile = undefined;
    }
  }

  /** Records a creation or an end; idempotent. */
  note(at: RoomAddress, exists: boolean): void {
    this.#meanwhile?.push([at, exists]);
    this.#set(at, exists);
    this.#onNoted(at);
  }

  #set({ tenant_id, room_id }: RoomAddress, exists: boolean): void {
    const rooms = this.#tenants.get(tenant_id) ?? new Set<string>();
    if (exists) rooms.add(room_id);
    else rooms.delete(room_id);
    if (rooms.size > 0) this.#tenants.set(tenant_id, rooms);
    else this.#tenants.delete(tenant_id);
  }

  /** The error `room-limit` (429) if the tenant may not create another room. */
  refusal(tenant_id: string): ArqonError | undefined {
    const rooms = this.#tenants.get(tenant_id)?.size ?? 0;
    if (rooms < this.#rooms_per_tenant) return undefined;
    return new ArqonError("room-limit", String(this.#rooms_per_tenant));
  }

  /**
   * Handles a lifecycle message of any tenant's room. Skips this Brain's own messages and invalid bytes. Returns the
   * version of the room; 0: unknown.
   */
  receive(message: SpineMessage, brain_id: string): number {
    const tenant_id = parseTenantSubject(message.subject);
    if (tenant_id === undefined || message.headers[BRAIN_HEADER] === brain_id) return 0;
    try {
      const { room_id, event } = readEnvelope(message.payload);
      const known = event?.type === "ROOM_CREATED" || event?.type === "ROOM_ENDED";
      if (!known) return 0;
      this.note({ tenant_id, room_id }, event.type === "ROOM_CREATED");
      return versionIn(event.data);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return 0;
    }
  }
}

function versionIn(data: Uint8Array): number {
  try {
    const { version } = JSON.parse(new TextDecoder().decode(data));
    return typeof version === "number" ? version : 0;
  } catch {
    return 0;
  }
}
