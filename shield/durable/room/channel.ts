/**
 * The durable part of one room of the hub: its room log, opened when the first subscriber needs it, or when the room
 * becomes durable while it has subscribers. The hub has the subscribers.
 */
import { ArqonError } from "@arqon/proto";
import { LOG_STREAM_HEADER, offsetOf } from "../../../shared/spine/contract/durable_log.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import type { DurableRoom, EntryPoint, Position, RoomEvents } from "../../fanout/entry.ts";
import type { RoomLog } from "./room_log.ts";
import { within } from "../../../shared/within.ts";

/** The dependencies and settings of `DurableChannel`. */
export interface DurableChannelOptions extends RoomEvents {
  /** Makes the room's log after its Spine subscription has reached the server; the log is not started yet. */
  readonly open: (events: RoomEvents) => Promise<RoomLog>;
  /** Closes the log. */
  readonly release: (log: RoomLog) => void;
  /** How long an `enter` may take, in ms. */
  readonly timeout_ms: number;
}

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

  receive(message: SpineMessage, has_live: boolean): ReturnType<DurableRoom["receive"]> {
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
    if (!has_live || !this.#pass(message)) return "none";
    return is_late ? "placeless" : "all";
  }

  /** Delivers a message without the log, which has not started: present subscribers continue to receive. */
  #pass(message: SpineMessage): boolean {
    const offset = offsetOf(message);
    if (offset <= this.#passed) return false;
    this.#passed = offset;
    this.#passed_stream = message.headers[LOG_STREAM_HEADER] ?? "";
    return true;
  }

  log(): Promise<RoomLog> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  async enter(position: Position | undefined): Promise<EntryPoint> {
    const { timeout_ms } = this.#options;
    return await within(timeout_ms, this.log().then((log) => log.enter(position)), () => {
      throw new ArqonError("log-unavailable", `no answer within ${timeout_ms} ms`);
    });
  }

  close(): void {
    this.#closed = true;
    if (this.#log !== undefined) this.#options.release(this.#log);
    this.#log = undefined;
  }

  async #open(): Promise<RoomLog> {
    try {
      const log = await this.#options.open({
        onEntry: (entry) => {
          this.#has_spoken = true;
          if (entry.offset > this.#passed) this.#options.onEntry(entry);
        },
        onGap: (reason) => {
          // In another epoch offsets begin at 1 again.
          this.#passed = 0;
          this.#has_spoken = true;
          this.#options.onGap(reason);
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
