/**
 * What is known of the locks of one room: what its contenders were answered, and the room's own
 * events, from ROOM_UPDATE and from `room.get`, put together by version. Only the record; `lock_judge.ts`
 * says whether it is right.
 */
import type { RoomEvent } from "../../sdk/typescript/mod.ts";

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
  #contiguous = 0;

  constructor(tenant_id: string, room_id: string) {
    this.tenant_id = tenant_id;
    this.room_id = room_id;
  }

  /** Every version up to this one of the newest epoch is known. */
  get contiguous(): number {
    const events = this.epochs.get(this.#epoch);
    while (events?.has(this.#contiguous + 1)) this.#contiguous++;
    return this.#contiguous;
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
        [this.#epoch, this.#contiguous, this.#begun_ms] = [epoch, 0, event.at_ms];
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
