/** Which rooms this client receives: one SUB a room, sent again after each reconnect. */
import { ArqonError, encodeSub, encodeUnsub, ruleOf } from "@arqon/proto";
import type { Ack, PlainEnvelope, Uint64 } from "@arqon/proto";
import { Message } from "../message/message.ts";
import { type Position, readAnswer } from "../durable/position.ts";
import type { CommandRoom, JsonInput } from "../request/room_request.ts";
import { addUpdate, assertAgreed, assertMember, cancelRetries, crossOver } from "./room_entry.ts";
import { ended, endReaders, isDue, isMetaDue, isPresence, isUnplaced } from "./room_entry.ts";
import { Move, newEntry, newLoop, subTermsOf, tellGap, tellReady } from "./room_entry.ts";
import type { Mend, RoomEntry } from "./room_entry.ts";
import type { Session } from "../connection/session.ts";
import { backoffDelay } from "../time/clock.ts";
import { encodeMeta, type SubscriptionsOptions } from "./subscription.ts";
import type { Beginning, Reader, SubscribeOptions, Subscription } from "./subscription.ts";
import { asArqonError, malformed, textOf } from "../wire/wire_error.ts";

/** Whether a room is beside another one (what grows there, its members, its values): no pattern matches it. */
const isCompanion = (room: string) => /~(growing|members|values)$/.test(room);

/**
 * All rooms that one connection receives. `attach` and `detach` bracket a session; loops wait in between. For a move,
 * `begin`, `cross` and `settle` replace them.
 */
