/**
 * The durable part of one room of the hub: its room log, opened when the first subscriber needs it, or when the room
 * becomes durable while it has subscribers; and which of them are live.
 */
import { ArqonError } from "@arqon/proto";
import { LOG_STREAM_HEADER, offsetOf } from "../../../shared/spine/contract/durable_log.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import type { Channel, DurableRoom, IsReady, RoomHub, Subscriber } from "../../fanout/channel.ts";
import type { EntryPoint, Position } from "../../fanout/entry.ts";
import { within } from "../../../shared/within.ts";
import { LogFlow } from "../recovery/recovery.ts";
import type { RoomLog, RoomLogOptions } from "./room_log.ts";

/** The events of a room's log. */
export type RoomEvents = Pick<RoomLogOptions, "onEntry" | "onGap">;

interface DurableChannelOptions {
  readonly channel: Pick<Channel, "subscribers" | "noted">;
  readonly hub: RoomHub;
  /** Makes the room's log after its Spine subscription has reached the server; the log is not started yet. */
  readonly open: (events: RoomEvents) => Promise<RoomLog>;
  readonly release: (log: RoomLog) => void;
  /** How long an `enter` may take, in ms. */
  readonly timeout_ms: number;
  /** The most bytes that one subscriber may be behind. */
  readonly lag_bytes_max: number;
}

/** Whether a subscriber has no place in the room's log: it has not entered it. */
const isPlaceless = ({ flow }: Subscriber): boolean => flow === undefined;

/** The log of one room in this process, perhaps still opening. */
export class DurableChannel implements DurableRoom {
  readonly #options: DurableChannelOptions;
  #opening: Promise<RoomLog> | undefined;
  #log: RoomLog | undefined;
  /** The highest offset that subscribers received without the log, and its stream. */
  #passed = 0;
  #passed_stream = "";
  /** Whether subscribers have received anything from the log, or a gap was reported to them. */
  #has_spoken = false;
  #closed = false;

  constructor(options: DurableChannelOptions) {
    this.#options = options;
  }

  receive(message: SpineMessage): ReturnType<DurableRoom["receive"]> {
    const log = this.#log;
    if (log === undefined) {
      this.#pass(message);
      return "all";
    }
    const offset = offsetOf(message);
    // The log started with messages whose live copies had not arrived yet: only subscribers that entered it have a
    // position after them.
    const is_late = log.is_started && !this.#has_spoken && offset <= log.offset;
    log.receive(message);
    if (log.is_started && !is_late) return "none";
    if (!this.#hasLive() || !this.#pass(message)) return "none";
    return is_late ? isPlaceless : "all";
  }

  /** Delivers a message without the log, which has not started: present subscribers continue to receive. */
  #pass(message: SpineMessage): boolean {
    const offset = offsetOf(message);
    if (offset <= this.#passed) return false;
    this.#passed = offset;
    this.#passed_stream = message.headers[LOG_STREAM_HEADER] ?? "";
    return true;
  }

  /** Whether some subscriber subscribes to the room without waiting for its log. */
  #hasLive(): boolean {
    const { members } = this.#options.channel.subscribers;
    return Iterator.from(members).some(({ flow }) => flow?.is_live !== false);
  }

  #opened(): Promise<RoomLog> {
    return this.#opening ??= this.#open();
  }

  open(): void {
    // The next subscriber tries again, and gets the error.
    this.#opened().catch(() => {});
  }

  enter(position: Position | undefined): Promise<EntryPoint> {
    const { timeout_ms } = this.#options;
    return within(timeout_ms, this.#opened().then((log) => log.enter(position)), () => {
      throw new ArqonError("log-unavailable", `no answer within ${timeout_ms} ms`);
    });
  }

  end(): boolean {
    const offset = this.#log?.offset ?? 0;
    this.close();
    const { members } = this.#options.channel.subscribers;
    return Array.from(members, (one) => this.#skip(one, offset, "lost")).includes(true);
  }

  /** Makes a subscriber live; false: it was. What it has not read yet, up to an offset, is skipped. */
  #skip(
    { flow, mark }: Subscriber,
    to: number,
    why: "slow_reader" | "lost",
    position = this.#options.hub.ledger?.position ?? 0,
  ): boolean {
    if (!(flow instanceof LogFlow)) return false;
    const { channel: { noted }, hub: { ledger } } = this.#options;
    const is_behind = !flow.is_live;
    const from = Math.max(flow.episode.after, flow.episode.last) + 1;
    if (is_behind && from <= to && noted && mark) {
      ledger?.passedOver(noted, mark, { from, to, why });
    }
    flow.finish();
    flow.noteLive(position);
    return is_behind;
  }

  close(): void {
    this.#closed = true;
    if (this.#log !== undefined) this.#options.release(this.#log);
    this.#log = undefined;
  }

  /** Whether a subscriber is live: one that is behind gets the message later, unless it is too far behind. */
  readonly #isReady: IsReady = (subscriber, { offset }, message, position) => {
    const { flow } = subscriber;
    if (!(flow instanceof LogFlow) || flow.is_live) return true;
    const { hub: { stats }, lag_bytes_max } = this.#options;
    if (flow.lag_bytes <= lag_bytes_max) return false;
    if (message === undefined) {
      subscriber.overflow?.();
      return false;
    }
    // The subscriber skips what it has not received yet and continues with this message.
    stats.slow_reader.dropped += flow.lag_messages - 1;
    stats.egress_events++;
    subscriber.send(message.gap(subscriber.text));
    this.#skip(subscriber, offset - 1, "slow_reader", position);
    return true;
  };

  async #open(): Promise<RoomLog> {
    try {
      const log = await this.#options.open({
        onEntry: (entry) => {
          this.#has_spoken = true;
          if (entry.offset > this.#passed) this.#options.hub.deliver(entry, this.#isReady);
        },
        onGap: (reason) => {
          // In another epoch offsets begin at 1 again.
          this.#passed = 0;
          this.#has_spoken = true;
          this.#options.hub.onGap(reason);
        },
      });
      if (this.#closed) {
        this.#options.release(log);
        throw new ArqonError("log-unavailable", "the room was left meanwhile");
      }
      this.#log = log;
      log.start(() => ({ stream: this.#passed_stream, offset: this.#passed }));
      return log;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}
