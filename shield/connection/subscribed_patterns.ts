/**
 * The patterns that one connection receives, and the rooms that it receives by them: one copy of each message, even if
 * several match. A subscription to the room itself takes precedence, then the longest pattern. `subscribe_pattern.ts`
 * has SUB and UNSUB; `fanout/pattern_rooms.ts` decides when a room is entered.
 */
import { isOnlyNamed } from "../fanout/pattern_index.ts";
import { ArqonError, matchesRoomPattern } from "@arqon/proto";
import type { Channel, Hub, Subscriber } from "../fanout/hub.ts";
import type { DeliveryNotes, LivingConnection } from "../fanout/delivery_notes.ts";
import type { Filters } from "../fanout/filters.ts";
import type { Flow } from "../fanout/flow.ts";
import { RoomSubscriber } from "../fanout/room_subscriber.ts";
import type { Recipient } from "../fanout/room_subscriber.ts";
import { gapFrame, HeldSubscriber } from "../fanout/held_subscriber.ts";
import type { Frame } from "../fanout/frame_bytes.ts";
import type { Caller } from "../message/caller.ts";
import { followed } from "../message/gates.ts";
import type { Policies } from "../message/gates.ts";
import type { MessagePath } from "../message/pipeline.ts";
import { bump } from "../stats/stats.ts";
import type { ShieldStats } from "../stats/stats.ts";
import { inPieces } from "../../shared/turns/slices.ts";
import { isAsked, SubscribedPattern } from "./subscribed_pattern.ts";
import type { PatternWish } from "./subscribed_pattern.ts";
import { markOf, noteLeft } from "./subscription_marks.ts";
import type { LeaveWhy } from "./subscription_marks.ts";

/** The most remembered rooms that policies have refused; beyond that, rooms are judged again. */
const REFUSED_MAX = 4_096;
/** The most rooms that a connection may be kicked from; beyond that its patterns end. */
const PUT_OUT_MAX = 1_024;

/** Rooms entered or left in one slice: at most half a millisecond. */
export const ROOMS_A_PIECE = 64;

/** What the patterns of a connection need. */
export interface PatternContext {
  readonly path: Pick<MessagePath, "now" | "random" | "classes" | "bans" | "journal">;
  readonly hub: Hub;
  readonly overseer: Pick<Policies, "onSubscribe">;
  readonly stats: Pick<ShieldStats, "rejects">;
  readonly filters: Filters;
  /** Records subscriptions; absent: not recorded. */
  readonly ledger?: DeliveryNotes | undefined;
}

/** The connection of the patterns. */
type Receiver = Recipient & LivingConnection & {
  readonly caller: Caller;
  send(frame: Frame): void;
  /** Answers a refusal that belongs to no request. */
  fail(error: unknown): void;
};

/** A room that is received by a pattern. */
interface CoveredRoom {
  pattern: SubscribedPattern;
  subscriber: Subscriber;
}

/** The patterns of one connection; made with its first one. */
export class SubscribedPatterns {
  readonly #context: PatternContext;
  readonly #connection: Receiver;
  readonly #patterns = new Map<string, SubscribedPattern>();
  readonly #rooms = new Map<string, CoveredRoom>();
  /** Rooms that policies have refused, and rooms that the connection was kicked from. */
  readonly #refused = new Set<string>();
  readonly #put_out = new Set<string>();
  /** Rooms that will be entered at a position: until then none of their messages is received. */
  readonly #awaited = new Set<string>();

  constructor(context: PatternContext, connection: Receiver) {
    this.#context = context;
    this.#connection = connection;
  }

  /** The rooms that are received by patterns now. */
  get rooms(): ReadonlyMap<string, { readonly subscriber: Subscriber }> {
    return this.#rooms;
  }

  get size(): number {
    return this.#patterns.size;
  }

  /** The patterns, in the order of subscription. */
  get patterns(): Iterable<SubscribedPattern> {
    return this.#patterns.values();
  }

  has(pattern: string): boolean {
    return this.#patterns.has(pattern);
  }

  /** Whether a pattern matches the room, and the connection was not kicked from it. */
  covers(room_id: string): boolean {
    return !this.#put_out.has(room_id) && this.#longest(room_id) !== undefined;
  }

  /** The subscriber by which the room is received; undefined: no pattern receives it, or none has yet. */
  subscriber(room_id: string): Subscriber | undefined {
    return this.#rooms.get(room_id)?.subscriber;
  }

