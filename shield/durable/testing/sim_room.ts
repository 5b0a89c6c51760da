/**
 * For tests: a room log on a model log, subscribers that come and go at any time and read at any pace, and what each of
 * them must have received. Not part of the Shield.
 */
import { createLogger } from "../../../shared/logs/log.ts";
import { Registry } from "../../../shared/metrics/metrics.ts";
import { DEFAULT_CLASS, type RoomClass } from "../../../shared/rooms/room_class.ts";
import type { Entry as RoomEntry, Lost, Position } from "../../fanout/entry.ts";
import { roomEpoch } from "../../../shared/rooms/epoch.ts";
import { RoomLog } from "../room/room_log.ts";
import type { Cursor, Entry } from "../messages/timeline.ts";
import type { LiveEntryPoint } from "../recovery/recovery.ts";
import { DurableStats } from "../log/stats.ts";
import { TailCache } from "../log/tail_cache.ts";
import { seeded } from "../../../shared/testing/seeded.ts";
import { SimClock, SimLog } from "./sim_log.ts";

/** What a subscriber received, in order. */
export type SimReceived =
  | { readonly kind: "entry"; readonly stream: string; readonly offset: number }
  | { readonly kind: "gap"; readonly reason: Lost };

/** Options of a simulated room; its limits are small, so that they are reached. */
export interface SimOptions {
  readonly seed: number;
  readonly room_class?: Partial<RoomClass>;
  readonly recovery_messages?: number;
  readonly log_cache_bytes?: number;
  /** True when errors may be logged; otherwise a line that is logged as an error fails the test. */
  readonly allows_errors?: boolean;
}

const limits = {
  recovery_messages: 10_000,
  recovery_bytes: 16_777_216,
  log_cache_bytes: 268_435_456,
};

/** One subscriber: its request, the answer, and its messages. */
export class SimSubscriber {
  readonly position: Position | undefined;
  answer:
    | { recovered: boolean | undefined; reason: string; offset: number; epoch: string }
    | undefined;
  failure: unknown;
  readonly received: SimReceived[] = [];
  #cursor: Cursor | undefined;

  constructor(position: Position | undefined) {
    this.position = position;
  }

  begin(entry_point: LiveEntryPoint): void {
    const { recovered, reason } = entry_point;
    this.answer = { recovered, reason, ...entry_point.position() };
    this.#cursor = entry_point.cursor;
  }

  onEntry(entry: RoomEntry): void {
    if (this.#cursor === undefined) this.#tell(entry);
  }

  /** Reads that many messages, if the subscriber is behind. */
  read(count: number): void {
    for (let read = 0; read < count && this.#cursor !== undefined; read++) {
      const entry = this.#cursor.next();
      if (entry === undefined) this.#cursor = undefined;
      else this.#tell(entry);
    }
  }

  #tell({ offset, envelope }: RoomEntry): void {
    const stream = new TextDecoder().decode(envelope).split("/")[0] ?? "";
    this.received.push({ kind: "entry", stream, offset });
  }
}

/** A room with its log, cache and subscribers. */
export class SimRoom implements Disposable {
  readonly clock: SimClock;
  readonly log: SimLog;
  readonly cache: TailCache;
  readonly room: RoomLog;
  readonly registry = new Registry();
  readonly subscribers: SimSubscriber[] = [];
  room_class: RoomClass;
  /** Delivers an entry to the subscribers; replaced to plant a bug. */
  forward: (entry: Entry, tell: (entry: Entry) => void) => void = (entry, tell) => tell(entry);

  constructor(options: SimOptions) {
    const { seed, room_class, recovery_messages, log_cache_bytes } = options;
    this.clock = new SimClock(seeded(seed));
    this.log = new SimLog(this.clock, (message) => this.room.receive(message));
    this.room_class = { ...DEFAULT_CLASS, durable: true, ...room_class };
    this.log.history_ttl_seconds = this.room_class.history_ttl_seconds;
    const { clock, log } = this;
    const stats = new DurableStats(this.registry);
    const bounds = {
      ...limits,
      ...(recovery_messages === undefined ? {} : { recovery_messages }),
      ...(log_cache_bytes === undefined ? {} : { log_cache_bytes }),
    };
    const cache = this.cache = new TailCache({ limits: bounds, clock, stats });
    this.room = new RoomLog({
      tenant_id: log.tenant_id,
      room_id: log.room_id,
      log,
      clock,
      cache,
      stats,
      limits: bounds,
      class_of: () => this.room_class,
      logger: createLogger({
        level: "error",
        format: "logfmt",
        component: "shield",
        now: () => 0,
        write: (line) => {
          if (options.allows_errors !== true) throw new Error(line);
        },
      }),
      onEntry: (entry) =>
        this.forward(entry, (it) => {
          for (const subscriber of this.subscribers) subscriber.onEntry(it);
        }),
      onGap: (reason) => {
        for (const { received } of this.subscribers) received.push({ kind: "gap", reason });
      },
    });
  }

  [Symbol.dispose](): void {
    this.room.close();
  }

  epoch(stream = this.log.stream): string {
    return roomEpoch(stream, this.log.room_id);
  }

  /**
   * Enters a subscriber, which reads the answer `turns` microtasks after it arrives, as callers do. A slow one reads on
   * command, others at once.
   */
  async enter(position: Position | undefined, turns = 0, is_slow = false): Promise<SimSubscriber> {
    const subscriber = new SimSubscriber(position);
    try {
      const entry_point = await this.room.enter(position);
      for (let turn = 0; turn < turns; turn++) await undefined;
      subscriber.begin(entry_point);
      this.subscribers.push(subscriber);
      if (!is_slow) subscriber.read(Infinity);
    } catch (error) {
      subscriber.failure = error;
    }
    return subscriber;
  }

  /** The fault in a subscriber's messages: a wrong or a missing one; undefined: none. */
  fault(subscriber: SimSubscriber): string | undefined {
    const { answer, position, received } = subscriber;
    if (answer === undefined) return undefined;
    const streams = [...this.log.truth.keys()];
    let stream = streams.find((name) => this.epoch(name) === answer.epoch);
    if (stream === undefined) return `answered with an unknown epoch ${answer.epoch}`;
    if (answer.recovered === true && position !== undefined) {
      if (position.epoch !== "" && position.epoch !== answer.epoch) {
        return "another epoch recovered";
      }
    }
    let at = answer.recovered === true ? position?.after ?? 0 : answer.offset;
    let gaps = 0;
    let is_first = true;
    for (const one of received) {
      if (one.kind === "gap") {
        gaps++;
        continue;
      }
      const is_next = one.stream === stream && one.offset === this.#after(stream, at);
      const is_last = is_first && answer.recovered !== true && this.room_class.cache_last &&
        one.stream === stream && one.offset <= at;
      if (!is_next && !is_last) {
        if (gaps === 0) return `after ${stream}/${at} came ${one.stream}/${one.offset}`;
        gaps--;
      }
      is_first = false;
      stream = one.stream;
      at = Math.max(one.offset, is_last ? at : 0);
    }
    const missing = stream !== this.log.stream || this.#after(stream, at) !== undefined;
    return missing && gaps === 0 ? `nothing arrived after ${stream}/${at}` : undefined;
  }

  #after(stream: string, at: number): number | undefined {
    return this.log.truth.get(stream)?.find((offset) => offset > at);
  }
}
