/**
 * Counts the live rooms that this Brain owns: those with a document, and those with a member whose document is still to
 * be created. The tally knows the stored rooms, presence their members, and the cluster their owners. Each room has one
 * owner, so that the sum over Brains is the cluster's count.
 */
import type { ClusterView, RoomAddress } from "../../cluster_view.ts";
import type { RoomTally } from "./room_tally.ts";

/** The dependencies of the count. */
export interface LiveRoomsOptions {
  readonly view: Pick<ClusterView, "brain_id" | "ownerOf" | "count" | "occupied">;
  readonly tally: Pick<RoomTally, "has" | "rooms">;
}

/** Rooms checked in one turn of the event loop, which takes a millisecond or two. */
const TURN_ROOMS = 2_048;

const nextTurn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** The count of live rooms; one per Brain. */
export class LiveRooms {
  readonly #options: LiveRoomsOptions;
  /** The live rooms: ids by tenant. */
  readonly #own = new Map<string, Set<string>>();
  #size = 0;
  #surveying: Promise<void> | undefined;
  #is_stale = false;

  constructor(options: LiveRoomsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#size;
  }

  /** Checks one room again: it may have changed. */
  look(at: RoomAddress): void {
    const { tenant_id, room_id } = at;
    const lives = this.#lives(at);
    const rooms = this.#own.get(tenant_id);
    if (rooms?.has(room_id) === true) {
      if (lives) return;
      rooms.delete(room_id);
      this.#size--;
      if (rooms.size === 0) this.#own.delete(tenant_id);
    } else if (lives) {
      if (rooms === undefined) this.#own.set(tenant_id, new Set([room_id]));
      else rooms.add(room_id);
      this.#size++;
    }
  }

  /** Checks all rooms again, spread over turns: owners have changed, or the tally is new. */
  survey(): void {
    this.#is_stale = true;
    this.#surveying ??= this.#survey().finally(() => {
      this.#surveying = undefined;
    });
  }

  /** Resolves when no survey is under way. */
  async settled(): Promise<void> {
    await this.#surveying;
  }

  #lives(at: RoomAddress): boolean {
    const { view, tally } = this.#options;
    const { tenant_id, room_id } = at;
    return view.ownerOf(tenant_id, room_id) === view.brain_id &&
      (tally.has(at) || view.count(tenant_id, room_id).connections > 0);
  }

  async #survey(): Promise<void> {
    while (this.#is_stale) {
      this.#is_stale = false;
      let looked = 0;
      // Rooms that change meanwhile are checked at their change.
      for (const at of this.#candidates()) {
        this.look(at);
        if (++looked % TURN_ROOMS === 0) await nextTurn();
      }
    }
  }

  *#candidates(): Generator<RoomAddress> {
    for (const [tenant_id, rooms] of this.#own) {
      for (const room_id of rooms) yield { tenant_id, room_id };
    }
    yield* this.#options.tally.rooms();
    yield* this.#options.view.occupied();
  }
}
