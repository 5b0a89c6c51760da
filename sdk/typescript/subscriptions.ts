/**
 * Which rooms this client hears: one SUB a room, however many loops read it, sent again after every
 * reconnect and when the member's metadata changes. Knows sessions but no reconnecting.
 */
import { ArqonError, encodeSub, encodeUnsub, ERRORS } from "@arqon/proto";
import type { Ack, PlainEnvelope, PlainEvent, Uint64 } from "@arqon/proto";
import { backoffDelay } from "./backoff.ts";
import type { Backoff } from "./backoff.ts";
import type { Json } from "./json.ts";
import { gapMessage, Message } from "./message.ts";
import { MessageBuffer } from "./message_buffer.ts";
import { readAnswer } from "./position.ts";
import type { Position } from "./position.ts";
import { Presence } from "./presence.ts";
import { newEntry } from "./room_entry.ts";
import type { MetaUpdate, RoomEntry } from "./room_entry.ts";
import type { Session } from "./session.ts";
import { asSubscription, encodeMeta } from "./subscription.ts";
import type { Reader, SubscribeOptions, Subscription } from "./subscription.ts";
import { assertAgreed, wishOf } from "./wish.ts";

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

/** Changes of one room's metadata that may wait for an answer or a connection. */
const UPDATES_MAX = 256;

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
    const meta = member_meta === undefined ? new Uint8Array() : encodeMeta(member_meta);
    const known = this.#rooms.get(room);
    if (known !== undefined) assertAgreed(known, wish, meta, options);
    const entry = known ?? newEntry(room, wish, meta, options.position);
    const reader = this.#reader(entry, options);
    entry.readers.add(reader);
    this.#settle(entry);
    if (known === undefined) {
      this.#rooms.set(room, entry);
      if (this.#session !== undefined) this.#send(entry, this.#session, 0);
    }
    const update = (changed: Json) => this.#update(entry, reader, changed);
    return asSubscription(room, reader, entry.place, update);
  }

  /**
   * A new session is open: subscribes to everything again, and says where messages may be missing. With
   * a position the Shield knows better, and its answer tells.
   */
  attach(session: Session): void {
    this.#session = session;
    for (const entry of [...this.#rooms.values()]) {
      if (entry.heard && entry.place.position === undefined) this.#gap(entry, "reconnect");
      this.#send(entry, session, 0);
    }
  }

  detach(): void {
    this.#session = undefined;
    for (const entry of this.#rooms.values()) {
      entry.active = false;
      entry.lost = false;
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
    if (envelope.offset !== 0) {
      // What comes before the ACK is for a subscription that has ended, and no measure for this one.
      if (!entry.active || !entry.place.deliver(envelope.offset)) return;
    }
    entry.told = false;
    const message = new Message(envelope, envelope.offset === 0 ? "" : entry.place.epoch);
    for (const reader of entry.readers) reader.buffer.push(message);
    if (signal?.kind === "GAP" && from_bus) this.#lost(entry, signal.reason);
    const put_out = signal?.kind === "DISCONNECT" || signal?.kind === "BAN";
    if (put_out && from_bus && signal.target === entry.room) this.#fail(entry, undefined);
  }

  /** A publish of this client was stored at this offset; 0 when the room is not durable. */
  published(room: string, offset: Uint64): void {
    this.#rooms.get(room)?.place.published(offset);
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

  /** Sends SUB, with the newest metadata of those that wait and the position if there is one. */
  #send(entry: RoomEntry, session: Session, attempt: number): void {
    const request_id = this.#options.nextId();
    const updates = entry.updates.splice(0);
    const member_meta = updates.at(-1)?.meta ?? entry.meta;
    const { room: room_id, wish } = entry;
    // Where messages come already a SUB without a position goes on with them.
    const asked = entry.active && !entry.lost ? undefined : entry.place.asked;
    const from = asked === undefined
      ? {}
      : { after_offset: asked.offset, epoch: asked.epoch ?? "" };
    const frame = encodeSub({ room_id, request_id, ...wish, batch: true, member_meta, ...from });
    const current = () => this.#session === session && this.#rooms.get(entry.room) === entry;
    session.ask(request_id, frame, {
      resolve: (ack) => {
        if (!current()) return updates.forEach((update) => update.reject(ended()));
        entry.meta = member_meta;
        this.#accepted(entry, ack, updates, asked);
        if (entry.updates.length > 0 && current()) this.#send(entry, session, 0);
      },
      reject: (error) => {
        if (!current()) return updates.forEach((update) => update.reject(ended()));
        const delay_ms = this.#refused(entry, error, updates, attempt);
        if (delay_ms === undefined) return;
        clearTimeout(entry.retry);
        entry.retry = setTimeout(() => {
          if (current()) this.#send(entry, session, attempt + 1);
        }, delay_ms);
      },
    });
  }

  #accepted(
    entry: RoomEntry,
    ack: Ack,
    updates: readonly MetaUpdate[],
    asked: Position | undefined,
  ): void {
    entry.heard = true;
    entry.active = true;
    if (asked !== undefined) entry.lost = false;
    for (const update of updates) update.resolve();
    this.#orFail(entry, () => {
      const answer = readAnswer(ack);
      const missing = entry.place.accepted(asked, ack, answer);
      if (missing !== undefined && !entry.told) this.#gap(entry, missing);
      entry.table?.begin(answer);
    });
  }

  /** In how many ms to send the SUB again; undefined: not at all, or not on this session. */
  #refused(
    entry: RoomEntry,
    error: ArqonError,
    updates: readonly MetaUpdate[],
    attempt: number,
  ): number | undefined {
    const { backoff, random } = this.#options;
    const delay_ms = error.retry_after_ms + backoffDelay(attempt, backoff, random);
    const lost = error.reason === "connection-lost";
    const never = ERRORS[error.reason].client === "never-retry";
    // The room was durable and is not any more: from here on as any other.
    const demoted = error.reason === "not-durable" && entry.place.position !== undefined;
    if (demoted) {
      if (!entry.active) this.#gap(entry, "reconnect");
      entry.place.forget();
    } else if (entry.active && !lost) {
      // The subscription stands as it was: only the new metadata was refused, or the position.
      for (const update of updates) update.reject(error);
      return entry.lost && !never ? delay_ms : undefined;
    }
    entry.updates = [...entry.updates, ...updates].sort((a, b) => a.number - b.number);
    if (lost) return undefined;
    if (never && !demoted) {
      this.#fail(entry, error);
      return undefined;
    }
    return demoted ? 0 : delay_ms;
  }

  #gap(entry: RoomEntry, reason: string): void {
    const gap = gapMessage(entry.room, reason, this.#options.now());
    for (const reader of entry.readers) reader.buffer.push(gap);
  }

  /** The bus says that messages of a durable room are lost for good: asks where it stands now. */
  #lost(entry: RoomEntry, reason: string): void {
    if (entry.place.position === undefined) return;
    if (reason !== "epoch-changed" && reason !== "history-trimmed") return;
    if (reason === "epoch-changed") entry.place.changed();
    entry.told = true;
    if (!entry.active || entry.lost || this.#session === undefined) return;
    entry.lost = true;
    this.#send(entry, this.#session, 0);
  }

  #hearPresence(entry: RoomEntry, { type, data }: PlainEvent): void {
    this.#orFail(entry, () => {
      if (type === "PRESENCE_LEAVE") entry.table?.leave(data);
      else entry.table?.update(data);
    });
  }

  /** What cannot be read leaves list or position wrong from here on: the subscription ends. */
  #orFail(entry: RoomEntry, change: () => void): void {
    try {
      change();
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
