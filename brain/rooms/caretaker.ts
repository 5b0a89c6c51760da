/**
 * The background jobs of a Brain's rooms: creates rooms that get a member, ends expired locks, sweeps rooms and bans.
 * Follows the cluster and has the timers; the jobs are in their own files.
 */
import type { MemberChange, RoomAddress } from "../cluster_view.ts";
import type { BanBook } from "./ban_book.ts";
import { BirthQueue } from "./lives/births.ts";
import { UNCONDITIONAL } from "./commands/command.ts";
import type { FallCause } from "./commands/command.ts";
import type { LiveLocks } from "./locks/live_locks.ts";
import type { Lock } from "./locks/lock.ts";
import type { LiveRooms } from "./room/live_rooms.ts";
import { sweepRooms } from "./sweep.ts";
import type { SweepOptions } from "./sweep.ts";
import type { TenantBytes } from "./store/tenant_bytes.ts";

/** The dependencies of the caretaker. */
export interface CaretakerOptions extends SweepOptions {
  /** The most queued rooms to create. */
  readonly waiting_max: number;
  readonly locks: LiveLocks;
  readonly live: LiveRooms;
  readonly bans: BanBook;
  readonly bytes: Pick<TenantBytes, "used" | "limit_bytes">;
}

/** Interval between checks for expired locks. */
const LOCK_TICK_MS = 250;
const BAN_TICK_MS = 5_000;
/** A sweep visits all rooms four times within their idle timeout, within these bounds. */
const SWEEPS_A_TIMEOUT = 4;
const SWEEP_MIN_MS = 250;
const SWEEP_MAX_MS = 600_000;
/** Brains start and stop in groups: the sweep waits this long after the last change. */
const NEW_TERM_REST_MS = 200;
/** A pseudo room id: its hash decides which Brain sweeps a tenant's bans. */
const BANS_OF_TENANT = "bans";

/** The background jobs of rooms; one per Brain. Runs from its creation until `stop`. */
export class Caretaker {
  readonly #options: CaretakerOptions;
  readonly #births: BirthQueue;
  readonly #ends: (() => void)[] = [];
  /** The rooms with a release command under way. */
  readonly #releasing = new Set<string>();
  #stopped = false;
  #sweep_timer: ReturnType<typeof setTimeout> | undefined;
  #sweeping: Promise<void> | undefined;
  #sweeping_bans: Promise<void> | undefined;

