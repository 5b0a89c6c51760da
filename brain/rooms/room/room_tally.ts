/**
 * Which rooms each tenant has, for `[brain] rooms_per_tenant` and for counting them. The bucket is
 * listed from time to time; in between the Brains tell each other births and ends. So the tally may
 * be off by what is under way: it is a bound on growth, not a ledger.
 */
import { ArqonError, DecodeError, readEnvelope } from "@arqon/proto";
import type { KvKey, SpineMessage } from "../../../shared/spine/contract/spine.ts";
import { parseTenantSubject } from "../../../shared/subjects/subject.ts";
import { BRAIN_HEADER } from "./announcer.ts";
import type { RoomAddress } from "../commands/command.ts";
import { isRoomKey } from "../store/command_pages.ts";

/** The tally; one per Brain. */
export class RoomTally {
  #tenants = new Map<string, Set<string>>();
  readonly #rooms_per_tenant: number;
  /** Births and ends while the bucket is being listed: the listing may or may not have them. */
  #meanwhile: [at: RoomAddress, exists: boolean][] | undefined;
  #onNoted: (at: RoomAddress) => void = () => {};
  #onRecounted: () => void = () => {};

  constructor(rooms_per_tenant: number) {
    this.#rooms_per_tenant = rooms_per_tenant;
  }

  /** Calls back, from now on, after each birth or end, and after each new listing. One listener. */
  follow(onNoted: (at: RoomAddress) => void, onRecounted: () => void): void {
    this.#onNoted = onNoted;
    this.#onRecounted = onRecounted;
  }

  has({ tenant_id, room_id }: RoomAddress): boolean {
    return this.#tenants.get(tenant_id)?.has(room_id) === true;
  }

  /**
   * The rooms of all tenants. One that comes or goes while they are read may be among them or not.
   */
  *rooms(): Generator<RoomAddress> {
    for (const [tenant_id, rooms] of this.#tenants) {
      for (const room_id of rooms) yield { tenant_id, room_id };
    }
  }

  /**
   * Counts again from the bucket; resolves with all keys. Rejects as `list` does, and changes
   * nothing then.
   */
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

  /** Takes note of a birth or an end; taking note twice is harmless. */
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

  /** The error `room-limit` (429) when the tenant may have no further room. */
  refusal(tenant_id: string): ArqonError | undefined {
    const rooms = this.#tenants.get(tenant_id)?.size ?? 0;
    if (rooms < this.#rooms_per_tenant) return undefined;
    return new ArqonError("room-limit", String(this.#rooms_per_tenant));
  }

  /**
   * Takes a message about the lifecycle of any tenant's room. Skips what this Brain did itself, and
   * bytes that are none. Returns the version that the room has or had; 0: it is not said.
   */
  hear(message: SpineMessage, brain_id: string): number {
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
