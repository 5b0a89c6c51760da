/**
 * The durable side of one room of the hub: its room log, opened when the first subscriber needs it,
 * or when the room becomes durable while it has subscribers. The hub knows who the subscribers are.
 */
import { ArqonError } from "@arqon/proto";
import {
  LOG_OFFSET_HEADER,
  LOG_STREAM_HEADER,
} from "../../../shared/spine/contract/durable_log.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine.ts";
import type { EntryPoint, Gap, Position, RoomLog } from "./room_log.ts";
import type { Entry } from "../messages/timeline.ts";

/** The callbacks of a room log. */
export interface RoomLogEvents {
  onEntry(entry: Entry): void;
  onGap(reason: Gap): void;
}

/** What a durable channel needs. */
export interface DurableChannelOptions extends RoomLogEvents {
  /**
   * Makes the room's log once its Spine subscription is with the server; the log is not started yet.
   */
  readonly open: (events: RoomLogEvents) => Promise<RoomLog>;
  /** Closes the log. */
  readonly release: (log: RoomLog) => void;
  /** How long an `enter` may take, in ms. */
  readonly timeout_ms: number;
}

/** The offset of a message that a log has taken; 0 for any other. */
export function offsetOf({ headers }: SpineMessage): number {
  const text = headers[LOG_OFFSET_HEADER];
  return text === undefined ? 0 : Number(text);
}

/** One room's log in this process, or the way to it. */
export class DurableChannel {
  readonly #options: DurableChannelOptions;
  #opening: Promise<RoomLog> | undefined;
  #log: RoomLog | undefined;
  /** The highest offset that subscribers got while the log still opened, without its help, and its incarnation. */
  #passed = 0;
  #passed_stream = "";
  #closed = false;

  constructor(options: DurableChannelOptions) {
    this.#options = options;
  }

  /** Takes a message that a log has numbered; false when the caller must deliver it itself, at once. */
  receive(message: SpineMessage, has_live: boolean): boolean {
    const log = this.#log;
    if (log === undefined) {
      this.#pass(message);
      return false;
    }
    log.receive(message);
    return log.is_started || !has_live || !this.#pass(message);
  }

  /**
   * Passes a message on while the log has not begun: those who already hear the room go on hearing it.
   */
  #pass(message: SpineMessage): boolean {
    const offset = offsetOf(message);
    if (offset <= this.#passed) return false;
    this.#passed = offset;
    this.#passed_stream = message.headers[LOG_STREAM_HEADER] ?? "";
    return true;
  }

  /** Opens the log if need be; rejects as opening does. */
  log(): Promise<RoomLog> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Enters a subscriber as `RoomLog.enter` does, within `timeout_ms`. */
  async enter(position: Position | undefined): Promise<EntryPoint> {
    const { timeout_ms } = this.#options;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      reject(new ArqonError("log-unavailable", `no answer within ${timeout_ms} ms`));
    }, timeout_ms);
    try {
      return await Promise.race([this.log().then((log) => log.enter(position)), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closes the log, because nobody hears the room any more or because it is not durable any more. */
  close(): void {
    this.#closed = true;
    if (this.#log !== undefined) this.#options.release(this.#log);
    this.#log = undefined;
  }

  async #open(): Promise<RoomLog> {
    try {
      const log = await this.#options.open({
        onEntry: (entry) => {
          if (entry.offset > this.#passed) this.#options.onEntry(entry);
        },
        onGap: (reason) => {
          // In another epoch offsets begin at 1 again.
          this.#passed = 0;
          this.#options.onGap(reason);
        },
      });
      if (this.#closed) {
        this.#options.release(log);
        throw new ArqonError("log-unavailable", "the room was left meanwhile");
      }
      this.#log = log;
      // Behind what they got, the log may have more by now than has come here: it is theirs, too.
      log.start(() => ({ offset: this.#passed, stream: this.#passed_stream }));
      return log;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}
