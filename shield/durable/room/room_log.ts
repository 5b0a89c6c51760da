/**
 * One durable room in this process: every message exactly once and in order (`follower.ts`), a cache for returning
 * subscribers (`recoveries.ts`), and requests to the log. The log itself (`shared/spine/contract/durable_log.ts`) and
 * the room's subscribers are elsewhere.
 */
import type { Logger } from "../../../shared/logs/log.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import type { Limits } from "../../../shared/config/schema.ts";
import type { LogPlace } from "../../message/logs.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import type { RetryClock } from "../log/clock.ts";
import type { Lost, Position } from "../../fanout/entry.ts";
import { lastOfEpoch, roomEpoch } from "../../../shared/rooms/epoch.ts";
import { Follower, type LastReceived } from "./follower.ts";
import { LogCalls } from "../log/log_calls.ts";
import { readLive } from "../messages/message.ts";
import type { LiveEntryPoint } from "../recovery/entry_point.ts";
import { Recoveries } from "../recovery/recoveries.ts";
import type { RecoverableRoom } from "../recovery/recovery.ts";
import type { DurableStats } from "../log/stats.ts";
import type { CachedTail, TailCache } from "../log/tail_cache.ts";
import type { Entry, Timeline } from "../messages/timeline.ts";

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
    cache.open(this.#tail);
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

  now(): number {
    return this.log.now();
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
   * Starts once the server has the room's Spine subscription: asks the log for the room's head. `receivedOf` returns what
   * subscribers had received by then without this log, offset 0: nothing; later messages come out.
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