  constructor(options: CaretakerOptions) {
    this.#options = options;
    this.#births = new BirthQueue(options);
    const { view } = options;
    const lock_timer = setInterval(() => this.#tick(), LOCK_TICK_MS);
    const ban_timer = setInterval(() => this.#sweepBans(), BAN_TICK_MS);
    this.#ends.push(
      () => clearInterval(lock_timer),
      () => clearInterval(ban_timer),
      view.onMembers((change) => this.#onMembers(change)),
      view.onOwnership((was_away) => this.#onOwnership(was_away)),
    );
    options.live.survey();
    this.#sweepIn(0);
  }

  /** Stops the jobs; resolves when none is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#sweep_timer);
    for (const end of this.#ends.splice(0)) end();
    const { live } = this.#options;
    await Promise.all([this.#births.stop(), this.#sweeping, this.#sweeping_bans, live.settled()]);
    // Its rooms have other owners now, which count them.
    this.#show();
  }

  #onMembers(change: MemberChange): void {
    const { view, context, last_use, live } = this.#options;
    const { tenant_id, room_id, joins, leaves, cause } = change;
    const at = { tenant_id, room_id };
    if (cause === "reported" && leaves.length > 0) this.#onLeaves(at, change);
    if (!context.isOwner(at)) return;
    live.look(at);
    const { connections } = view.count(tenant_id, room_id);
    if (connections === 0) last_use.note(at);
    // The first members of a room; with earlier members it already exists.
    else if (joins.length > 0 && connections - joins.length + leaves.length <= 0) {
      this.#births.add(at);
    }
  }

  #onLeaves(at: RoomAddress, { joins, leaves }: MemberChange): void {
    const { context, locks, table } = this.#options;
    // An update is a leave and a join of one connection.
    const there = new Set(joins.map(({ connection_id }) => connection_id));
    for (const { connection_id } of leaves) {
      if (there.has(connection_id)) continue;
      // The connection has moved to another Shield and keeps its id.
      if (this.#options.view.memberOf(at.tenant_id, at.room_id, connection_id)) continue;
      const holds = locks.leave(at, connection_id);
      const asks = table.isLocking(at, connection_id);
      if ((holds || asks) && context.isOwner(at)) this.#release(at, "holder-left", connection_id);
    }
  }

  #onOwnership(was_away: boolean): void {
    const { table, context, last_use, live } = this.#options;
    context.saying.beginTerm();
    for (const each of [table, last_use]) each.keepOnly(context.isOwner);
    if (was_away) last_use.clear();
    live.survey();
    this.#sweepIn(NEW_TERM_REST_MS);
  }

  #tick(): void {
    const { locks, context } = this.#options;
    const current = (at: RoomAddress, lock: Lock) => context.leases.current(at, lock);
    for (const { at, cause, connection_id } of [...locks.due(current)]) {
      if (context.isOwner(at)) this.#release(at, cause, connection_id);
      else locks.see(at, undefined);
    }
    if (this.#births.size === 0 && this.#births.takeOverflow()) this.#sweepIn(0);
    this.#show();
  }

  #show(): void {
    const { locks, table, bans, doubts, live, bytes, context: { metrics } } = this.#options;
    metrics.rooms.set(live.size);
    metrics.rooms_in_memory.set(table.size);
    metrics.births_waiting.set(this.#births.size);
    metrics.locks.set(locks.size);
    metrics.bans.set(bans.size);
    metrics.rooms_in_doubt.set(doubts.size);
    const { total_bytes, largest_bytes } = bytes.used;
    metrics.room_bytes.set(total_bytes);
    metrics.room_bytes_largest.set(largest_bytes);
    metrics.room_bytes_limit.set(bytes.limit_bytes);
  }

  /** Ends a lock, by a command to its room. */
  #release(at: RoomAddress, cause: FallCause, connection_id: string): void {
    const id = `${at.tenant_id}.${at.room_id} ${cause} ${connection_id}`;
    if (this.#releasing.has(id)) return;
    const command = { ...UNCONDITIONAL, kind: "release", cause, connection_id } as const;
    const answer = () => void this.#releasing.delete(id);
    try {
      this.#options.table.add(at, { command, deadline_ms: Infinity, answer });
      this.#releasing.add(id);
    } catch (error) {
      this.#options.context.log.warn("a lock ends later", { ...at, error });
    }
  }

  #interval_ms(): number {
    const { idle_timeout_ms } = this.#options;
    if (idle_timeout_ms === 0) return SWEEP_MAX_MS;
    const wanted_ms = idle_timeout_ms / SWEEPS_A_TIMEOUT;
    return Math.min(Math.max(wanted_ms, SWEEP_MIN_MS), SWEEP_MAX_MS);
  }

  /** Starts the next sweep after that time, or when the running sweep is done. */
  #sweepIn(delay_ms: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#sweep_timer);
    this.#sweep_timer = setTimeout(() => {
      if (this.#sweeping !== undefined) return this.#sweepIn(SWEEP_MIN_MS);
      this.#sweeping = this.#sweepRooms().finally(() => {
        this.#sweeping = undefined;
      });
      this.#sweepIn(this.#interval_ms());
    }, delay_ms);
  }

  async #sweepRooms(): Promise<void> {
    const { metrics, log } = this.#options.context;
    try {
      await sweepRooms(this.#options, this.#births);
      metrics.room_sweeps.inc();
    } catch (error) {
      metrics.lifecycle_refused.inc({ reason: "failed" });
      log.warn("rooms were not swept", { error });
    }
  }

  #sweepBans(): void {
    if (this.#sweeping_bans !== undefined) return;
    const { bans, view, context: { metrics, log } } = this.#options;
    const isMine = (tenant_id: string) => view.ownerOf(tenant_id, BANS_OF_TENANT) === view.brain_id;
    this.#sweeping_bans = bans.sweep(isMine)
      .then((swept) => metrics.bans_swept.inc(swept))
      .catch((error) => log.warn("bans were not swept", { error }))
      .finally(() => {
        this.#sweeping_bans = undefined;
      });
  }
}