export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #rooms = new Map<string, RoomEntry>();
  /** The patterns: ids that end in `*`. */
  readonly #patterns = new Set<RoomEntry>();
  #session: Session | undefined;
  #next: Session | undefined;
  #moved: (() => void) | undefined;
  #update_number = 0;
  #mend: Mend | undefined;

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
  }

  /** Throws TypeError for options that contradict each other or another loop's on this room. */
  subscribe(stored: CommandRoom, options: SubscribeOptions): Subscription {
    const { id: room } = stored;
    const terms = subTermsOf(room, options);
    const { begin, member_meta, position } = options;
    const meta = member_meta === undefined ? new Uint8Array() : encodeMeta(member_meta);
    const known = this.#rooms.get(room);
    if (known) assertAgreed(known, terms, meta, begin ?? position);
    const entry = known ?? newEntry(room, terms, meta, position);
    if (begin) void this.#replay(entry, begin, stored);
    const loop = newLoop(
      entry,
      options,
      this.#options.now,
      (reader) => this.#left(entry, reader),
      (reader, changed) => this.#update(entry, reader, changed),
    );
    tellReady(entry);
    if (!known) {
      this.#rooms.set(room, entry);
      entry.repair = this.#mend?.(entry, this.#options);
      if (room.endsWith("*")) {
        this.#patterns.add(entry);
        entry.positions = this.#options.newPositions?.();
      }
      if (this.#session) this.#send(entry, this.#session, 0);
      if (this.#next) this.#move(entry, this.#next);
    }
    return loop;
  }

  /** From now on the loops get each change of a room's state once and in order. Returns the repair of a room. */
  mend(mend: Mend): (room: string) => RoomEntry["repair"] {
    if (!this.#mend) {
      this.#mend = mend;
      for (const entry of this.#rooms.values()) entry.repair = mend(entry, this.#options);
    }
    return (room) => this.#rooms.get(room)?.repair;
  }

  /** Subscribes to every room again, with a GAP where messages may be missing. */
  attach(session: Session): void {
    this.#session = session;
    for (const entry of [...this.#rooms.values()]) {
      // Missed changes of its state are requested after the ACK: before it, more of them may be missed.
      if (isUnplaced(entry)) tellGap(entry, "reconnect", this.#options.now());
      this.#send(entry, session, 0);
    }
  }

  detach(): void {
    this.#session = undefined;
    this.#next = undefined;
    for (const entry of this.#rooms.values()) {
      entry.active = false;
      entry.move = undefined;
      entry.table?.lost();
      cancelRetries(entry);
    }
  }

  /** Subscribes on the next session, too. Resolves when all SUBs are answered; `cross` or `abandon` must follow. */
  begin(next: Session): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#next = next;
    this.#moved = resolve;
    for (const entry of [...this.#rooms.values()]) this.#move(entry, next);
    this.#tellMoved();
    return promise;
  }

  /** Abandons the next session: everything is as before `begin`. */
  abandon(): void {
    this.#next = undefined;
    for (const entry of this.#rooms.values()) {
      entry.move = undefined;
      // Its list may be from the next session, and later changes were missed.
      if (entry.table && this.#session) this.#send(entry, this.#session, 0);
    }
  }

  /** From now on only the next session counts. `lossless`: the old one has delivered everything first. */
  cross(lossless: boolean): void {
    const next = this.#next;
    if (!next) return;
    [this.#session, this.#next] = [next, undefined];
    for (const entry of [...this.#rooms.values()]) {
      const [held, gap] = crossOver(entry, lossless);
      if (gap !== undefined) this.#gap(entry, gap);
      if (entry.active) this.#resume(entry, entry.move?.answer);
      for (const envelope of held) this.#receive(entry, envelope, next);
      this.#complete(entry, next);
    }
  }

  /** The present session has delivered everything that the old one did: ends the overlap. */
  settle(): void {
    if (this.#next) return;
    for (const entry of this.#rooms.values()) entry.move = undefined;
  }

  /** Delivers a message from one of the sessions. */
  deliver(envelope: PlainEnvelope, session: Session): void {
    const { room_id } = envelope;
    const own = this.#rooms.get(room_id);
    if (own) this.#offer(own, envelope, session);
    if (isCompanion(room_id)) return;
    // A GAP may name a pattern itself.
    for (const entry of this.#patterns) {
      const is_match = entry !== own && room_id.startsWith(entry.room.slice(0, -1));
      if (is_match) this.#offer(entry, envelope, session);
    }
  }

  #offer(entry: RoomEntry, envelope: PlainEnvelope, session: Session): void {
    const is_next = session === this.#next;
    if (!is_next && session !== this.#session) return;
    if (!isDue(entry, envelope, is_next, this.#next !== undefined)) return;
    this.#receive(entry, envelope, session);
  }

  #receive(entry: RoomEntry, envelope: PlainEnvelope, session: Session): void {
    const { place } = entry;
    const { event, offset, room_id, signal } = envelope;
    // Services may publish events and signals of these kinds, too; only the bus itself has an empty sender.
    const from_bus = envelope.sender_id === "";
    if (from_bus && isPresence(event) && entry.table) {
      const hear = event.type === "PRESENCE_LEAVE" ? "leave" : "update";
      return this.#orFail(entry, () => entry.table?.[hear](event.data));
    }
    // A pattern has neither a state nor a position: each room has its own.
    const is_own = entry.room === room_id;
    if (is_own && from_bus && entry.repair?.hear(envelope)) return;
    const is_gap = from_bus && !offset && signal?.kind === "GAP";
    if (is_gap && !place.gap(session, signal.reason)) return;
    if (offset && !(place.follows(session) && (!is_own || place.deliver(offset)))) return;
    const message = new Message(envelope, offset ? place.epoch : "");
    for (const reader of entry.readers) reader.buffer.push(message);
    entry.positions?.note(message);
    if (is_gap) this.#complete(entry, session);
    const put_out = signal?.kind === "DISCONNECT" || signal?.kind === "BAN";
    if (put_out && from_bus && signal.target === entry.room) this.#fail(entry, undefined);
  }

  /** Delivers stored messages to the loops; then a SUB from that position continues. */
  async #replay(entry: RoomEntry, begin: Beginning, stored: CommandRoom): Promise<void> {
    try {
      await begin(entry, stored, this.#options.now());
      for (const session of [this.#session, this.#next]) this.#complete(entry, session);
    } catch (error) {
      if (!entry.over.signal.aborted) this.#fail(entry, asArqonError(error), true);
    }
  }

  /** Records that a publish of this client was stored at this offset; 0 if the room is not durable. */
  published(room: string, offset: Uint64 | undefined): void {
    this.#rooms.get(room)?.place.published(offset);
  }

  /** Handles the end of a subscription, or of its presence, by the Shield: a new token does not grant it. */
  revoked(room: string, error: ArqonError, only_presence: boolean): void {
    const entry = this.#rooms.get(room);
    if (!entry || (only_presence && !entry.table)) return;
    this.#fail(entry, error, only_presence);
  }

  /** Ends all loops: normally without `error`, otherwise by throwing it. */
  close(error: ArqonError | undefined): void {
    this.detach();
    for (const entry of [...this.#rooms.values()]) this.#fail(entry, error);
  }

  #left(entry: RoomEntry, reader: Reader): void {
    reader.ready.reject(ended());
    reader.presence?.end();
    const is_last = entry.readers.delete(reader) && entry.readers.size === 0;
    // An unanswered SUB is earlier in the connection's FIFO, so the UNSUB ends it, too.
    if (is_last && this.#isOpen(entry)) this.#fail(entry, undefined, true);
  }

  /** Whether no later loop has replaced the room, or ended it. */
  #isOpen(entry: RoomEntry): boolean {
    return this.#rooms.get(entry.room) === entry;
  }

  #unsubscribe({ room }: RoomEntry): void {
    for (const session of [this.#session, this.#next]) {
      const frame = { room_id: room, request_id: this.#options.nextId() };
      // A room that was left already, or a session that ends, needs no UNSUB.
      session?.request(frame.request_id, encodeUnsub(frame)).catch(() => {});
    }
  }

  #move(entry: RoomEntry, next: Session): void {
    entry.move = new Move();
    this.#send(entry, next, 0);
  }

  #tellMoved(): void {
    for (const { move } of this.#rooms.values()) if (move && !move.accepted) return;
    this.#moved?.();
    this.#moved = undefined;
  }

  async #update(entry: RoomEntry, reader: Reader, member_meta: JsonInput): Promise<void> {
    assertMember(entry.room, entry.terms, "update");
    if (!entry.readers.has(reader)) throw ended();
    const promise = addUpdate(entry, ++this.#update_number, encodeMeta(member_meta));
    if (entry.active && this.#session) this.#send(entry, this.#session, 0);
    await promise;
  }

  /** Sends a SUB with the newest queued metadata, and the position if there is one. */
  #send(entry: RoomEntry, session: Session, attempt: number): void {
    const request_id = this.#options.nextId();
    const is_next = () => session === this.#next;
    const updates = is_next() ? [] : entry.updates.splice(0);
    const member_meta = updates.at(-1)?.meta ?? entry.meta;
    const { room: room_id, terms, place } = entry;
    const position = place.asked(session);
    const asked = entry.positions?.ask(place.follows(session), this.#rooms, session.welcome);
    const frame = encodeSub({
      room_id,
      request_id,
      ...terms,
      batch: true,
      member_meta,
      after_offset: position?.offset,
      epoch: position?.epoch,
      positions: asked?.positions,
    });
    const current = () => (this.#session === session || is_next()) && this.#isOpen(entry);
    session.ask(request_id, frame, {
      resolve: (ack) => {
        if (!current()) return updates.forEach((update) => update.reject(ended()));
        if (is_next() && entry.move) entry.move.accepted = member_meta;
        else {
          if (updates.length > 0) entry.meta = member_meta;
          if (entry.standing && !entry.active) entry.repair?.renew();
          entry.standing = member_meta;
          entry.active = true;
        }
        for (const update of updates) update.resolve();
        this.#accepted(entry, ack, position, session);
        this.#complete(entry, session);
      },
      reject: (error) => {
        if (!current()) return updates.forEach((update) => update.reject(ended()));
        if (asked?.isTooMany(error.reason)) return this.#send(entry, session, attempt);
        const stands = place.reading ? entry.active && !is_next() : place.follows(session);
        const lost = error.reason === "connection-lost";
        const never = ruleOf(error.reason).client === "never-retry";
        // The room is no longer durable: it continues as any other.
        const demoted = error.reason === "not-durable" && place.position !== undefined;
        // The subscription is unchanged: only the new metadata, or the position, was refused.
        const as_before = stands && !lost && !demoted;
        // This Shield still needs the position, or metadata that another Shield accepted.
        const unplaced = place.asked(session) !== undefined;
        if (demoted) place.forget();
        if (demoted && !stands) this.#gap(entry, "reconnect");
        if (as_before) updates.forEach((update) => update.reject(error));
        else entry.updates = [...entry.updates, ...updates].sort((a, b) => a.number - b.number);
        if (as_before ? never || !(unplaced || isMetaDue(entry)) : !demoted && (lost || never)) {
          // A SUB lost with its session is sent on the next one.
          if (!as_before && !lost) this.#fail(entry, error, entry.active || is_next());
          return;
        }
        const { backoff, random } = this.#options;
        const wait_ms = error.retry_after_ms + backoffDelay(attempt, backoff, random);
        const again = () => current() && this.#send(entry, session, attempt + 1);
        clearTimeout(entry.retries.get(session));
        entry.retries.set(session, setTimeout(again, demoted ? 0 : wait_ms));
      },
    });
  }

  /** Sends a session's Shield the missing position or newer metadata. */
  #complete(entry: RoomEntry, session: Session | undefined): void {
    const is_present = session === this.#session;
    const stands = is_present ? entry.active : entry.move?.accepted;
    if (!session || !stands || !this.#isOpen(entry)) return;
    const due = entry.place.asked(session) || (is_present && isMetaDue(entry));
    if (due) this.#send(entry, session, 0);
  }

  #accepted(entry: RoomEntry, ack: Ack, asked: Position | undefined, session: Session): void {
    this.#orFail(entry, () => {
      const answer = readAnswer(ack);
      const { move, place, positions } = entry;
      const is_next = session === this.#next;
      // Until a move ends, the messages of the old session count.
      if (is_next && move) move.answer = answer;
      else this.#resume(entry, answer);
      // A pattern has no position of its own.
      const missing = place.accepted(session, asked, ack, positions ? undefined : answer);
      if (missing !== undefined) this.#gap(entry, missing);
      // During a move an answer on the old session may arrive after the next session's, and be stale.
      const is_late = !is_next && this.#next && move?.accepted;
      if (!is_late) entry.table?.begin(answer, session);
    });
    this.#tellMoved();
  }

  /** Notifies a pattern's loops of the rooms that do not continue from their positions. */
  #resume({ positions, readers }: RoomEntry, answer: unknown): void {
    for (const { room, reason } of positions?.answered(answer) ?? []) {
      tellGap({ room, readers }, reason, this.#options.now());
    }
  }

  #gap(entry: RoomEntry, reason: string): void {
    entry.repair?.doubt();
    tellGap(entry, reason, this.#options.now());
  }

  /** Runs `change`; if it throws, the subscription ends, because list or position would be wrong. */
  #orFail(entry: RoomEntry, change: () => void): void {
    try {
      change();
    } catch (error) {
      const failure = error instanceof ArqonError ? error : malformed(textOf(error));
      return this.#fail(entry, failure, true);
    }
    tellReady(entry);
  }

  #fail(entry: RoomEntry, error: ArqonError | undefined, stands_elsewhere = false): void {
    if (stands_elsewhere) this.#unsubscribe(entry);
    this.#rooms.delete(entry.room);
    this.#patterns.delete(entry);
    endReaders(entry, error);
    this.#tellMoved();
  }
}
