/**
 * Follows the log of one durable room: takes live messages, detects gaps by the previous offset in each message, and
 * reads missing messages before it continues. Every message comes out exactly once and in order, or its loss is
 * reported first. `room_log.ts` handles returning subscribers and decides when to check for silent losses.
 */
import type { Lost } from "../../fanout/entry.ts";
import type { LogPage, RoomHead } from "../../../shared/spine/contract/durable_log.ts";
import { LAG_TRIES, lagPauseMs } from "../recovery/recovery.ts";
import { fromLog, LiveBuffer, loneEntry, Timeline } from "../messages/timeline.ts";
import type { Entry, LiveMessage, StoredMessage } from "../messages/timeline.ts";
import type { RoomClass } from "../../../shared/rooms/room_class.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import type { LogCalls } from "../log/log_calls.ts";
import type { DurableStats } from "../log/stats.ts";

interface FollowerOptions {
  readonly calls: LogCalls;
  readonly stats: Pick<DurableStats, "dropped" | "gapFill">;
  readonly logger: Logger;
  readonly class_of: () => Pick<RoomClass, "history_ttl_seconds">;
  /** The log's clock. */
  now(): number;
  /** Called with the next message in order. May close the follower. */
  onEntry(entry: Entry): void;
  /** Called before the first entry after a hole. May close the follower. */
  onGap(reason: Lost): void;
  /** Called when the list has grown or was replaced. */
  onChange(): void;
  /** Called when nothing can be read for now, though the log answers. */
  onLag(): void;
}

/** What subscribers have received of a room before its log started; offset 0: nothing. */
export interface LastReceived {
  /** The incarnation of the log that assigned the offset. */
  readonly stream: string;
  readonly offset: number;
}

/** Limits of the messages that wait for older ones; messages beyond them are read from the log. */
const BUFFER = { messages: 4_096, bytes: 8_388_608 };

/** The offset after which nothing is missing before this message, as far as the message says. */
function sureBefore({ offset, previous }: LiveMessage): number {
  return previous === 0 ? offset - 1 : previous;
}

