/**
 * A reader of server-sent events as a client's socket: a connection in the text form, whose frames are sent as events
 * and which sends only the SUBs of its request and an answer to each PING. All rules for connections over WebSocket
 * apply to it. `shield/sse/http/events.ts` has the answer's head.
 */
import { ArqonError } from "@arqon/proto";
import { BROKEN, type ClientSocket, type SocketEvents } from "../socket/client_socket.ts";
import { eventBytes, HEARTBEAT, idBytes, MESSAGE_START, retryBytes } from "./event_text.ts";
import { type EventReaders, EventWriter, type EventWriterOwner } from "./event_writer.ts";
import { type Entered, type EventSubscriptions, refusalIn } from "./subscriptions.ts";
import type { GzipStream } from "../../shared/http1/gzip.ts";
import { awaitedLater } from "../../shared/awaited_later.ts";

const NORMAL = 1000, GOING_AWAY = 1001, RESTART = 1012;

interface SseSocketOptions {
  readonly readers: EventReaders;
  readonly subscriptions: EventSubscriptions;
  /** The default reconnect delay of a reader, in ms. */
  readonly retry_ms: number;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Compresses the stream; undefined: no compression. */
  readonly gzip: GzipStream | undefined;
  /** Whether the class of a room stores its messages now. */
  readonly isDurable: (room_id: string) => boolean;
  /** Whether the connection has no subscription any longer: it was kicked from all rooms. */
  readonly isOut: () => boolean;
}

/** One reader. Its peer is the one that its `writer` serves. */
export class SseSocket implements ClientSocket, EventWriterOwner {
  readonly unfinished_bytes = 0;
  readonly is_sent_away = true;
  readonly writer: EventWriter;
  readonly #options: SseSocketOptions;
  #events: SocketEvents | undefined;
  #closing = false;
  #code: number | undefined;
  /** Pending until every SUB is answered. */
  #begun = Promise.withResolvers<void>();
  /** Whether a PING waits for the peer to read. */
  #is_asked = false;

  constructor(options: SseSocketOptions) {
    this.#options = options;
    this.writer = new EventWriter(options.readers, options.gzip, this);
    awaitedLater(this.#begun.promise);
  }

  get bufferedAmount(): number {
    return this.writer.bufferedAmount;
  }

  listen(events: SocketEvents): void {
    this.#events = events;
  }

  /** Opens the connection and subscribes. Rejects with the first refusal; then the connection has ended. */
  async begin(): Promise<void> {
    const { retry_ms, subscriptions } = this.#options;
    this.#push(retryBytes(retry_ms));
    // A library may keep an id for one answer only: without one, `welcome` would reset its reader's position.
    if (subscriptions.has_position) this.#push(idBytes(subscriptions.id));
    this.#events?.opened();
    for (const frame of subscriptions.frames()) this.#events?.message(frame);
    try {
      await this.#begun.promise;
    } catch (error) {
      this.#code = NORMAL;
      this.#closing = true;
      this.writer.destroy();
      throw error;
    }
  }

  send(frame: string | Uint8Array<ArrayBuffer>): void {
    if (this.#closing || typeof frame !== "string") return;
    if (frame.startsWith(MESSAGE_START)) return this.#sendMessage(frame);
    if (frame.startsWith('{"op":"ping"')) return this.#sendPing();
    if (frame.startsWith('{"op":"ack"')) return this.#onAck(frame);
    if (frame.startsWith('{"op":"welcome"')) return this.#push(eventBytes("welcome", frame));
    this.#push(eventBytes("refused", frame));
    if (!this.#options.subscriptions.are_open) this.#begun.reject(refusalIn(frame));
  }

  #sendMessage(frame: string): void {
    const { readers, subscriptions } = this.#options;
    const event = readers.eventOf(frame);
    const { room_id, offset, name } = event.facts;
    const epoch = offset === 0 ? undefined : subscriptions.sent(room_id, offset);
    if (epoch === undefined) this.#push(event.body);
    else if (subscriptions.is_one) this.#push(event.withId(epoch));
    else {
      this.#push(idBytes(subscriptions.id));
      this.#push(event.body);
    }
    // When its SUB was answered, the room was not durable, as far as this Shield knew.
    if (offset > 0 && epoch === undefined && this.#options.isDurable(room_id)) {
      this.#askAgain(room_id);
    }
    if (name !== "message") this.#onSignal(frame, room_id);
  }

  #askAgain(room_id: string): void {
    this.#ask(this.#options.subscriptions.again(room_id));
  }

  /** Sends a frame as if it came from the peer, once what is being sent to it is sent. */
  #ask(frame: string | undefined): void {
    if (frame !== undefined) queueMicrotask(() => this.#events?.message(frame));
  }

  /** Reacts to a signal like a client of a socket. */
  #onSignal(frame: string, room_id: string): void {
    if (frame.includes('"reason":"epoch-changed"')) this.#askAgain(room_id);
    // The connection leaves the room after the notification.
    queueMicrotask(() => {
      if (!this.#closing && this.#options.isOut()) this.#leave(NORMAL, "no-room-left");
    });
  }

  /** Ends it here, and reports to the connection that the peer has disconnected. */
  #leave(code: number, reason: string): void {
    this.#code ??= code;
    this.close(code, reason);
  }

