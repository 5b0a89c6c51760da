/**
 * Which rooms this client hears: one SUB a room, however many loops read it, sent again after every
 * reconnect and when the member's metadata changes. Knows sessions but no reconnecting.
 */
import { ArqonError, encodeSub, encodeUnsub, ERRORS } from "@arqon/proto";
import type { Ack, PlainEnvelope, PlainEvent } from "@arqon/proto";
import { backoffDelay } from "./backoff.ts";
import type { Backoff } from "./backoff.ts";
import type { Json } from "./json.ts";
import { MemberTable } from "./member_table.ts";
import { gapMessage, Message } from "./message.ts";
import { MessageBuffer } from "./message_buffer.ts";
import { Presence } from "./presence.ts";
import type { Session } from "./session.ts";
import { asSubscription, encodeMeta } from "./subscription.ts";
import type { Reader, SubscribeOptions, Subscription } from "./subscription.ts";

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

/** What all loops on a room must agree on. */
interface Wish {
  readonly no_echo: boolean;
  readonly presence: boolean;
  readonly observer: boolean;
}

/** Metadata that no Shield has acknowledged yet. */
interface MetaUpdate extends PromiseWithResolvers<void> {
  /** Grows: the last one wins. */
  readonly number: number;
  readonly meta: Uint8Array;
}

interface RoomEntry {
  readonly room: string;
  readonly wish: Wish;
  readonly readers: Set<Reader>;
  /** With `presence` only. */
  readonly table: MemberTable | undefined;
  /** JSON of the metadata that a Shield took last, or the first; empty: none. */
  meta: Uint8Array;
  updates: MetaUpdate[];
  /** An ACK has come on some session: from now on a new SUB means that something may be lost. */
  heard: boolean;
  /** An ACK has come on the present session. */
  active: boolean;
  retry: ReturnType<typeof setTimeout> | undefined;
}

const NO_META = new Uint8Array();
/** Changes of one room's metadata that may wait for an answer or a connection. */
const UPDATES_MAX = 256;

function wishOf(room: string, options: SubscribeOptions): Wish {
  const { no_echo = false, presence = false, observer = false, member_meta } = options;
  if (!presence && (observer || member_meta !== undefined)) {
    throw new TypeError(`room ${room}: observer and member_meta need presence: true`);
  }
  if (observer && member_meta !== undefined) {
    throw new TypeError(`room ${room}: an observer is no member and has no member_meta`);
  }
  return { no_echo, presence, observer };
}

function assertAgreed(entry: RoomEntry, wish: Wish, meta: Uint8Array): void {
  for (const name of ["no_echo", "presence", "observer"] as const) {
    if (entry.wish[name] !== wish[name]) {
      throw new TypeError(
        `room ${entry.room} is already subscribed with ${name} = ${entry.wish[name]}`,
      );
    }
  }
  const decoder = new TextDecoder();
  if (meta.length > 0 && decoder.decode(meta) !== decoder.decode(entry.meta)) {
    throw new TypeError(
      `room ${entry.room} is already subscribed with other member_meta; update() changes it`,
    );
  }
}

function ended(): ArqonError {
  return new ArqonError("connection-closed", ": the subscription has ended");
}

/**
 * All rooms that one connection hears. `attach` and `detach` bracket a session; in between and after
 * it, loops just wait.
 */