/** The follower of one room. Before `begin` it only collects messages. */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #buffer = new LiveBuffer(BUFFER);
  readonly #freshness: Freshness;
  readonly #waits = new OffsetWaits();
  #phase: "waiting" | "following" | "closed" = "waiting";
  #stream = "";
  #timeline = new Timeline(0);
  #gaps = 0;
  #last_gap: Lost = "history-trimmed";
  #log_offset = 0;
  #goal = 0;
  /** Messages up to here were erased; the cache for returning subscribers starts after it. */
  #erased = 0;
  /** The log's newest message of the room, if it is older than an erased one and so in no list. */
  #left: Entry | undefined;
  /** The log has none of the room now, but may have had some up to this offset that never came. */
  #unproven = 0;
  /** Live messages wait for older ones. */
  #is_filling = false;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#freshness = new Freshness(options.class_of);
  }

  /** The log's incarnation; "" before `begin`. */
  get stream(): string {
    return this.#stream;
  }

  /** The room's list; another one after each loss of the log. */
  get timeline(): Timeline {
    return this.#timeline;
  }

  /** How often `onGap` was called, and its last reason. */
  get gaps(): number {
    return this.#gaps;
  }
  get last_gap(): Lost {
    return this.#last_gap;
  }

  /** The highest offset last known to be assigned to any room. */
  get log_offset(): number {
    return this.#log_offset;
  }

  /** The highest offset of the room that the log is known to have. */
  get goal(): number {
    return this.#goal;
  }

  get erased(): number {
    return this.#erased;
  }

  /** The room's newest message, also one that is in no list since a later one was erased. */
  get newest(): Entry | undefined {
    const { newest, last } = this.#timeline;
    return newest ??
      (this.#left !== undefined && this.#left.offset <= last ? this.#left : undefined);
  }

  receive(live: LiveMessage): void {
    if (this.#phase === "closed") return;
    const is_idle = this.#phase === "following" && !this.#is_filling;
    if (!is_idle || live.stream !== this.#stream || !this.#takeLive(live)) this.#collect(live);
  }

  /**
   * Starts with the room's head; its message enters the list, but does not come out. If subscribers have received
   * messages of the room before, all later ones come out, as their live copies may have been in transit.
   */
  begin(head: RoomHead, received: LastReceived = { stream: "", offset: 0 }): void {
    if (this.#phase !== "waiting") return;
    const is_same = received.stream === head.stream;
    const is_behind = is_same && received.offset > 0 && received.offset < (head.last?.offset ?? 0);
    this.#adopt(head, undefined, is_behind ? received.offset : undefined);
    this.#phase = "following";
    if (received.offset > 0 && !is_same) this.#tell("epoch-changed");
    this.#fill();
  }

  /**
   * Compares the room with the log's head, requested when the list was this one and went up to `last`. False if the
   * list is another one now: the answer is then useless.
   */
  compare(head: RoomHead, list: Timeline, last: number): boolean {
    if (this.#phase !== "following") return true;
    if (list !== this.#timeline) return false;
    if (head.stream !== this.#stream) this.#changeStream(head);
    else if (head.log_offset < last) this.#rewind(head);
    else {
      this.#log_offset = Math.max(this.#log_offset, head.log_offset);
      this.#goal = Math.max(this.#goal, head.last?.offset ?? 0);
      this.forgetErased(head.erased ?? 0);
      const is_left = this.#timeline.newest === undefined && head.last !== undefined;
      this.#left = is_left ? loneEntry(fromLog(head.last)) : undefined;
      // Messages are removed oldest first: if one exists, all later ones do, too.
      const is_known = this.confirm(head.last?.offset ?? 0);
      if (head.last === undefined) this.forgetBelow(last + 1);
      if (head.last === undefined && is_known) this.#timeline.rest(head.log_offset);
      else if (head.last === undefined) this.#unproven = head.log_offset;
      this.#fill();
    }
    return true;
  }

  /**
   * Takes the offset of the log's newest message of the room; 0: it has none. True if nothing was missed; otherwise the
   * log must be read.
   */
  confirm(newest: number): boolean {
    const now_ms = this.#options.now();
    if (newest > this.#timeline.last) return false;
    if (newest === 0 && !this.#isExplained(now_ms)) return false;
    this.#freshness.know(now_ms);
    return true;
  }

  /** Drops what the log no longer has: its oldest message of the room has this offset. */
  forgetBelow(offset: number): void {
    if (this.#timeline.forgetBelow(offset)) this.#options.onChange();
  }

  /** Drops messages up to an erased offset: nobody receives a list with a gap. */
  forgetErased(offset: number): void {
    this.#erased = Math.max(this.#erased, offset);
    this.forgetBelow(this.#erased + 1);
  }

  /** Resolves once everything up to `offset` has come out or is lost, or the follower is closed. */
  arrival(offset: number): Promise<void> {
    if (this.#phase !== "following" || !this.#is_filling) return Promise.resolve();
    return this.#waits.wait(offset, this.#timeline);
  }

  close(): void {
    this.#phase = "closed";
    this.#buffer.clear();
    this.#announce();
  }

  /**
   * Whether age alone explains that the log has no message of the room. Otherwise they were removed, perhaps with
   * others that never arrived here.
   */
  #isExplained(now_ms: number): boolean {
    const { newest } = this.#timeline;
    return this.#freshness.holds(now_ms) &&
      (newest === undefined || !this.#freshness.keeps(newest.time_ms, now_ms));
  }

  /** Takes a live message. False: older ones must come first, or be read from the log. */
  #takeLive(live: LiveMessage): boolean {
    const { offset, previous, time_ms } = live;
    const { last } = this.#timeline;
    // If the message names no previous one, the log may have had some in between.
    const is_sure = previous > 0 || offset <= last + 1 || this.#isExplained(time_ms);
    return is_sure && this.#take(live, previous);
  }

  /** Takes the next message. False: older ones must come first. */
  #take(message: StoredMessage, previous: number): boolean {
    const { stats, onEntry, onChange } = this.#options;
    const offer = this.#timeline.offer(message, previous);
    if (offer === "gap") return false;
    if (offer === "repeated") {
      stats.dropped("repeated");
      return true;
    }
    const entry = this.#timeline.newest as Entry;
    if (this.#left !== undefined && this.#left.offset < entry.offset) this.#left = undefined;
    this.#freshness.know(message.time_ms);
    onChange();
    this.#guard(() => onEntry(entry));
    return true;
  }

  /** Calls a listener, whose error must not stop the room. */
  #guard(tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#options.logger.error("delivering a durable room's message failed", { error });
    }
  }

  /** Keeps a live message until older ones have been read. */
  #collect(live: LiveMessage): void {
    const outcome = this.#buffer.add(live);
    if (outcome !== "kept") this.#options.stats.dropped(outcome);
    if (outcome === "old-stream") return;
    if (live.stream === this.#stream) this.#goal = Math.max(this.#goal, live.offset);
    this.#fill();
  }

  #fill(): void {
    if (this.#is_filling || this.#phase !== "following") return;
    this.#is_filling = true;
    this.#runFill().catch((error) => {
      this.#is_filling = false;
      this.#announce();
      this.#options.logger.error("filling a gap failed", { error });
    });
  }

  /** Reads until nothing waits and nothing is known to be missing. */
  async #runFill(): Promise<void> {
    let tries = 0;
    while (this.#phase === "following") {
      if (this.#hasStrangers()) {
        await this.#findStream();
        continue;
      }
      this.#drain();
      this.#announce();
      const { last } = this.#timeline;
      if (this.#buffer.size > 0 || this.#goal > last) {
        await this.#fillPage(tries);
        tries = this.#timeline.last > last ? 0 : tries + 1;
      } else if (this.#unproven > last) {
        await this.#proveNone(this.#unproven);
      } else {
        // No turn of the event loop has passed since the last check, so nothing can be missed.
        break;
      }
    }
    this.#is_filling = false;
    this.#announce();
  }

  /** Takes waiting messages, up to the next hole. */
  #drain(): void {
    const waiting = this.#buffer.take(this.#stream);
    for (const [index, live] of waiting.entries()) {
      if (this.#phase !== "following") return;
      if (this.#takeLive(live)) continue;
      for (const later of waiting.slice(index)) this.#buffer.add(later);
      return;
    }
  }

  async #fillPage(tries: number): Promise<void> {
    const { calls } = this.#options;
    if (tries > 0) await calls.pause(lagPauseMs(tries));
    const gaps = this.#gaps;
    const page = await calls.read("fill", this.#timeline.last);
    if (page === undefined || this.#gaps !== gaps) return;
    if (page.stream !== this.#stream) await this.#findStream();
    else if (page.messages.length > 0) this.#takePage(page);
    else if (tries >= LAG_TRIES) await this.#lookForGoal();
  }

  #takePage({ messages, complete, erased }: LogPage): void {
    const fresh = messages.filter(({ offset }) => offset > this.#timeline.last).map(fromLog);
    const [first] = fresh;
    if (first === undefined) return;
    if (complete) this.#options.stats.gapFill("filled");
    else if (erased !== undefined) this.#loseErased(first.offset - 1);
    else this.#lose(first.offset - 1);
    for (const message of fresh) {
      if (this.#phase !== "following") return;
      this.#take(message, 0);
    }
    this.forgetErased(erased ?? 0);
  }

  /** Finds out why reads return nothing more: replicas are stale, or messages were removed. */
  async #lookForGoal(): Promise<void> {
    const { calls, onLag } = this.#options;
    const gaps = this.#gaps;
    const known = Math.max(this.#goal, this.#timeline.last);
    const head = await calls.head("lag");
    if (head === undefined || this.#gaps !== gaps) return;
    if (head.stream !== this.#stream) return this.#changeStream(head);
    if (head.log_offset < known) return this.#rewind(head);
    if (head.last !== undefined && head.last.offset > this.#timeline.last) return onLag();
    const first = this.#buffer.first(this.#stream);
    if (first === undefined) this.#lose(known);
    else this.#lose(sureBefore(first));
  }

  /** Checks whether no message followed the newest one here, or whether it was removed unseen. */
  async #proveNone(offset: number): Promise<void> {
    const { calls } = this.#options;
    const gaps = this.#gaps;
    const page = await calls.read("verify", this.#timeline.last);
    if (page === undefined || this.#gaps !== gaps) return;
    if (page.stream !== this.#stream) return await this.#findStream();
    this.#unproven = 0;
    const [first] = page.messages;
    if (first !== undefined) this.#goal = Math.max(this.#goal, first.offset);
    else if (page.erased !== undefined) this.#loseErased(offset);
    else if (page.complete) this.#timeline.rest(offset);
    else this.#lose(offset);
    if (first === undefined) this.#freshness.know(this.#options.now());
  }

  /** Gives up the missing messages up to `offset`: they will never arrive. */
  #lose(offset: number): void {
    if (offset <= this.#timeline.last) return;
    this.#timeline.skip(offset);
    this.#tell("history-trimmed");
  }

  /** Gives up missing messages of which some were erased, maybe between existing ones. */
  #loseErased(offset: number): void {
    this.#timeline.skip(offset);
    this.#tell("erased");
  }

  #tell(reason: Lost): void {
    const { stats, onGap, onChange } = this.#options;
    this.#gaps++;
    this.#last_gap = reason;
    stats.gapFill(reason === "epoch-changed" ? reason : "lost");
    onChange();
    this.#guard(() => onGap(reason));
  }

  #hasStrangers(): boolean {
    const streams = this.#buffer.streams();
    return streams.size > (streams.has(this.#stream) ? 1 : 0);
  }

  /** Finds the current stream, after messages or pages of another one. */
  async #findStream(): Promise<void> {
    const { calls } = this.#options;
    const strangers = this.#buffer.streams();
    const gaps = this.#gaps;
    const head = await calls.head("stream");
    if (head === undefined || this.#gaps !== gaps) return;
    if (head.stream !== this.#stream) this.#changeStream(head);
    this.#retire(strangers);
  }

  #retire(streams: ReadonlySet<string>): void {
    const dropped = this.#buffer.retire(streams, this.#stream);
    for (let one = 0; one < dropped; one++) this.#options.stats.dropped("old-stream");
  }

  /** Restarts after the log was lost and recreated. */
  #changeStream(head: RoomHead): void {
    const former = this.#stream;
    this.#adopt(head, this.#buffer.first(head.stream));
    this.#retire(new Set([former]));
    this.#tell("epoch-changed");
    this.#fill();
  }

  /** Restarts after the log lost assigned offsets, which it will assign again. */
  #rewind(head: RoomHead): void {
    this.#buffer.forget(this.#stream);
    this.#adopt(head, undefined);
    this.#tell("history-trimmed");
    this.#fill();
  }

  /** Starts a new list: with `first`, which waits, after `after`, or else after the log's newest message. */
  #adopt(
    { stream, last, log_offset, erased = 0 }: RoomHead,
    first: LiveMessage | undefined,
    after?: number,
  ): void {
    this.#stream = stream;
    this.#log_offset = log_offset;
    this.#erased = erased;
    this.#left = undefined;
    this.#unproven = 0;
    this.#freshness.know(this.#options.now());
    this.#goal = Math.max(last?.offset ?? 0, this.#buffer.forgotten(stream));
    const newest = first === undefined && after === undefined ? last : undefined;
    const empty_at = after ?? (newest === undefined ? log_offset : newest.offset - 1);
    const before = first === undefined ? empty_at : sureBefore(first);
    this.#timeline = new Timeline(before, this.#timeline);
    if (newest !== undefined) this.#timeline.offer(fromLog(newest), 0);
    this.#options.onChange();
  }

  /** Notifies the waiters of the list's progress. */
  #announce(): void {
    const is_on = this.#phase === "following" && this.#is_filling;
    this.#waits.announce(is_on ? this.#timeline : undefined);
  }
}

interface OffsetWait {
  readonly offset: number;
  readonly list: Timeline;
  readonly resolve: () => void;
}

class OffsetWaits {
  #waits: OffsetWait[] = [];

  /** Resolves when the list has reached `offset`, or is replaced. */
  wait(offset: number, list: Timeline): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waits.push({ offset, list, resolve });
    return promise;
  }

  /**
   * Resolves the waits that `list`, the room's current one, allows. Undefined: nothing will be read, so all waits end.
   */
  announce(list: Timeline | undefined): void {
    if (this.#waits.length === 0) return;
    this.#waits = this.#waits.filter((wait) => {
      if (wait.list === list && list.last < wait.offset) return true;
      wait.resolve();
      return false;
    });
  }
}

/**
 * The time beyond a class's age within which no message can have been stored and expired unnoticed. A message stays in
 * the log for at least twice the age of its class, and two minutes.
 */
const NOTICED_MS = 60_000;

/** The freshness of one room. Times are by the log's clock. */
class Freshness {
  readonly #class_of: () => Pick<RoomClass, "history_ttl_seconds">;
  #known_ms = 0;

  constructor(class_of: () => Pick<RoomClass, "history_ttl_seconds">) {
    this.#class_of = class_of;
  }

  /** Records that the room was complete at that time. */
  know(time_ms: number): void {
    this.#known_ms = Math.max(this.#known_ms, time_ms);
  }

  /** Whether no message since then can have expired by `time_ms`. */
  holds(time_ms: number): boolean {
    return this.keeps(this.#known_ms, time_ms);
  }

  /** Whether a message of `then_ms` is too young to have expired at `time_ms`. */
  keeps(then_ms: number, time_ms: number): boolean {
    const age_ms = this.#class_of().history_ttl_seconds * 1_000;
    return time_ms - then_ms < age_ms + NOTICED_MS;
  }
}
