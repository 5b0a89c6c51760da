/**
 * Subscribers that enter a durable room and wait for the log: one request to the log serves all of them. `recovery.ts`
 * judges positions; the room has the list.
 */
import { ArqonError } from "@arqon/proto";
import type { Position, Unrecovered } from "../../fanout/entry.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import type { Limits } from "../../../shared/config/schema.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import { type Backfill, backfill } from "./backfill.ts";
import type { RetryClock } from "../log/clock.ts";
import { LiveEntryPoint } from "./entry_point.ts";
import { floorWith, judgeMissed, judgePosition, nextTarget } from "./recovery.ts";
import type { RecoverableRoom, RecoveryBounds, Verdict } from "./recovery.ts";
import type { DurableStats } from "../log/stats.ts";
import { type Entry, missedBetween, type Timeline } from "../messages/timeline.ts";

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

/** The recoveries of one room. */
export class Recoveries {
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
    const reason = judgeMissed(missed, this.#options.room.now(), this.#bounds());
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