export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #rooms = new Map<string, RoomEntry>();
  #session: Session | undefined;
  #update_number = 0;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
  }

  /** Throws TypeError for options that contradict each other or another loop's on this room. */
  subscribe(room: string, options: SubscribeOptions): Subscription {
    const wish = wishOf(room, options);
    const { member_meta } = options;
    const meta = member_meta === undefined ? NO_META : encodeMeta(member_meta);
    const known = this.#rooms.get(room);
    if (known !== undefined) assertAgreed(known, wish, meta);
    const entry: RoomEntry = known ?? {
      room,
      wish,
      readers: new Set(),
      table: wish.presence ? new MemberTable() : undefined,
      meta,
      updates: [],
      heard: false,
      active: false,
      retry: undefined,
    };
    const reader = this.#reader(entry, options);
    entry.readers.add(reader);
    this.#settle(entry);
    if (known === undefined) {
      this.#rooms.set(room, entry);
      if (this.#session !== undefined) this.#send(entry, this.#session, 0);
    }
    return asSubscription(room, reader, (changed) => this.#update(entry, reader, changed));
  }

  /** A new session is open: subscribes to everything again, and says where messages may be missing. */
  attach(session: Session): void {
    this.#session = session;
    for (const entry of [...this.#rooms.values()]) {
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
      entry.table?.lost();
      clearTimeout(entry.retry);
    }
  }

  deliver(envelope: PlainEnvelope): void {
    const entry = this.#rooms.get(envelope.room_id);
    if (entry === undefined) return;
    const { event, signal } = envelope;
    // Services may publish events and signals of these kinds too; only the bus itself has no name.
    const from_bus = envelope.sender_id === "";
    const presence = event?.type === "PRESENCE_UPDATE" || event?.type === "PRESENCE_LEAVE";
    if (presence && from_bus && entry.table !== undefined) return this.#hearPresence(entry, event);
    const message = new Message(envelope);
    for (const reader of entry.readers) reader.buffer.push(message);
    const put_out = signal?.kind === "DISCONNECT" || signal?.kind === "BAN";
    if (put_out && from_bus && signal.target === entry.room) this.#fail(entry, undefined);
  }

  /**
   * The Shield ended a subscription by itself (a refreshed token no longer grants the room), or only
   * its presence: then its messages still come, and nobody is left who reads them.
   */
  revoked(room: string, error: ArqonError, only_presence: boolean): void {
    const entry = this.#rooms.get(room);
    if (entry === undefined || (only_presence && entry.table === undefined)) return;
    this.#fail(entry, error);
    if (only_presence) this.#unsubscribe(entry);
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
    const presence = entry.table === undefined ? undefined : new Presence(entry.table);
    const reader = { buffer, ready, presence };
    return reader;
  }

  #left(entry: RoomEntry, reader: Reader): void {
    reader.ready.reject(ended());
    reader.presence?.end();
    if (!entry.readers.delete(reader) || entry.readers.size > 0) return;
    if (this.#rooms.get(entry.room) !== entry) return;
    // A SUB that is still unanswered came first in the connection's FIFO, so this ends it too.
    this.#unsubscribe(entry);
    this.#fail(entry, undefined);
  }

  #unsubscribe({ room }: RoomEntry): void {
    const frame = { room_id: room, request_id: this.#options.nextId() };
    this.#session?.request(frame.request_id, encodeUnsub(frame)).catch(() => {});
  }

  #update(entry: RoomEntry, reader: Reader, member_meta: Json): Promise<void> {
    if (!entry.wish.presence || entry.wish.observer) {
      const why = "only a subscription with presence: true and without observer is a member";
      return Promise.reject(new TypeError(`room ${entry.room}: ${why}`));
    }
    if (!entry.readers.has(reader)) return Promise.reject(ended());
    if (entry.updates.length >= UPDATES_MAX) {
      const detail = `${UPDATES_MAX} changes of metadata wait for room ${entry.room}`;
      return Promise.reject(new ArqonError("too-many-pending", detail));
    }
    const update = {
      ...Promise.withResolvers<void>(),
      number: ++this.#update_number,
      meta: encodeMeta(member_meta),
    };
    entry.updates.push(update);
    if (entry.active && this.#session !== undefined) this.#send(entry, this.#session, 0);
    return update.promise;
  }

  /** Sends SUB, with the newest metadata of those that wait. */
  #send(entry: RoomEntry, session: Session, attempt: number): void {
    const request_id = this.#options.nextId();
    const updates = entry.updates.splice(0);
    const member_meta = updates.at(-1)?.meta ?? entry.meta;
    const { room: room_id, wish } = entry;
    const frame = encodeSub({ room_id, request_id, ...wish, batch: true, member_meta });
    const current = () => this.#session === session && this.#rooms.get(entry.room) === entry;
    session.ask(request_id, frame, {
      resolve: (ack) => {
        if (!current()) return updates.forEach((update) => update.reject(ended()));
        entry.meta = member_meta;
        this.#accepted(entry, ack, updates);
        if (entry.updates.length > 0 && current()) this.#send(entry, session, 0);
      },
      reject: (error) => {
        if (!current()) return updates.forEach((update) => update.reject(ended()));
        const delay_ms = this.#refused(entry, error, updates, attempt);
        if (delay_ms === undefined) return;
        entry.retry = setTimeout(() => {
          if (current()) this.#send(entry, session, attempt + 1);
        }, delay_ms);
      },
    });
  }

  #accepted(entry: RoomEntry, ack: Ack, updates: readonly MetaUpdate[]): void {
    entry.heard = true;
    entry.active = true;
    for (const update of updates) update.resolve();
    this.#tryPresence(entry, (table) => table.begin(ack.result));
  }

  /** In how many ms to send the SUB again; undefined: not at all, or not on this session. */
  #refused(
    entry: RoomEntry,
    error: ArqonError,
    updates: readonly MetaUpdate[],
    attempt: number,
  ): number | undefined {
    const lost = error.reason === "connection-lost";
    if (entry.active && !lost) {
      // The subscription stands as it was: only the new metadata was refused.
      for (const update of updates) update.reject(error);
      return undefined;
    }
    entry.updates = [...entry.updates, ...updates].sort((a, b) => a.number - b.number);
    if (lost) return undefined;
    if (ERRORS[error.reason].client === "never-retry") {
      this.#fail(entry, error);
      return undefined;
    }
    const { backoff, random } = this.#options;
    return error.retry_after_ms + backoffDelay(attempt, backoff, random);
  }

  #hearPresence(entry: RoomEntry, { type, data }: PlainEvent): void {
    this.#tryPresence(entry, (table) => {
      if (type === "PRESENCE_LEAVE") table.leave(data);
      else table.update(data);
    });
  }

  /** A list that cannot be read would be wrong from here on: the subscription ends. */
  #tryPresence(entry: RoomEntry, change: (table: MemberTable) => void): void {
    try {
      if (entry.table !== undefined) change(entry.table);
    } catch (error) {
      const told = error instanceof ArqonError
        ? error
        : new ArqonError("malformed-frame", `from the server: ${error}`);
      this.#unsubscribe(entry);
      return this.#fail(entry, told);
    }
    this.#settle(entry);
  }

  /** Tells the loops when the subscription stands, with the whole list of members if there is one. */
  #settle(entry: RoomEntry): void {
    if (!entry.active || entry.table?.complete === false) return;
    for (const reader of entry.readers) reader.ready.resolve();
  }

  #fail(entry: RoomEntry, error: ArqonError | undefined): void {
    this.#rooms.delete(entry.room);
    clearTimeout(entry.retry);
    for (const update of entry.updates.splice(0)) update.reject(error ?? ended());
    for (const reader of [...entry.readers]) {
      entry.readers.delete(reader);
      if (error !== undefined) reader.ready.reject(error);
      reader.presence?.end(error);
      reader.buffer.end(error);
    }
  }
}