  /** Whether the connection requested no echo in some room. */
  get has_no_echo(): boolean {
    for (const { no_echo } of this.#patterns.values()) if (no_echo) return true;
    return false;
  }

  /**
   * Subscribes to a pattern, or changes its options; with a promise, fully once that resolves. Policies judge refused
   * rooms again. Throws as `PatternRooms.add` does, and `too-many-filters`. Nothing is received of the `awaited` rooms
   * until `enterAt` or `awaitNone`, and messages of new rooms wait until `answered`.
   */
  add(
    pattern: string,
    wish: PatternWish,
    awaited: Iterable<string> = [],
    answered?: Promise<void>,
  ): Promise<void> | undefined {
    const { hub, filters } = this.#context;
    const { identity, text } = this.#connection;
    const matching = (room_id: string) => matchesRoomPattern(pattern, room_id);
    for (const kept of [this.#refused, this.#put_out]) {
      for (const room_id of [...kept].filter(matching)) kept.delete(room_id);
    }
    const before = this.#patterns.get(pattern);
    const { no_echo, filter, deltas } = wish;
    const { tenant_id } = identity;
    if (filter !== undefined) filters.requireRoom(tenant_id, pattern, filter, before?.filter);
    for (const room_id of awaited) {
      this.#awaited.add(room_id);
      this.#part(room_id, "resubscribed");
    }
    if (before === undefined) {
      const added = new SubscribedPattern(this, pattern, text, wish);
      added.answering = answered;
      this.#patterns.set(pattern, added);
      try {
        const entering = hub.patterns.add(tenant_id, added);
        filters.hold(tenant_id, pattern, filter);
        return inPieces(tenant_id, entering, ROOMS_A_PIECE);
      } catch (error) {
        this.#patterns.delete(pattern);
        throw error;
      }
    }
    // A new request for deltas begins with whole messages.
    const is_changed = before.no_echo !== no_echo || before.filter !== filter ||
      before.deltas !== undefined || deltas !== undefined;
    before.answering = answered;
    before.no_echo = no_echo;
    before.deltas = deltas;
    filters.hold(tenant_id, pattern, filter);
    filters.release(tenant_id, pattern, before.filter);
    before.filter = filter;
    return inPieces(tenant_id, this.#revisiting(before, is_changed), ROOMS_A_PIECE);
  }

  /** Ends these patterns; with a promise, fully once that resolves. */
  leave(patterns: Iterable<string>, why: LeaveWhy): Promise<void> | undefined {
    const { tenant_id } = this.#connection.identity;
    return inPieces(tenant_id, this.leaving(patterns, why), ROOMS_A_PIECE);
  }

  /**
   * The steps of `leave`, one per room. No room is entered by these patterns from the first step on; rooms that others
   * match are received by those.
   */
  *leaving(patterns: Iterable<string>, why: LeaveWhy): Generator<void> {
    const { hub, filters } = this.#context;
    const { tenant_id } = this.#connection.identity;
    const left = new Set<SubscribedPattern>();
    for (const pattern of patterns) {
      const one = this.#patterns.get(pattern);
      if (one === undefined) continue;
      left.add(one);
      this.#patterns.delete(pattern);
      filters.release(tenant_id, pattern, one.filter);
    }
    for (const [room_id, room] of this.#rooms) {
      if (!left.has(room.pattern)) continue;
      const next = this.#longest(room_id);
      if (next === undefined) this.#part(room_id, why);
      else {
        room.pattern = next;
        if (!isAsked(room.subscriber, next)) this.#renewRoom(room_id, room);
      }
      yield;
    }
    for (const one of left) {
      hub.patterns.delete(tenant_id, one);
      yield;
    }
  }

  /** The connection has ended, and receives nothing more: the steps in which its rooms are left. */
  *ending(): Generator<void> {
    for (const room_id of this.#rooms.keys()) {
      this.#part(room_id, "closed");
      yield;
    }
    yield* this.leaving([...this.#patterns.keys()], "closed");
  }

  /**
   * Enters a room by a pattern, unless it is refused or received already; with `flow`, at the connection's position in
   * a durable room.
   */
  enter(pattern: SubscribedPattern, channel: Channel, flow?: Flow): void {
    const { room_id } = channel;
    const connection = this.#connection;
    if (connection.ended || connection.subscriptions.has(room_id)) return;
    if (this.#put_out.has(room_id) || this.#refused.has(room_id)) return;
    if (this.#awaited.has(room_id) || this.#patterns.get(pattern.pattern) !== pattern) return;
    const room = this.#rooms.get(room_id);
    if (room !== undefined) {
      if (pattern.pattern.length <= room.pattern.pattern.length) return;
      room.pattern = pattern;
      if (!isAsked(room.subscriber, pattern)) this.#renewRoom(room_id, room);
      return;
    }
    if (!this.#isAllowed(room_id)) return;
    let pending: Promise<void> | undefined;
    try {
      pending = this.#ask(room_id);
    } catch (error) {
      return this.#refuse(room_id, error);
    }
    const { answering } = pattern;
    if (flow === undefined && answering !== undefined) {
      pending = Promise.all([pending, answering]).then(() => {});
    }
    if (pending === undefined) return void this.#join(pattern, room_id, flow);
    const { ledger } = this.#context;
    const place = () => ({ since: ledger?.current ?? 0, since_ms: ledger?.now_ms ?? 0 });
    const held = new HeldSubscriber(connection, pattern, place);
    this.#put(room_id, pattern, held);
    pending.then(
      () => this.#admit(room_id, held),
      (error) => {
        if (this.#rooms.get(room_id)?.subscriber !== held) return;
        this.#part(room_id, "refused");
        this.#refuse(room_id, error);
      },
    );
  }

  /** Whether the room is received from the connection's position in its log. */
  hasPlace(room_id: string): boolean {
    return this.subscriber(room_id)?.flow !== undefined;
  }

  /** Whether policies allow an awaited room. */
  async mayEnter(room_id: string): Promise<boolean> {
    try {
      await this.#ask(room_id);
    } catch (error) {
      this.#refuse(room_id, error);
      return false;
    }
    return this.#isDue(room_id);
  }

  /** Enters the remaining awaited rooms like any other, at their next message. */
  awaitNone(): void {
    this.#awaited.clear();
  }

  /** Its SUB is answered: rooms are entered at once from now on. */
  noteAnswered(pattern: string, answered: Promise<void>): void {
    const one = this.#patterns.get(pattern);
    if (one?.answering === answered) one.answering = undefined;
  }

  /** Enters an awaited room at the connection's position; false: it may no longer be received. */
  enterAt(room_id: string, flow: Flow): boolean {
    const pattern = this.#longest(room_id);
    const is_due = pattern !== undefined && this.#isDue(room_id);
    this.#awaited.delete(room_id);
    if (is_due) this.#join(pattern, room_id, flow);
    return is_due;
  }

  #isDue(room_id: string): boolean {
    if (this.#connection.ended || !this.#awaited.has(room_id)) return false;
    return !this.#put_out.has(room_id) && this.#isAllowed(room_id);
  }

  /** Whether the connection has all messages of the room, so that leaving it loses nothing. */
  mayRelease(room_id: string): boolean {
    const subscriber = this.subscriber(room_id);
    return !(subscriber instanceof HeldSubscriber) && subscriber?.flow?.is_live !== false;
  }

  /** Leaves a room until its next message. */
  release(room_id: string): void {
    this.#part(room_id, "idle");
  }

  /** Leaves a room because of a subscription to the room itself. */
  yieldTo(room_id: string): void {
    this.#part(room_id, "resubscribed");
  }

  /** Takes over a room from the connection's ending subscription to it, at its position. */
  takeOver(channel: Channel, flow: Flow | undefined): void {
    const pattern = this.#longest(channel.room_id);
    if (pattern !== undefined) this.enter(pattern, channel, flow);
  }

  /** Keeps the connection out of a room until a matching pattern is subscribed to again. */
  putOut(room_id: string, why: LeaveWhy): void {
    if (this.#longest(room_id) === undefined) return;
    this.#put_out.add(room_id);
    this.#part(room_id, why);
    if (this.#put_out.size <= PUT_OUT_MAX) return;
    void this.leave([...this.#patterns.keys()], "refused");
    this.#put_out.clear();
    this.#connection.fail(new ArqonError("too-many-rooms", "that the connection was removed from"));
  }

  send(frame: Frame): void {
    this.#connection.send(frame);
  }

  /** The longest pattern of the room; none matches a reserved one, whatever its name. */
  #longest(room_id: string): SubscribedPattern | undefined {
    if (isOnlyNamed(room_id)) return undefined;
    let longest: SubscribedPattern | undefined;
    for (const one of this.#patterns.values()) {
      const is_longer = one.pattern.length > (longest?.pattern.length ?? 0);
      if (is_longer && matchesRoomPattern(one.pattern, room_id)) longest = one;
    }
    return longest;
  }

  #isAllowed(room_id: string): boolean {
    try {
      this.#context.path.bans.requireRoom(this.#connection.identity, room_id);
      return true;
    } catch (error) {
      if (error instanceof ArqonError) return false;
      throw error;
    }
  }

  #ask(room_id: string): Promise<void> | undefined {
    const { path, overseer } = this.#context;
    const { caller } = this.#connection;
    const about = { caller, room_id };
    return followed(path.journal, about, (note) => overseer.onSubscribe(caller, room_id, note));
  }

  #admit(room_id: string, held: HeldSubscriber): void {
    const room = this.#rooms.get(room_id);
    if (room?.subscriber !== held || this.#connection.ended) return;
    if (!this.#isAllowed(room_id)) return this.#part(room_id, "room-ban");
    const { classes } = this.#context.path;
    const { tenant_id } = this.#connection.identity;
    const room_class = classes.of(tenant_id, room_id);
    if (held.has_lost) {
      this.#connection.send(gapFrame(this.#context.path, this.#connection, room_id));
    }
    const subscriber = this.#join(room.pattern, room_id, undefined, held.began);
    held.release(subscriber, room_class.pattern);
  }

  #refuse(room_id: string, error: unknown): void {
    if (!(error instanceof ArqonError)) throw error;
    bump(this.#context.stats.rejects, error.reason);
    const [oldest] = this.#refused;
    if (this.#refused.size >= REFUSED_MAX && oldest !== undefined) this.#refused.delete(oldest);
    this.#refused.add(room_id);
  }

  #join(
    pattern: SubscribedPattern,
    room_id: string,
    flow: Flow | undefined,
    began?: HeldSubscriber["began"],
  ): Subscriber {
    const { filter } = pattern;
    const { identity } = this.#connection;
    const room_class = this.#context.path.classes.of(identity.tenant_id, room_id);
    const mark = markOf(this.#context, this.#connection, { flow, filter, room_class, began });
    const subscriber = new RoomSubscriber(this.#connection, pattern, flow, mark, filter);
    this.#put(room_id, pattern, subscriber);
    return subscriber;
  }

  /** Updates the subscribers of rooms received by a pattern, if it has changed, and enters other rooms. */
  *#revisiting(pattern: SubscribedPattern, is_changed: boolean): Generator<void> {
    for (const [room_id, room] of is_changed ? this.#rooms : []) {
      if (room.pattern !== pattern) continue;
      this.#renewRoom(room_id, room);
      yield;
    }
    yield* this.#context.hub.patterns.revisit(this.#connection.identity.tenant_id, pattern);
  }

  #renewRoom(room_id: string, { pattern, subscriber: before }: CoveredRoom): void {
    if (before instanceof HeldSubscriber) before.ask(pattern);
    else this.#join(pattern, room_id, before.flow);
  }

  /** Replaces the room's current subscriber, if it has one. */
  #put(room_id: string, pattern: SubscribedPattern, subscriber: Subscriber): void {
    const { hub } = this.#context;
    const { tenant_id } = this.#connection.identity;
    const before = this.#rooms.get(room_id)?.subscriber;
    if (before !== undefined) {
      noteLeft(this.#context, this.#connection, room_id, before, "resubscribed");
    }
    this.#rooms.set(room_id, { pattern, subscriber });
    hub.subscribe(tenant_id, room_id, subscriber);
    if (before !== undefined) hub.unsubscribe(tenant_id, room_id, before);
    else hub.patterns.joined(tenant_id, room_id);
  }

  #part(room_id: string, why: LeaveWhy): void {
    const room = this.#rooms.get(room_id);
    if (room === undefined) return;
    const { hub } = this.#context;
    const { tenant_id } = this.#connection.identity;
    noteLeft(this.#context, this.#connection, room_id, room.subscriber, why);
    this.#rooms.delete(room_id);
    hub.patterns.parted(tenant_id, room_id);
    hub.unsubscribe(tenant_id, room_id, room.subscriber);
  }
}
