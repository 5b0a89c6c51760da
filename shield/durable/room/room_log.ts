/**
 * One durable room in this process: every message exactly once and in order (`follower.ts`), a cache for returning
 * subscribers, and requests to the log. The log itself (`shared/spine/contract/durable_log.ts`) and
 * the room's subscribers are elsewhere.
 */
import type { Logger } from "../../../shared/logs/log.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import type { Limits } from "../../../shared/config/schema.ts";
import type { LogPlace } from "../../message/logs.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import { LogCalls, type RetryClock } from "../log/log_calls.ts";
import type { Lost, Position, Unrecovered } from "../../fanout/entry.ts";
import { lastOfEpoch, roomEpoch } from "../../../shared/rooms/epoch.ts";
import { Follower, type LastReceived } from "./follower.ts";
import { type Entry, missedBetween, readLive, type Timeline } from "../messages/timeline.ts";
import {
  backfill,
  floorWith,
  judgeMissed,
  judgePosition,
  LiveEntryPoint,
  nextTarget,
} from "../recovery/recovery.ts";
import type { Backfill, RecoverableRoom, RecoveryBounds, Verdict } from "../recovery/recovery.ts";
import type { DurableStats } from "../log/stats.ts";
import type { CachedTail, TailCache } from "../log/tail_cache.ts";
import { ArqonError } from "@arqon/proto";

/**
 * How long the list is served without a check that the log still has it, in ms: a reconnect storm costs one request.
 * docs/durable.md states it.
 */
const CURRENT_MS = 1_000;

/** The dependencies and settings of `RoomLog`. */
export interface RoomLogOptions {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly log: DurableLog;
  readonly class_of: () => RoomClass;
  readonly limits: Pick<Limits, "recovery_messages" | "recovery_bytes">;
  readonly cache: TailCache;
  readonly stats: DurableStats;
  readonly clock: RetryClock;
  readonly logger: Logger;
  /** Called with the next message in order, for subscribers that are not behind. May close the room log. */
  onEntry(entry: Entry): void;
  /** Called when messages are lost for good, before the first entry after them. May close the room log. */
  onGap(reason: Lost): void;
}

/** The log of one room; it lives as long as the room has subscribers. */
export class RoomLog implements RecoverableRoom {
  readonly calls: LogCalls;
  readonly follower: Follower;
  readonly class_of: () => RoomClass;
  readonly #options: RoomLogOptions;
  readonly #recoveries: Recoveries;
  readonly #tail: CachedTail;
  readonly #started = Promise.withResolvers<void>();
  #phase: "new" | "starting" | "started" | "closed" = "new";
  #epoch = { stream: "", name: "" };
  /** When the log last confirmed which part of the list it has; monotonic. */
  #current_ms = -Infinity;
  #check: Promise<Timeline | undefined> | undefined;
  #next_check: Promise<Timeline | undefined> | undefined;

