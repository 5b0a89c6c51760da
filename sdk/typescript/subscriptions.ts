/**
 * Which rooms this client hears: one SUB a room, however many loops read it, sent again after every
 * reconnect. Knows sessions but no reconnecting.
 */
import { ArqonError, encodeSub, encodeUnsub, ERRORS } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import { backoffDelay } from "./backoff.ts";
import type { Backoff } from "./backoff.ts";
import { gapMessage, Message } from "./message.ts";
import { MessageBuffer } from "./message_buffer.ts";
import type { Session } from "./session.ts";

/**
 * What `Room.subscribe` takes. `no_echo` is the room's: all loops on it must agree. The buffer is the
 * loop's own.
 */
export interface SubscribeOptions {
  /** Leave out what this connection publishes itself; default false. */
  readonly no_echo?: boolean;
  /** Messages that wait for the loop; default 8,192. More are dropped and leave one GAP. */
  readonly buffer?: number;
  /** Their bytes; default 32 MiB. */
  readonly buffer_bytes?: number;
}

/** The messages of one room. Leaving the loop, or `close()`, ends the subscription. */
export interface Subscription extends AsyncIterableIterator<Message, undefined> {
  readonly room: string;
  /** Resolves when the Shield has acknowledged the first SUB; rejects when it refuses it for good. */
  readonly ready: Promise<void>;
  close(): void;
  [Symbol.dispose](): void;
}

/**
 * What the connection lends: request ids (shared with publishes), the clock in Unix ms, and the waits
 * between SUBs that are refused for now.
 */
export interface SubscriptionsOptions {
  nextId(): number;
  readonly now: () => number;
  readonly random: () => number;
  readonly backoff: Backoff;
}

interface Reader {
  readonly buffer: MessageBuffer<Message>;
  readonly ready: PromiseWithResolvers<void>;
}

interface RoomEntry {
  readonly room: string;
  readonly no_echo: boolean;
  readonly readers: Set<Reader>;
  /** An ACK has come on some session: from now on a new SUB means that something may be lost. */
  heard: boolean;
  /** An ACK has come on the present session. */
  active: boolean;
  retry: ReturnType<typeof setTimeout> | undefined;
}

/**
 * All rooms that one connection hears. `attach` and `detach` bracket a session; in between and after
 * it, loops just wait.
 */
export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #rooms = new Map<string, RoomEntry>();
  #session: Session | undefined;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
  }

  /** Throws TypeError when the room is already read with another `no_echo`. */
  subscribe(room: string, options: SubscribeOptions): Subscription {
    const no_echo = options.no_echo ?? false;
    let entry = this.#rooms.get(room);
    if (entry !== undefined && entry.no_echo !== no_echo) {
      throw new TypeError(`room ${room} is already subscribed with no_echo = ${entry.no_echo}`);
    }
    const isNew = entry === undefined;
    entry ??= { room, no_echo, readers: new Set(), heard: false, active: false, retry: undefined };
    const reader = this.#reader(entry, options);
    entry.readers.add(reader);
    if (entry.active) reader.ready.resolve();
    if (isNew) {
      this.#rooms.set(room, entry);
      if (this.#session !== undefined) this.#send(entry, this.#session, 0);
    }
    return asSubscription(room, reader);
  }

  /** A new session is open: subscribes to everything again, and says where messages may be missing. */
  attach(session: Session): void {
    this.#session = session;
    for (const entry of this.#rooms.values()) {
      if (entry.heard) {
        const gap = gapMessage(entry.room, "reconnect", this.#options.now());
        for (const reader of entry.readers) reader.buffer.push(gap);
      }
      this.#send(entry, session, 0);
    }
  }

  detach(): void {
    this.#session = undefined;
    for (const entry of this.#rooms.values()) {
      entry.active = false;
      clearTimeout(entry.retry);
    }
  }

  deliver(envelope: PlainEnvelope): void {
    const entry = this.#rooms.get(envelope.room_id);
    if (entry === undefined) return;
    const message = new Message(envelope);
    for (const reader of entry.readers) reader.buffer.push(message);
  }

  /** The Shield ended a subscription by itself (a refreshed token no longer grants the room). */
  revoked(room: string, error: ArqonError): void {
    const entry = this.#rooms.get(room);
    if (entry !== undefined) this.#fail(entry, error);
  }

  /** Ends all loops: orderly without `error`, else by throwing it. */
  close(error: ArqonError | undefined): void {
    this.detach();
    for (const entry of [...this.#rooms.values()]) this.#fail(entry, error);
  }

  #reader(entry: RoomEntry, options: SubscribeOptions): Reader {
    const ready = Promise.withResolvers<void>();
    // Who does not look at `ready` still gets the error from the loop.
    ready.promise.catch(() => {});
    const buffer = new MessageBuffer<Message>({
      items_max: options.buffer ?? 8_192,
      bytes_max: options.buffer_bytes ?? 33_554_432,
      sizeOf: (message) => message.size_bytes,
      gap: (count) => gapMessage(entry.room, `${count} messages dropped here`, this.#options.now()),
      onEnd: () => this.#left(entry, reader),
    });
    const reader = { buffer, ready };
    return reader;
  }

  #left(entry: RoomEntry, reader: Reader): void {
    reader.ready.reject(new ArqonError("connection-closed", ": the subscription has ended"));
    if (!entry.readers.delete(reader) || entry.readers.size > 0) return;
    if (this.#rooms.get(entry.room) !== entry) return;
    this.#rooms.delete(entry.room);
    clearTimeout(entry.retry);
    // A SUB that is still unanswered came first in the connection's FIFO, so this ends it too.
    const frame = { room_id: entry.room, request_id: this.#options.nextId() };
    this.#session?.request(frame.request_id, encodeUnsub(frame)).catch(() => {});
  }

  #send(entry: RoomEntry, session: Session, attempt: number): void {
    const request_id = this.#options.nextId();
    const frame = encodeSub({
      room_id: entry.room,
      request_id,
      no_echo: entry.no_echo,
      batch: true,
    });
    const current = () => this.#session === session && this.#rooms.get(entry.room) === entry;
    session.request(request_id, frame).then(() => {
      if (!current()) return;
      entry.heard = true;
      entry.active = true;
      for (const reader of entry.readers) reader.ready.resolve();
    }, (error: ArqonError) => {
      if (!current()) return;
      if (ERRORS[error.reason].client === "never-retry") return this.#fail(entry, error);
      const { backoff, random } = this.#options;
      const delay_ms = error.retry_after_ms + backoffDelay(attempt, backoff, random);
      entry.retry = setTimeout(() => {
        if (current()) this.#send(entry, session, attempt + 1);
      }, delay_ms);
    });
  }

  #fail(entry: RoomEntry, error: ArqonError | undefined): void {
    this.#rooms.delete(entry.room);
    clearTimeout(entry.retry);
    for (const reader of [...entry.readers]) {
      entry.readers.delete(reader);
      if (error !== undefined) reader.ready.reject(error);
      reader.buffer.end(error);
    }
  }
}

function asSubscription(room: string, { buffer, ready }: Reader): Subscription {
  const close = () => void buffer.return();
  return {
    room,
    ready: ready.promise,
    close,
    next: () => buffer.next(),
    return: () => buffer.return(),
    [Symbol.asyncIterator]() {
      return this;
    },
    [Symbol.dispose]: close,
  };
}