  #sendPing(): void {
    this.#push(HEARTBEAT);
    this.#is_asked = true;
    if (this.writer.is_idle) queueMicrotask(() => this.#answerPing());
  }

  /** Answers a PING for a peer that reads. A peer that does not read gets no answer. */
  #answerPing(): void {
    if (!this.#is_asked || this.#closing || !this.writer.is_running) return;
    this.#is_asked = false;
    this.#events?.message('{"op":"pong"}');
  }

  #onAck(frame: string): void {
    const { subscriptions } = this.#options;
    try {
      const entered = subscriptions.answered(frame);
      if (typeof entered === "string") return this.#ask(entered);
      this.#tellEntered(entered);
      if (subscriptions.are_open) this.#begun.resolve();
    } catch (error) {
      if (subscriptions.are_open) {
        this.#push(eventBytes("refused", frame));
        queueMicrotask(() => this.#options.isOut() && this.#leave(NORMAL, "no-room-left"));
      } else this.#begun.reject(error);
    }
  }

  #tellEntered(entered: Entered): void {
    const { subscriptions } = this.#options;
    const is_new = entered.epoch !== undefined && entered.recovered !== true;
    if (is_new) this.#push(idBytes(subscriptions.id));
    this.#push(eventBytes("subscribed", JSON.stringify(entered)));
    if (entered.recovered !== false) return;
    const { room, reason } = entered;
    const gap = { op: "msg", room, signal: { kind: "GAP", target: room, reason } };
    this.#push(eventBytes("gap", JSON.stringify(gap)));
  }

  close(code: number, reason: string): void {
    if (this.#closing) return;
    this.#closing = true;
    const [text = "", spread] = reason.split(";spread_ms=");
    if (spread !== undefined) this.#push(retryBytes(Number(spread) * this.#options.random()));
    this.#push(eventBytes("closed", JSON.stringify({ code, reason: text })));
    this.#begun.reject(new ArqonError(code === RESTART ? "draining" : "disconnected", text));
    this.writer.end();
  }

  terminate(): boolean {
    this.writer.destroy();
    return true;
  }

  /** Does nothing: nothing is read. */
  rest(): void {}

  wrote(): void {
    if (this.#is_asked) queueMicrotask(() => this.#answerPing());
  }

  gone(begun: boolean): void {
    // A reader that disconnects is not an error: it has no other way to end.
    this.#code ??= begun ? GOING_AWAY : BROKEN;
    this.#closing = true;
    this.#begun.reject(new ArqonError("disconnected", "the reader has disconnected"));
  }

  over(): void {
    this.#events?.closed(this.#code ?? BROKEN);
  }

  #push(bytes: Uint8Array<ArrayBuffer>): void {
    this.writer.push(bytes);
  }
}
