/**
 * A room watched by clients of this Shield: its table, its watchers, and when they are notified. Changes come in
 * batches: the first at once, later ones after a time that grows with the number of watchers. `tables.ts` asks the
 * room's owner; `frames.ts` encodes.
 */
import { ArqonError, type PresentMember } from "@arqon/proto";
import type { PresencePort } from "../../shared/presence/messages.ts";
import { inPieces } from "../../shared/turns/slices.ts";
import { bump } from "../stats/stats.ts";
import { countUsers, createPosition, createTable, reportedMembers, takeChanges } from "./table.ts";
import type { TableChanges } from "./table.ts";
import type { PresenceStats } from "./stats.ts";

/** The longest time between two batches, in ms, unless `announce_ms` is longer. */
const WINDOW_MAX_MS = 1_000;
/** Watchers that are notified in one piece: each gets frames of up to 256 KiB. */
const WATCHERS_A_PIECE = 16;
/** The time between batches grows by one ms per this many watchers. */
const WATCHERS_PER_MS = 20;
/** The retry time of a client when the members are unknown, in ms. */
const RETRY_MS = 1_000;

/** One batch of changes of one room. No connection is in both lists. */
export interface RoomChanges {
  readonly tenant_id: string;
  readonly room_id: string;
  /** New members, and those with other metadata. */
  readonly updates: readonly PresentMember[];
  readonly leaves: readonly PresentMember[];
  /** The connections and distinct users in the room after the whole batch. */
  readonly connections: number;
  readonly users: number;
}

/** A room's members at one moment. */
export interface RoomView {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly members: readonly PresentMember[];
  readonly connections: number;
  readonly users: number;
}

/** A connection that watches the room. */
export interface PresenceWatcher {
  /** Called with every change after `snapshot`, once and in order. All watchers get the same object. */
  onChanges(changes: RoomChanges): void;
}

/** The watch of one watcher. */
export interface PresenceWatch {
  /**
   * Calls back once: as soon as the members are known (at once if they are), or with `presence-unavailable` after
   * `sync_timeout_ms`. Doubtful members are requested first, and are trusted after `sync_timeout_ms`. Changes are
   * reported only after the first success.
   */
  ready(callback: (error?: ArqonError) => void): void;
  /** Calls back once everything that this Shield knows now has been reported; at once if it already has been. */
  reported(callback: () => void): void;
  /** The members as this watcher knows them, after `ready`. In a callback of `reported` nothing is missing. */
  snapshot(): RoomView;
  /** Ends the watch: no callback follows. Idempotent. */
  close(): void;
}

interface WatchedRoomOptions {
  readonly port: PresencePort;
  readonly stats: PresenceStats;
  readonly announce_ms: number;
  readonly sync_timeout_ms: number;
  /** Called when nobody watches the room any longer. */
  readonly onEmpty: (room: WatchedRoom) => void;
}

interface Waiting {
  readonly callback: (error?: ArqonError) => void;
  readonly until_ms: number;
}

interface Watch {
  readonly watcher: PresenceWatcher;
  waiting: Waiting | undefined;
  /** True once the watcher was notified that the members are known; from then on it gets changes. */
  started: boolean;
  closed: boolean;
}

/** One watched room; it lives as long as it has watchers. */
export class WatchedRoom {
  readonly table = createTable();
  readonly position = createPosition();
  /**
   * The state of `tables.ts` for the room: whether it is wanted, consecutive failures, and when the last request ended.
   */
  readonly pull = { is_wanted: false, failures: 0, ended_ms: -Infinity };
  readonly #options: WatchedRoomOptions;
  readonly #watches = new Set<Watch>();
  #synced = false;
  #doubted = false;
  /** Watches that wait for the members, in the order of their deadlines. */
  readonly #waiting = new Set<Watch>();
  #cancelTimeout: (() => void) | undefined;
  #pending: (() => void)[] = [];
  #cancelFlush: (() => void) | undefined;
  #flushing = false;
  #flushed_ms = -Infinity;
  /** The current and the notified members, from which frames are made once for all watchers. */
  #view: RoomView | undefined;
  #sent_view: RoomView | undefined;

