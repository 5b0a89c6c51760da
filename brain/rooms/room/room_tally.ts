/**
 * The rooms of each tenant, for `brain.rooms_per_tenant` and for counts. The bucket is listed periodically; in
 * between the Brains report creations and ends to each other. So the tally may miss rooms under way: it bounds growth
 * and is not exact.
 */
import { ArqonError, DecodeError, readEnvelope } from "@arqon/proto";
import type { KvKey, Spine } from "../../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { parseTenantSubject } from "../../../shared/subjects/subject.ts";
import { BRAIN_HEADER } from "./announcer.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import { isRoomKey, type MemoryLimits } from "../store/command_pages.ts";
import type { Config } from "../../../shared/config/schema.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import type { RequestLimits } from "../commands/room_commands.ts";
import type { RoomLimits } from "../store/document.ts";
import { FairMap } from "../../../shared/turns/fair_map.ts";
import { FairBound } from "../../../shared/turns/fair_bound.ts";
import { tooManyPending } from "../../desk/command_data.ts";
import { restingRoom, serveRoom } from "./room.ts";
import type { Room, RoomContext, WaitingCommand } from "./room.ts";

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

/**
 * The most bytes of a stored document, or of an answer with a whole state, beyond the entries: events (24 KiB), recent
 * commands (45 KiB), the names of their pages (20 KiB), the rest.
 */
const DOCUMENT_OVERHEAD_BYTES = 98_304;
/** The same for a Spine with small messages: so few commands are remembered that they need no pages. */
const SMALL_OVERHEAD_BYTES = 32_768;
const SMALL_COMMANDS = 32;
/**
 * The bounds in force, with live keys at their present values. Logs if the Spine's messages are smaller than the config
 * needs.
 */
export function roomLimits(
  { brain, limits }: Pick<Config, "brain" | "limits">,
  spine: Pick<Spine, "payload_bytes_max">,
  log: Logger,
): {
  readonly document: RoomLimits & MemoryLimits;
  readonly request: RequestLimits;
  readonly table: TableLimits;
} {
  const { payload_bytes_max } = spine;
  const is_small = payload_bytes_max < 2 * DOCUMENT_OVERHEAD_BYTES;
  const overhead_bytes = is_small ? SMALL_OVERHEAD_BYTES : DOCUMENT_OVERHEAD_BYTES;
  const carried_bytes = Math.max(1, payload_bytes_max - overhead_bytes);
  const state_bytes = Math.min(brain.state_bytes, carried_bytes);
  if (state_bytes < brain.state_bytes) {
    log.warn("the Spine carries less than brain.state_bytes", {
      state_bytes: brain.state_bytes,
      used_bytes: state_bytes,
    });
  }
  return {
    document: {
      state_bytes,
      get keys_per_room() {
        return brain.keys_per_room;
      },
      command_id_ttl_ms: brain.command_id_ttl_ms,
      command_ids_per_room: is_small
        ? Math.min(SMALL_COMMANDS, brain.command_ids_per_room)
        : brain.command_ids_per_room,
    },
    request: {
      key_bytes: limits.field_bytes,
      lock_ttl_ms: brain.lock_ttl_ms,
      lock_ttl_max_ms: brain.lock_ttl_max_ms,
    },
    table: { pending_commands: brain.pending_commands, rooms_in_memory: brain.rooms_in_memory },
  };
}

/** Bounds of the table, from the config. */
interface TableLimits {
  readonly pending_commands: number;
  /** The most rooms in memory, active or cached. */
  readonly rooms_in_memory: number;
}

const idOf = ({ tenant_id, room_id }: RoomAddress): string => `${tenant_id}.${room_id}`;

/** The rooms in memory; one per Brain. */
export class RoomTable {
  readonly #busy = new Map<string, Room>();
  readonly #at_work: FairBound;
  readonly #idle: FairMap<Room>;
  readonly #work = new Set<Promise<void>>();
  readonly #limits: TableLimits;
  readonly #context: RoomContext;

  constructor(limits: TableLimits, context: RoomContext) {
    this.#limits = limits;
    this.#at_work = new FairBound(limits.rooms_in_memory);
    this.#idle = new FairMap(limits.rooms_in_memory, ({ at }) => at.tenant_id);
    this.#context = context;
  }

  get size(): number {
    return this.#busy.size + this.#idle.size;
  }

  isBusy(at: RoomAddress): boolean {
    return this.#busy.has(idOf(at));
  }

  /** True while a lock command of that connection is in the room's queue. */
  isLocking(at: RoomAddress, connection_id: string): boolean {
    return this.#busy.get(idOf(at))?.locking.has(connection_id) === true;
  }

  /** Queues a command at its room. Throws `too-many-pending` if the queue is full. */
  add(at: RoomAddress, waiting: WaitingCommand): void {
    const room = this.#roomAt(at);
    const { pending_commands } = this.#limits;
    // The Brain's own commands are few, and are not retried.
    const own = waiting.command.kind === "release";
    if (!own && room.waiting.length + room.parked.length >= pending_commands) {
      throw tooManyPending(`${pending_commands} commands wait for this room`);
    }
    room.waiting.push(waiting);
    room.wake();
  }

  /** Records that a lock command of the connection is under way, until the returned function is called. */
  noteLocking(at: RoomAddress, connection_id: string): () => void {
    const locking = this.#busy.get(idOf(at))?.locking;
    locking?.add(connection_id);
    return () => void locking?.delete(connection_id);
  }

  forget(at: RoomAddress): void {
    this.#idle.delete(idOf(at));
  }

  /** Forgets the cached documents of all rooms; queued commands are still served. */
  forgetAll(): void {
    this.#idle.clear();
    for (const room of this.#busy.values()) room.cached = undefined;
  }

  *rooms(): Generator<RoomAddress> {
    for (const { at } of this.#busy.values()) yield at;
    for (const [, { at }] of this.#idle.entries()) yield at;
  }

  /** Forgets the idle rooms that `isKept` rejects. */
  keepOnly(isKept: (at: RoomAddress) => boolean): void {
    for (const [id, { at }] of this.#idle.entries()) if (!isKept(at)) this.#idle.delete(id);
  }

  /** Wakes the commands that wait for a version. */
  wakeAll(): void {
    for (const room of this.#busy.values()) room.wake();
  }

  /** Resolves when every command added so far is answered. */
  async settled(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  #roomAt(at: RoomAddress): Room {
    const id = idOf(at);
    const busy = this.#busy.get(id);
    if (busy !== undefined) return busy;
    const room = this.#idle.get(id) ?? restingRoom(at);
    this.#idle.delete(id);
    if (!this.#at_work.take(at.tenant_id)) {
      throw tooManyPending(`${this.#at_work.of(at.tenant_id)} rooms of this tenant are at work`);
    }
    if (this.size >= this.#limits.rooms_in_memory) this.#idle.drop(at.tenant_id);
    this.#busy.set(id, room);
    const running = this.#serve(id, room).finally(() => this.#at_work.add(at.tenant_id, -1));
    this.#work.add(running);
    running.finally(() => this.#work.delete(running));
    return room;
  }

  /** Serves a woken room until its queue is empty, then caches it as idle. */
  async #serve(id: string, room: Room): Promise<void> {
    // Commands of one turn are queued before this and share a batch.
    await Promise.resolve();
    // Checked in the same turn in which the room becomes idle: a command that arrived during the last answer must not
    // wait for the next one.
    do {
      await serveRoom(room, this.#context);
    } while (room.waiting.length > 0);
    this.#busy.delete(id);
    this.#idle.set(id, room);
  }
}