  constructor(options: RoomLogOptions) {
    this.#options = options;
    this.class_of = options.class_of;
    const { tenant_id, room_id, log, clock, stats, logger, limits, cache } = options;
    const onFailure = (error: unknown) => this.#recoveries.expire(error);
    const calls = this.calls = new LogCalls({ room_id, log, clock, stats, logger, onFailure });
    const follower = this.follower = new Follower({
      calls,
      stats,
      logger,
      class_of: options.class_of,
      now: () => log.now(),
      onEntry: options.onEntry,
      onGap: (reason) => {
        logger.info("messages of a durable room are lost", { tenant_id, room_id, reason });
        options.onGap(reason);
      },
      onChange: () => cache.changed(this.#tail),
      onLag: () => this.#recoveries.expire(new Error("the log's replicas are behind")),
    });
    this.#tail = cachedTail(follower);
    const onUse = () => cache.used(this.#tail);
    this.#recoveries = new Recoveries({ room: this, limits, clock, stats, logger, onUse });
    cache.open(this.#tail, tenant_id);
  }

  get tenant_id(): string {
    return this.#options.tenant_id;
  }

  get room_id(): string {
    return this.#options.room_id;
  }

  get log(): DurableLog {
    return this.#options.log;
  }

  /** The incarnation of the log that this room follows; "" before it has started. */
  get stream(): string {
    return this.follower.stream;
  }

  /** The room's current position. */
  get offset(): number {
    return this.follower.timeline.last;
  }

  /** The room's epoch; "" before it has started. */
  get epoch(): string {
    const { stream } = this;
    if (this.#epoch.stream !== stream) {
      this.#epoch = { stream, name: roomEpoch(stream, this.room_id) };
    }
    return this.#epoch.name;
  }

  /** Whether the room's head is known. */
  get is_started(): boolean {
    return this.#phase === "started";
  }

  get is_closed(): boolean {
    return this.#phase === "closed";
  }

  get is_current(): boolean {
    return this.#options.clock.now() - this.#current_ms < CURRENT_MS;
  }

  get is_proven(): boolean {
    return this.log.is_proven && this.log.stream === this.stream;
  }

  shownTime(): number {
    return this.log.shownTime();
  }

  lastOf(epoch: string): number | undefined {
    return lastOfEpoch(this.log.lives, this.room_id, epoch);
  }

  /** Takes a message that came on `in` with the headers of a log; allowed before `start`, too. */
  receive(message: SpineMessage): void {
    if (this.#phase === "closed") return;
    const { stats, log } = this.#options;
    // The message may come from an older copy of the log. If this drops a valid message, it is read when the log is
    // compared.
    if (!log.is_proven) return stats.dropped("unproven");
    const live = readLive(message, log);
    if (live === undefined) return stats.dropped("unreadable");
    stats.lag(log.now() - live.time_ms);
    this.follower.receive(live);
  }

  /**
   * Starts once the server has the room's Spine subscription: asks the log for the room's head. `receivedOf` returns
   * what subscribers had received by then without this log, offset 0: nothing; later messages come out.
   */
  start(receivedOf: () => LastReceived = () => ({ stream: "", offset: 0 })): void {
    if (this.#phase !== "new") return;
    this.#phase = "starting";
    this.calls.head("start").then((head) => {
      if (head === undefined || this.#phase !== "starting") return;
      this.#phase = "started";
      const { stream, offset } = receivedOf();
      const { log } = this.#options;
      this.follower.begin(head, { stream: log.lifeOf(stream, offset), offset });
      this.#current_ms = this.#options.clock.now();
      this.#started.resolve();
      return this.follower.arrival(head.last?.offset ?? 0);
    }).then(() => this.#recoveries.serve()).catch((error) =>
      this.#options.logger.error("a room log could not start", { error })
    );
  }

  /**
   * Asks the log for the room's head, and resolves when missed messages have come out. The log is asked after the call:
   * callers share a request only if it has not been sent yet. Erased messages may have been missed, too, so the list is
   * compared before it is served again. Never rejects.
   */
  async verify(): Promise<void> {
    this.#current_ms = -Infinity;
    await this.verified();
  }

  verified(): Promise<Timeline | undefined> {
    if (this.#phase === "closed") return Promise.resolve(undefined);
    if (this.#next_check !== undefined) return this.#next_check;
    if (this.#check === undefined) return this.#check = this.#runCheck();
    return this.#next_check = this.#check.then(() => {
      this.#next_check = undefined;
      return this.#check = this.#runCheck();
    });
  }

  /**
   * Takes the offset of the log's newest message of the room; 0 when there is none. False when
   * something may have been missed: then call `verify`.
   */
  confirm(newest: number): boolean {
    return this.follower.confirm(newest);
  }

  /**
   * Enters a subscriber, with its position, if any. `EntryPoint` describes the state until the caller reads the answer.
   * Rejects with `log-unavailable` if the log is unreachable or the room is closed.
   */
  enter(position: Position | undefined): Promise<LiveEntryPoint> {
    return this.#recoveries.enter(position);
  }

  /**
   * The first messages after a place in the present life, oldest first, if all of them are in the list; else none, and
   * the list may exceed its share for a while: the caller reads on.
   */
  after({ stream, offset }: LogPlace, limit: number): readonly Entry[] {
    const { timeline, stream: own } = this.follower;
    const is_known = this.is_started && this.is_proven && own === stream;
    const found: Entry[] = [];
    if (!is_known) return found;
    if (offset < timeline.floor) {
      this.#options.cache.used(this.#tail);
      return found;
    }
    let { next } = timeline.at(offset);
    for (; next !== undefined && found.length < limit; next = next.next) found.push(next);
    return found;
  }

  /** Closes the log; subscribers that are entering are refused. Idempotent. */
  close(): void {
    if (this.#phase === "closed") return;
    this.#phase = "closed";
    this.calls.close();
    this.follower.close();
    this.#recoveries.close();
    this.#options.cache.close(this.#tail);
    this.#started.resolve();
  }

  async #runCheck(): Promise<Timeline | undefined> {
    const follower = this.follower;
    try {
      await this.#started.promise;
      for (;;) {
        const { timeline, timeline: { last } } = follower;
        const head = await this.calls.head("verify");
        if (head === undefined) return undefined;
        if (!follower.compare(head, timeline, last)) continue;
        const list = follower.timeline;
        await follower.arrival(head.last?.offset ?? 0);
        // The answer does not apply to a list that was replaced meanwhile.
        if (list === follower.timeline) return list;
      }
    } catch (error) {
      this.#options.logger.error("verifying a durable room failed", { error });
      return undefined;
    } finally {
      this.#check = undefined;
    }
  }

  async compare(): Promise<void> {
    const { timeline } = this.follower;
    const [oldest, erased] = await Promise.all([
      this.calls.oldest("verify"),
      this.calls.erased("verify"),
    ]);
    const follower = this.follower;
    if (erased !== undefined && follower.timeline === timeline) follower.forgetErased(erased);
    if (oldest !== undefined && follower.timeline === timeline) follower.forgetBelow(oldest);
    // A stale replica may have none yet. Or the newest message is older than an erased one: only the head has it.
    if (oldest === 0 || follower.timeline.newest === undefined) await this.verified();
    this.#current_ms = this.#options.clock.now();
  }
}

/** The view of the room's list for the cache. */
function cachedTail(follower: Follower): CachedTail {
  return {
    get count() {
      return follower.timeline.count;
    },
    get bytes() {
      return follower.timeline.bytes;
    },
    trim: (max_messages, max_bytes) => follower.timeline.trim(max_messages, max_bytes),
  };
}

// Subscribers that enter a durable room and wait for the log: one request to the log serves all of them.

/**
 * How long a subscriber waits for a log that does not answer, in ms. After that the client gets an error, and retries.
 */
const PATIENCE_MS = 5_000;

interface RecoveriesOptions {
  readonly room: RecoverableRoom;
  readonly limits: Pick<Limits, "recovery_messages" | "recovery_bytes">;
  readonly clock: RetryClock;
  readonly stats: Pick<DurableStats, "recovered">;
  readonly logger: Logger;
  /** Called when a subscriber returned: others may need the messages read for it. */
  onUse(): void;
}

/** What is judged of subscribers that receive no last message, or are judged again. */
const WITHOUT_LAST: ReadonlySet<Verdict> = new Set(["listed", "end", "verify", "extend"]);

interface Waiter {
  readonly position: Position | undefined;
  readonly since_ms: number;
  /** The list that was verified after this subscriber came. */
  verified: Timeline | undefined;
  readonly resolve: (entry_point: LiveEntryPoint) => void;
  readonly reject: (error: ArqonError) => void;
}

class Recoveries {
  readonly #options: RecoveriesOptions;
  #waiters: Waiter[] = [];
  #is_serving = false;
  /** True when the list has served a subscriber, or was extended for one. */
  #is_used = false;
  /** True when the last read did not serve the position that it was made for. */
  #has_failed = false;
  /** The class and the gap count of `trimmed_through` and `too_many_through`; see `Standing`. */
  #known_of: { readonly room_class: RoomClass; readonly gaps: number } | undefined;
  #trimmed_through = -1;
  #too_many_through = -1;

  constructor(options: RecoveriesOptions) {
    this.#options = options;
  }

  /** Enters a subscriber with its position. Rejects with `log-unavailable`. */
  enter(position: Position | undefined): Promise<LiveEntryPoint> {
    const { room, clock } = this.#options;
    if (room.is_closed) return Promise.reject(closed());
    const { promise, resolve, reject } = Promise.withResolvers<LiveEntryPoint>();
    const since_ms = clock.now();
    const waiter: Waiter = { position, since_ms, verified: undefined, resolve, reject };
    if (room.is_started && this.#settle(waiter)) {
      this.#use();
      return promise;
    }
    this.#waiters.push(waiter);
    this.serve();
    return promise;
  }

  serve(): void {
    if (this.#is_serving || !this.#options.room.is_started) return;
    this.#is_serving = true;
    this.#serve().catch((error) => {
      this.#options.logger.error("recovering failed", { error });
      this.#refuse(() => true, () => new ArqonError("internal", undefined, { cause: error }));
    }).finally(() => {
      this.#is_serving = false;
      if (this.#waiters.length > 0) this.serve();
    });
  }

  /** Refuses the subscribers that have waited for long enough: the log does not answer. */
  expire(error: unknown): void {
    const due_ms = this.#options.clock.now() - PATIENCE_MS;
    const reason = error instanceof Error ? error.message : String(error);
    this.#refuse(({ since_ms }) => since_ms <= due_ms, () => unavailable(reason, error));
  }

  /** Refuses all waiting subscribers, since the room was closed. */
  close(): void {
    this.#refuse(() => true, closed);
  }

  async #serve(): Promise<void> {
    const { room } = this.#options;
    for (;;) {
      const waiting = this.#settleAll();
      if (waiting.length === 0 || room.is_closed) break;
      const unverified = waiting.filter(({ verdict }) => verdict === "verify");
      if (unverified.length > 0) {
        const verified = await room.verified();
        if (verified === undefined && !room.is_closed) throw new Error("not verified");
        for (const { waiter } of unverified) waiter.verified = verified;
      } else if (waiting.some(({ verdict }) => verdict === "compare")) {
        await room.compare();
      } else {
        await this.#extend(waiting.map(({ waiter }) => waiter.position?.after ?? 0));
      }
    }
    this.#has_failed = false;
  }

  /** Settles every subscriber that can be served now; the others stay. */
  #settleAll(): { waiter: Waiter; verdict: Verdict }[] {
    const waiting: { waiter: Waiter; verdict: Verdict }[] = [];
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (this.#settle(waiter)) continue;
      this.#waiters.push(waiter);
      waiting.push({ waiter, verdict: this.#judge(waiter) });
    }
    // The list is marked as used only now; earlier, messages read for these might be trimmed.
    this.#use();
    return waiting;
  }

  #use(): void {
    if (this.#is_used) this.#options.onUse();
    this.#is_used = false;
  }

  #judge({ position, verified }: Waiter): Verdict {
    const { room } = this.#options;
    const { epoch, is_proven, is_current, follower } = room;
    const { timeline, timeline: { floor, last }, log_offset, goal, erased } = follower;
    this.#forgetChanged();
    // Until the list has what a later answer of the log named, it does not show what is after such a position.
    const is_short = goal > last && (position?.after ?? 0) > last;
    const verdict = position === undefined ? "end" : judgePosition(position, {
      epoch,
      log_offset,
      is_proven,
      is_current,
      erased,
      floor,
      last,
      lastOf: (earlier) => room.lastOf(earlier),
      trimmed_through: this.#trimmed_through,
      too_many_through: this.#too_many_through,
    }, verified === timeline && !is_short);
    // Without a position, or refused, it receives the room's newest message: the log must still have it.
    const is_fresh = position === undefined || !WITHOUT_LAST.has(verdict);
    const has_last = room.class_of().cache_last && (timeline.newest !== undefined || erased > 0);
    return is_fresh && has_last && !is_current ? "compare" : verdict;
  }

  /** Settles one waiting subscriber; false if it must wait on. */
  #settle(waiter: Waiter): boolean {
    const { position } = waiter;
    const { timeline } = this.#options.room.follower;
    const verdict = this.#judge(waiter);
    if (verdict === "verify" || verdict === "compare" || verdict === "extend") return false;
    if (position === undefined) return this.#admit(waiter, "", undefined, 0);
    if (verdict === "end") return this.#admit(waiter, "", timeline.tail, 0);
    if (verdict !== "listed") return this.#admit(waiter, verdict, undefined, 0);
    const read = timeline.at(position.after);
    const missed = missedBetween(read, timeline.tail);
    const reason = judgeMissed(missed, this.#options.room.shownTime(), this.#bounds());
    return this.#admit(waiter, reason, reason === "" ? read : undefined, missed.messages);
  }

  #admit(
    { position, resolve }: Waiter,
    reason: "" | Unrecovered,
    read: Entry | undefined,
    messages: number,
  ): true {
    const { room, stats } = this.#options;
    if (position !== undefined) {
      stats.recovered(reason === "" ? "recovered" : reason, reason === "" ? messages : 0);
      if (reason === "" && messages > 0) this.#is_used = true;
    }
    resolve(new LiveEntryPoint(room, reason, read));
    return true;
  }

  /** Reads older messages for positions below the list. */
  async #extend(positions: readonly number[]): Promise<void> {
    const { room } = this.#options;
    const sorted = [...new Set(positions)].sort((a, b) => a - b);
    const target = nextTarget(sorted, this.#has_failed);
    const result = await backfill(room, target, this.#bounds());
    if (room.is_closed) return;
    this.#learn(target, result);
  }

  #learn(target: number, result: Backfill): void {
    const { timeline } = this.#options.room.follower;
    this.#forgetChanged();
    switch (result.outcome) {
      case "stale":
        return;
      case "behind":
        return this.#refuse(
          ({ position }) => position !== undefined && position.after < timeline.floor,
          () => unavailable("its replicas are behind"),
        );
      case "over":
        this.#has_failed = true;
        if (result.reason === "too-many") this.#too_many_through = target;
        else this.#trimmed_through = target;
        return;
      case "read":
        return this.#prepend(target, result);
      default:
        result satisfies never;
    }
  }

  #prepend(target: number, { chain, gaps, until }: Backfill & { outcome: "read" }): void {
    const { timeline, gaps: gaps_now } = this.#options.room.follower;
    // The list was trimmed in the turn between. Older messages before it would leave a hole.
    if (gaps !== gaps_now || until !== (timeline.first?.offset ?? 0)) return;
    const floor = floorWith(chain, target, timeline.floor);
    timeline.prepend(chain.messages.filter(({ offset }) => offset <= timeline.floor), floor);
    this.#is_used = true;
    if (floor <= target) return;
    this.#has_failed = true;
    this.#trimmed_through = Math.max(this.#trimmed_through, target);
  }

  #bounds(): RecoveryBounds {
    const { limits, room } = this.#options;
    const { history_size, history_ttl_seconds } = room.class_of();
    const { recovery_messages, recovery_bytes } = limits;
    return { history_size, history_ttl_seconds, recovery_messages, recovery_bytes };
  }

  /** Drops facts about positions that may not hold in another epoch or class. */
  #forgetChanged(): void {
    const { room } = this.#options;
    const room_class = room.class_of();
    const known = this.#known_of;
    const { gaps } = room.follower;
    if (known?.room_class === room_class && known.gaps === gaps) return;
    this.#known_of = { room_class, gaps };
    this.#trimmed_through = -1;
    this.#too_many_through = -1;
  }

  #refuse(which: (waiter: Waiter) => boolean, error: () => ArqonError): void {
    const refused = this.#waiters.filter(which);
    if (refused.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => !which(waiter));
    for (const { position, reject } of refused) {
      if (position !== undefined) this.#options.stats.recovered("failed", 0);
      reject(error());
    }
  }
}

const closed = () => unavailable("the room was left meanwhile");

const unavailable = (detail: string, cause?: unknown) =>
  new ArqonError("log-unavailable", detail, cause === undefined ? {} : { cause });