  constructor(readonly tenant_id: string, readonly room_id: string, options: WatchedRoomOptions) {
    this.#options = options;
  }

  /** True when the members have been known at least once. */
  get synced(): boolean {
    return this.#synced;
  }

  /** True if the members were known, and something may have been missed since. */
  get doubted(): boolean {
    return this.#doubted;
  }

  get closed(): boolean {
    return this.#watches.size === 0;
  }

  watch(watcher: PresenceWatcher): PresenceWatch {
    const watch: Watch = { watcher, waiting: undefined, started: false, closed: false };
    this.#watches.add(watch);
    this.#options.stats.watchers++;
    return {
      ready: (callback) => this.#ready(watch, callback),
      reported: (callback) => this.#reported(watch, callback),
      snapshot: () => this.snapshot(),
      close: () => this.#close(watch),
    };
  }

  /** Call it when messages may have been missed: new watchers then wait for the owner's answer. */
  doubt(): void {
    this.#doubted = this.#synced;
  }

  /** The table can be trusted from now on. */
  onSynced(): void {
    if (this.#synced && !this.#doubted) return;
    // New watchers begin with these members, so no notification is needed.
    if (!this.#synced) this.table.reported.clear();
    this.#sent_view = undefined;
    this.#synced = true;
    this.#doubted = false;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    this.#cancelTimeout?.();
    void inPieces(this.tenant_id, this.#startAll(waiting), WATCHERS_A_PIECE);
    this.touch();
  }

  /** Call it after a possible change: it notifies now or when the batch's time has passed. */
  touch(): void {
    if (this.table.reported.size > 0) {
      this.#sent_view ??= this.#view;
      this.#view = undefined;
    } else if (this.#pending.length === 0) return;
    if (!this.#synced || this.#flushing || this.#cancelFlush !== undefined) return;
    const { port } = this.#options;
    const wait_ms = this.#flushed_ms + this.#window_ms() - port.now();
    if (wait_ms <= 0) this.#flush();
    else this.#cancelFlush = port.after(wait_ms, () => this.#flush());
  }

  snapshot(): RoomView {
    const { tenant_id, room_id, table } = this;
    if (table.reported.size === 0) return this.#view ??= this.view();
    if (this.#sent_view === undefined) {
      const members = reportedMembers(table);
      const { length: connections } = members;
      this.#sent_view = { tenant_id, room_id, members, connections, users: countUsers(members) };
    }
    return this.#sent_view;
  }

  /** The members as currently known to this Shield, notified or not. */
  view(): RoomView {
    const { tenant_id, room_id, table } = this;
    const members = [...table.shown.values()];
    return { tenant_id, room_id, members, connections: members.length, users: table.users.size };
  }

  /** Stops all timers; no watcher is called from now on. */
  stop(): void {
    this.#cancelFlush?.();
    this.#cancelTimeout?.();
    this.#waiting.clear();
    this.#pending = [];
    this.#options.stats.watchers -= this.#watches.size;
    for (const watch of this.#watches) watch.closed = true;
    this.#watches.clear();
  }

  #window_ms(): number {
    const { announce_ms } = this.#options;
    const grown_ms = announce_ms + Math.floor(this.#watches.size / WATCHERS_PER_MS);
    return Math.max(announce_ms, Math.min(WINDOW_MAX_MS, grown_ms));
  }

  #ready(watch: Watch, callback: (error?: ArqonError) => void): void {
    if (watch.closed) return;
    if (this.#synced && !this.#doubted) return this.#start(watch, callback);
    const until_ms = this.#options.port.now() + this.#options.sync_timeout_ms;
    watch.waiting = { callback, until_ms };
    this.#waiting.add(watch);
    if (this.#waiting.size === 1) this.#setTimeout();
  }

  *#startAll(waiting: readonly Watch[]): Iterable<void> {
    for (const watch of waiting) {
      this.#start(watch, watch.waiting?.callback);
      yield;
    }
  }

  #start(watch: Watch, callback: (() => void) | undefined): void {
    if (watch.closed) return;
    watch.waiting = undefined;
    watch.started = true;
    callback?.();
  }

  #reported(watch: Watch, callback: () => void): void {
    if (watch.closed) return;
    if (this.#synced && this.table.reported.size === 0 && !this.#flushing) return callback();
    this.#pending.push(() => {
      if (!watch.closed) callback();
    });
    this.touch();
  }

  #close(watch: Watch): void {
    if (watch.closed) return;
    watch.closed = true;
    this.#watches.delete(watch);
    this.#waiting.delete(watch);
    this.#options.stats.watchers--;
    if (this.#watches.size > 0) return;
    this.stop();
    this.#options.onEmpty(this);
  }

  #flush(): void {
    this.#cancelFlush = undefined;
    this.#view = this.#sent_view = undefined;
    const changes = takeChanges(this.table);
    const pending = this.#pending;
    this.#pending = [];
    this.#flushing = true;
    const onEnd = () => {
      this.#flushing = false;
      // A watcher's callback may have changed something.
      if (!this.closed) this.touch();
    };
    let rest: Promise<void> | undefined;
    try {
      // A room may have thousands of watchers: after the first, they are notified in slices of the tenant.
      rest = inPieces(this.tenant_id, this.#flushAll(changes, pending), WATCHERS_A_PIECE);
    } finally {
      if (rest === undefined) onEnd();
    }
    void rest?.finally(onEnd);
  }

  *#flushAll(changes: TableChanges | undefined, pending: readonly (() => void)[]): Iterable<void> {
    if (changes !== undefined) yield* this.#tell(changes);
    for (const callback of pending) {
      callback();
      yield;
    }
  }

  *#tell({ updates, leaves }: TableChanges): Iterable<void> {
    const { tenant_id, room_id, table } = this;
    const { stats, port } = this.#options;
    const { size: connections } = table.shown;
    const { size: users } = table.users;
    this.#flushed_ms = port.now();
    if (updates.length > 0) bump(stats.events, "PRESENCE_UPDATE");
    if (leaves.length > 0) bump(stats.events, "PRESENCE_LEAVE");
    stats.reported_members += updates.length + leaves.length;
    const changes: RoomChanges = { tenant_id, room_id, updates, leaves, connections, users };
    // The list is copied, since a watcher that starts meanwhile has these changes in its snapshot.
    for (const watch of [...this.#watches].filter(({ started }) => started)) {
      if (!watch.closed) watch.watcher.onChanges(changes);
      yield;
    }
  }

  /** Sets one timer for the first waiting watch, as all have the same timeout. */
  #setTimeout(): void {
    const [first] = this.#waiting;
    const { port } = this.#options;
    const wait_ms = (first?.waiting?.until_ms ?? 0) - port.now();
    this.#cancelTimeout = port.after(Math.max(0, wait_ms), () => this.#giveUp());
  }

  #giveUp(): void {
    const now_ms = this.#options.port.now();
    const { sync_timeout_ms } = this.#options;
    const detail = `no answer within ${sync_timeout_ms} ms about the room's members`;
    const error = new ArqonError("presence-unavailable", detail, { retry_after_ms: RETRY_MS });
    for (const watch of [...this.#waiting]) {
      if (watch.closed || watch.waiting === undefined) continue;
      const { callback, until_ms } = watch.waiting;
      if (until_ms > now_ms) return this.#setTimeout();
      // No owner has answered, so the known members are trusted.
      if (this.#synced) return this.onSynced();
      this.#waiting.delete(watch);
      watch.waiting = undefined;
      callback(error);
    }
  }
}
