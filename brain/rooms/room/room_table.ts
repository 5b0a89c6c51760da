/**
 * The rooms in memory: active ones, and cached idle ones. Bounded: the longest idle room is dropped first. `room.ts`
 * executes commands.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import { plural } from "../../../shared/plural.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import { tooManyPending } from "../../desk/command_data.ts";
import { restingRoom, serveRoom } from "./room.ts";
import type { Room, RoomContext, WaitingCommand } from "./room.ts";

/** Bounds of the table, from the config. */
export interface TableLimits {
  readonly pending_commands: number;
  /** The most rooms in memory, active or cached. */
  readonly rooms_in_memory: number;
}

const idOf = ({ tenant_id, room_id }: RoomAddress): string => `${tenant_id}.${room_id}`;

/** The rooms in memory; one per Brain. */
export class RoomTable {
  readonly #busy = new Map<string, Room>();
  readonly #idle: BoundedMap<string, Room>;
  readonly #work = new Set<Promise<void>>();
  readonly #limits: TableLimits;
  readonly #context: RoomContext;

  constructor(limits: TableLimits, context: RoomContext) {
    this.#limits = limits;
    this.#idle = new BoundedMap(limits.rooms_in_memory);
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
      throw tooManyPending(
        `${plural(pending_commands, "command waits", "commands wait")} for this room`,
      );
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
    for (const { at } of this.#idle.values()) yield at;
  }

  /** Forgets the idle rooms that `isKept` rejects. */
  keepOnly(isKept: (at: RoomAddress) => boolean): void {
    for (const [id, { at }] of this.#idle) if (!isKept(at)) this.#idle.delete(id);
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
    const { rooms_in_memory } = this.#limits;
    if (this.size >= rooms_in_memory && this.#idle.dropOldest() === undefined) {
      throw tooManyPending(`${plural(rooms_in_memory, "room is", "rooms are")} at work`);
    }
    this.#busy.set(id, room);
    const running = this.#serve(id, room);
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
