/**
 * The record of one room's locks: the answers to its contenders, and the room's own events, from ROOM_UPDATE and from
 * `room.get`, merged by version. `lock_judge.ts` judges it.
 */
import type { RoomEvent } from "@arqon/sdk/state";

/** A lock as its holder knows it. Times are Unix ms. */
export interface Grant {
  readonly user_id: string;
  readonly epoch: string;
  readonly fence: number;
  readonly acked_ms: number;
  until_ms: number;
  /** When it requested the release. */
  released_ms: number | undefined;
}

/** A write with a fencing token, or without one (fence 0). */
export interface Write {
  readonly user_id: string;
  readonly fence: number;
  /** Unique to this write. */
  readonly nonce: string;
  readonly outcome:
    | { readonly kind: "applied"; readonly epoch: string; readonly version: number }
    | { readonly kind: "refused"; readonly reason: string }
    /** No answer: it may have been applied. */
    | { readonly kind: "unknown" };
}

/** The versions of a room's epoch begin after a multiple of this (`brain/rooms/store/life.ts`). */
const START_EVERY = 1_000;

/** The version before the first one of this version's epoch. */
export function startOf(version: number): number {
  return Math.floor((version - 1) / START_EVERY) * START_EVERY;
}

/** One room. */
export class LockLedger {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly grants: Grant[] = [];
  readonly writes: Write[] = [];
  /** By epoch, then by version. */
  readonly epochs = new Map<string, Map<number, RoomEvent>>();
  /** One version with two different contents. */
  readonly conflicts: string[] = [];
  /** False once a clock was set: leases go by monotonic clocks, and their times in events do not. */
  is_timed = true;
  #epoch = "";
  /** Its earliest known event. Unix ms. */
  #begun_ms = -Infinity;
  /** Undefined before anything of the latest epoch is known. */
  #known_to: number | undefined;

  constructor(tenant_id: string, room_id: string) {
    this.tenant_id = tenant_id;
    this.room_id = room_id;
  }

  /** The epoch of the latest event. */
  get newest_epoch(): string {
    return this.#epoch;
  }

  /** Everything up to this version of the latest epoch is known, or given up; 0 before that. */
  get known_to(): number {
    const events = this.epochs.get(this.#epoch);
    if (events === undefined || this.#known_to === undefined) return 0;
    while (events.has(this.#known_to + 1)) this.#known_to++;
    return this.#known_to;
  }

  /** The room no longer has the versions after `known_to`: continues at the next known version. */
  giveUp(): void {
    const known_to = this.known_to;
    const later = [...this.epochs.get(this.#epoch)?.keys() ?? []].filter((one) => one > known_to);
    if (later.length > 0) this.#known_to = Math.min(...later) - 1;
  }

  /** Adds an answer to a lock: a new one, or an extension. */
  granted(grant: Omit<Grant, "released_ms">): Grant {
    const same = this.grants.findLast(({ user_id, epoch, fence }) => (
      user_id === grant.user_id && epoch === grant.epoch && fence === grant.fence
    ));
    if (same === undefined) {
      const first = { ...grant, released_ms: undefined };
      this.grants.push(first);
      return first;
    }
    same.until_ms = Math.max(same.until_ms, grant.until_ms);
    same.released_ms = undefined;
    return same;
  }

  /** Adds an event, in any order and any number of times. */
  add(event: RoomEvent): void {
    const { epoch, version } = event;
    let events = this.epochs.get(epoch);
    if (events === undefined) {
      events = new Map();
      this.epochs.set(epoch, events);
      // Epochs have no order by themselves; their events do.
      if (event.at_ms >= this.#begun_ms) {
        [this.#epoch, this.#known_to, this.#begun_ms] = [epoch, startOf(version), event.at_ms];
      }
    }
    const known = events.get(version);
    if (known === undefined) events.set(version, event);
    else if (JSON.stringify(known) !== JSON.stringify(event)) {
      this.conflicts.push(
        `version ${version} of epoch ${epoch} is both ${JSON.stringify(known)} and ` +
          JSON.stringify(event),
      );
    }
  }
}
