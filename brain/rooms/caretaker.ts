/**
 * The background jobs of a Brain's rooms: creates rooms that get a member, ends expired locks, sweeps rooms and bans.
 * Follows the cluster and has the timers; the jobs are in their own files.
 */
import type { ClusterView, MemberChange, RoomAddress } from "../cluster_view.ts";
import type { BanBook } from "./ban_book.ts";
import { BirthQueue } from "./lives/births.ts";
import { type FallCause, UNCONDITIONAL } from "./commands/command.ts";
import type { LiveLocks } from "./locks/live_locks.ts";
import { liveLock, type Lock } from "./locks/lock.ts";
import type { LiveRooms } from "./room/live_rooms.ts";
import { ENTRY_BYTES } from "../../shared/spine/bucket_shares.ts";
import type { TenantBytes } from "./store/tenant_bytes.ts";
import { isConflict } from "../../shared/spine/contract/compare_and_set.ts";
import type { KvKey } from "../../shared/spine/contract/spine.ts";
import type { RoomReports } from "../capability.ts";
import { isPageKey, isRoomKey, removeLeftOver, removePages } from "./store/command_pages.ts";
import type { RoomDocument } from "./store/document.ts";
import type { LastUse } from "./room/last_use.ts";
import type { Leases } from "./locks/leases.ts";
import { loadRoom, roomKey, type Stored } from "./store/room_store.ts";
import type { Doubts } from "./lives/doubts.ts";
import type { RoomContext } from "./room/room.ts";
import type { RoomTable, RoomTally } from "./room/room_tally.ts";

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

interface SweepOptions {
  readonly context: RoomContext;
  readonly leases: Pick<Leases, "current" | "known">;
  readonly view: ClusterView;
  readonly table: RoomTable;
  readonly tally: RoomTally;
  /** All keys of the bucket; counts their bytes, too. */
  readonly listKeys: () => Promise<KvKey[]>;
  readonly last_use: LastUse;
  readonly reports: RoomReports | undefined;
  /** How long a room may be idle, in ms; 0: rooms never end. */
  readonly idle_timeout_ms: number;
  readonly doubts: Pick<Doubts, "add" | "size">;
}

/** Rooms checked concurrently. */
const CONCURRENCY = 4;
/** Rooms between two pauses, and the pause in ms: at most 2,000 rooms a second. */
const CHUNK_ROOMS = 200;
const CHUNK_REST_MS = 100;

const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, CHUNK_REST_MS));

function mayEnd(at: RoomAddress, { lock }: RoomDocument, options: SweepOptions): boolean {
  const { context, leases, last_use, view, idle_timeout_ms, table } = options;
  return last_use.idleMs(at) >= idle_timeout_ms &&
    liveLock(lock && leases.current(at, lock), context.now()) === undefined &&
    view.count(at.tenant_id, at.room_id).connections === 0 &&
    view.isFresh() && context.isOwner(at) && !table.isBusy(at);
}

async function end(at: RoomAddress, stored: Stored, options: SweepOptions): Promise<void> {
  const { context, table, tally, reports } = options;
  try {
    await context.bucket.delete(roomKey(at), stored.revision);
  } catch (error) {
    // The room was used meanwhile: it does not end.
    if (isConflict(error)) return;
    throw error;
  }
  await removePages(at, stored.document.pages, context.bucket);
  context.bytes.add(at.tenant_id, -(stored.size_bytes + ENTRY_BYTES));
  context.onSeen(at, undefined);
  context.metrics.rooms_ended.inc();
  tally.note(at, false);
  table.forget(at);
  reports?.look(at);
  context.announcer.ended(at, stored.document);
}

async function visit(at: RoomAddress, options: SweepOptions): Promise<void> {
  const { context, view, last_use, idle_timeout_ms, table, doubts } = options;
  // The running commands may have written a change that they will publish.
  if (table.isBusy(at)) return doubts.add(at);
  const stored = await loadRoom(at, context);
  const is_settled = await options.reports?.settle(at, stored) ?? true;
  if (stored.revision === 0 || idle_timeout_ms === 0) return;
  if (view.count(at.tenant_id, at.room_id).connections > 0) last_use.note(at);
  if (is_settled && mayEnd(at, stored.document, options)) await end(at, stored, options);
}

async function visitAll(
  rooms: readonly RoomAddress[],
  options: SweepOptions,
): Promise<void> {
  const { context } = options;
  const { isStopping, metrics, log } = context;
  let index = 0;
  const worker = async (end_index: number): Promise<void> => {
    while (index < end_index && !isStopping()) {
      const at = rooms[index++];
      if (at === undefined || !context.isOwner(at)) continue;
      try {
        await visit(at, options);
      } catch (error) {
        metrics.lifecycle_refused.inc({ reason: "failed" });
        log.warn("a room was not swept", { tenant_id: at.tenant_id, room: at.room_id, error });
      }
    }
  };
  while (index < rooms.length && !isStopping()) {
    const end_index = Math.min(index + CHUNK_ROOMS, rooms.length);
    await Promise.all(Array.from({ length: CONCURRENCY }, () => worker(end_index)));
    if (index < rooms.length) await rest();
  }
}

/** Sweeps all rooms once. Rejects if the bucket cannot be listed. */
async function sweepRooms(
  options: SweepOptions,
  births: Pick<BirthQueue, "add">,
): Promise<void> {
  const { context, leases, last_use, view, tally } = options;
  const known = [last_use.known(), leases.known()];
  const keys = await tally.recount(options.listKeys);
  const stored = new Set<string>();
  const owned: RoomAddress[] = [];
  for (const [tenant_id = "", room_id = ""] of keys.filter(isRoomKey)) {
    const at = { tenant_id, room_id };
    if (!context.isOwner(at)) continue;
    owned.push(at);
    stored.add(`${tenant_id}.${room_id}`);
  }
  const isStored = (at: RoomAddress) => stored.has(`${at.tenant_id}.${at.room_id}`);
  // Drops rooms of other owners and deleted ones.
  for (const dropUnless of known) dropUnless(isStored);
  for (const at of view.occupied()) if (context.isOwner(at) && !isStored(at)) births.add(at);
  await visitAll(owned, options);
  await options.reports?.settleGone(isStored);
  for (const key of keys) {
    const [tenant_id = "", room_id = ""] = key;
    if (!isPageKey(key) || stored.has(`${tenant_id}.${room_id}`)) continue;
    if (context.isOwner({ tenant_id, room_id })) await removeLeftOver(key, context.bucket);
  }
}
