/**
 * Limits the messages of all open durable rooms that this process caches for returning subscribers: a share for each
 * room, and a budget for all, which tenants share. Drops only what can be read from the log again, so a room's newest
 * message always stays. Messages held by slow readers are not counted here: their lag is limited where they read.
 */
import type { Config } from "../../../shared/config/schema.ts";
import type { RetryClock } from "./log_calls.ts";
import { fairLevel } from "../../../shared/turns/fair_bound.ts";
import type { DurableStats } from "./stats.ts";

/** The most cached messages of a room without returning subscribers. */
const SHARE_MESSAGES = 1_000;
const SHARE_BYTES = 1_048_576;
/** How long a room keeps messages read for a returning subscriber, in ms: others may follow. */
const HOLD_MS = 10_000;
/** Bytes of an entry in addition to its envelope: the object, its slot in the list, and the frame. */
const ENTRY_BYTES = 256;
const COPIES = 2;
/** Trimming goes this far below the budget, so that not every message trims. */
const TARGET = 0.9;

/** The kept messages of one room. */
export interface CachedTail {
  readonly count: number;
  readonly bytes: number;
  /** Drops the oldest messages above these limits; the newest stays. True if it dropped any. */
  trim(max_messages: number, max_bytes: number): boolean;
}

interface TailCacheOptions {
  readonly limits: Pick<
    Config["limits"],
    "log_cache_bytes" | "recovery_messages" | "recovery_bytes"
  >;
  readonly clock: RetryClock;
  readonly stats: Pick<DurableStats, "cache_bytes" | "open_rooms">;
}

interface Owner {
  bytes: number;
  rooms: number;
  /** Its tails with more than one message, the least recently used first. */
  readonly trimmable: Set<CachedTail>;
}

interface Room {
  readonly tenant_id: string;
  readonly owner: Owner;
  weight_bytes: number;
  /** Until when the room may keep more than its share, in monotonic ms. */
  held_until_ms: number;
}

/** The cache of all rooms; one for the whole process. */
export class TailCache {
  readonly #options: TailCacheOptions;
  readonly #rooms = new Map<CachedTail, Room>();
  /** The tenants with open rooms, and those that have tails with more than one message. */
  readonly #owners = new Map<string, Owner>();
  readonly #trimmable = new Set<Owner>();
  /** Tails with more than their share, in the order in which their time ends. */
  readonly #held = new Set<CachedTail>();
  #cancel: (() => void) | undefined;

  constructor(options: TailCacheOptions) {
    this.#options = options;
  }

  /** The approximate bytes of all cached messages. */
  get bytes(): number {
    return this.#options.stats.cache_bytes;
  }

  open(tail: CachedTail, tenant_id: string): void {
    if (this.#rooms.has(tail)) return;
    const owner = this.#owners.get(tenant_id) ?? { bytes: 0, rooms: 0, trimmable: new Set() };
    this.#owners.set(tenant_id, owner);
    owner.rooms++;
    this.#rooms.set(tail, { tenant_id, owner, weight_bytes: 0, held_until_ms: 0 });
    this.#options.stats.open_rooms = this.#rooms.size;
    this.changed(tail);
  }

  close(tail: CachedTail): void {
    const room = this.#rooms.get(tail);
    if (room === undefined) return;
    const { tenant_id, owner, weight_bytes } = room;
    this.#options.stats.cache_bytes -= weight_bytes;
    owner.bytes -= weight_bytes;
    this.#rooms.delete(tail);
    this.#setTrimmable(tail, owner, false);
    if (--owner.rooms === 0) this.#owners.delete(tenant_id);
    this.#held.delete(tail);
    this.#options.stats.open_rooms = this.#rooms.size;
    if (this.#rooms.size === 0) this.#stopTimer();
  }

  /** The room's list has grown or shrunk: it may be trimmed, and others with it. */
  changed(tail: CachedTail): void {
    const room = this.#rooms.get(tail);
    if (room === undefined) return;
    const { recovery_messages, recovery_bytes } = this.#options.limits;
    if (room.held_until_ms === 0) tail.trim(SHARE_MESSAGES, SHARE_BYTES);
    else tail.trim(recovery_messages, recovery_bytes);
    this.#weigh(tail, room);
    if (this.bytes > this.#options.limits.log_cache_bytes) this.#shrink();
  }

  /** A subscriber returned to the room, which may exceed its share for a while. */
  used(tail: CachedTail): void {
    const room = this.#rooms.get(tail);
    if (room === undefined) return;
    room.held_until_ms = this.#options.clock.now() + HOLD_MS;
    this.#held.delete(tail);
    this.#held.add(tail);
    const { trimmable } = room.owner;
    if (trimmable.delete(tail)) trimmable.add(tail);
    this.#cancel ??= this.#options.clock.after(HOLD_MS, () => this.#release());
    this.changed(tail);
  }

  #weigh(tail: CachedTail, room: Room): void {
    const weight_bytes = tail.count * ENTRY_BYTES + tail.bytes * COPIES;
    this.#options.stats.cache_bytes += weight_bytes - room.weight_bytes;
    room.owner.bytes += weight_bytes - room.weight_bytes;
    room.weight_bytes = weight_bytes;
    this.#setTrimmable(tail, room.owner, tail.count > 1);
  }

  #setTrimmable(tail: CachedTail, owner: Owner, is_trimmable: boolean): void {
    const { trimmable } = owner;
    if (is_trimmable) trimmable.add(tail);
    else trimmable.delete(tail);
    if (trimmable.size > 0) this.#trimmable.add(owner);
    else this.#trimmable.delete(owner);
  }

  /** Trims the tenants with most, their least recently used rooms first. */
  #shrink(): void {
    const needs = [...this.#trimmable].map(({ bytes }) => bytes);
    const fixed_bytes = this.bytes - needs.reduce((sum, bytes) => sum + bytes, 0);
    const target_bytes = this.#options.limits.log_cache_bytes * TARGET;
    const level = fairLevel(target_bytes - fixed_bytes, needs);
    for (const owner of this.#trimmable) {
      for (const tail of owner.trimmable) {
        if (owner.bytes <= level) break;
        tail.trim(1, 0);
        this.#weigh(tail, this.#rooms.get(tail) as Room);
      }
    }
  }

  /** Trims rooms to their share again when their time has ended. */
  #release(): void {
    this.#cancel = undefined;
    const now_ms = this.#options.clock.now();
    for (const tail of this.#held) {
      const room = this.#rooms.get(tail) as Room;
      if (room.held_until_ms > now_ms) {
        const wait_ms = room.held_until_ms - now_ms;
        this.#cancel = this.#options.clock.after(wait_ms, () => this.#release());
        return;
      }
      room.held_until_ms = 0;
      this.#held.delete(tail);
      this.changed(tail);
    }
  }

  #stopTimer(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
