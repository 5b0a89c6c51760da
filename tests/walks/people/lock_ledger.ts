/**
 * What is known of the locks of one room: what its contenders were answered, and the room's own
 * events, from ROOM_UPDATE and from `room.get`, put together by version. Only the record; `lock_judge.ts`
 * says whether it is right.
 */
import type { RoomEvent } from "@arqon/sdk/state";

/** A lock as its holder knows it. Times are Unix ms. */
export interface Grant {
  readonly user_id: string;
  readonly epoch: string;
  readonly fence: number;
  readonly acked_ms: number;
  until_ms: number;
  /** When it asked for the end. */
  released_ms: number | undefined;
}

/** A write with a fence, or without one (fence 0). */
export interface Write {
  readonly user_id: string;
  readonly fence: number;
  /** Of this write alone. */
  readonly nonce: string;
  readonly outcome:
    | { readonly kind: "applied"; readonly epoch: string; readonly version: number }
    | { readonly kind: "refused"; readonly reason: string }
    /** No answer: it may have been applied. */
    | { readonly kind: "unknown" };
}

/** The versions of a room's epoch begin behind a multiple of this (`brain/rooms/store/life.ts`). */
const START_EVERY = 1_000;

/** The version before the first of the epoch that this one is of. */
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
  /** One version that was told in two ways. */
  readonly conflicts: string[] = [];
  #epoch = "";
  /** When something happened in it first, as far as is known. Unix ms. */
  #begun_ms = -Infinity;
  /** Undefined before anything of the newest epoch is known. */
  #known_to: number | undefined;

  constructor(tenant_id: string, room_id: string) {
    this.tenant_id = tenant_id;
    this.room_id = room_id;
  }

  /** The epoch in which something happened last. */
  get newest_epoch(): string {
    return this.#epoch;
  }

  /** Up to this version of the newest epoch everything is known, or given up; 0 before anything is. */
  get known_to(): number {
    const events = this.epochs.get(this.#epoch);
    if (events === undefined || this.#known_to === undefined) return 0;
    while (events.has(this.#known_to + 1)) this.#known_to++;
    return this.#known_to;
  }

  /** The room no longer tells what comes behind `known_to`: goes on at the next version that is known. */
  giveUp(): void {
    const known_to = this.known_to;
    const later = [...this.epochs.get(this.#epoch)?.keys() ?? []].filter((one) => one > known_to);
    if (later.length > 0) this.#known_to = Math.min(...later) - 1;
  }

  /** Takes an answer to a lock: a new one, or the same again for longer. */
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

  /** Takes an event, in any order and any number of times. */
  add(event: RoomEvent): void {
    const { epoch, version } = event;
    let events = this.epochs.get(epoch);
    if (events === undefined) {
      events = new Map();
      this.epochs.set(epoch, events);
      // Epochs say nothing of their order; what happened in them does.
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
