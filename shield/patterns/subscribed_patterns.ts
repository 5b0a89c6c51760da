/**
 * The patterns that one connection receives, and the rooms that it receives by them: one copy of each message, even if
 * several match. A subscription to the room itself takes precedence, then the longest pattern. `subscribe_pattern.ts`
 * has SUB and UNSUB; `pattern_rooms.ts` decides when a room is entered.
 */
import { ArqonError, matchesRoomPattern } from "@arqon/proto";
import { inPieces } from "../../shared/turns/slices.ts";
import { canActInAll, notGranted } from "../auth/authorize.ts";
import type { LeaveWhy, SubscribeContext } from "../connection/subscribe.ts";
import { type Channel, ROOMS_A_PIECE, type Subscriber } from "../fanout/channel.ts";
import type { DeltaWish } from "../fanout/deltas.ts";
import type { LivingConnection } from "../fanout/delivery_notes.ts";
import type { Filter } from "../fanout/filters.ts";
import type { Flow } from "../fanout/entry.ts";
import { type Frame, frameBytes } from "../fanout/frame_bytes.ts";
import type { ConnectionPatterns } from "../fanout/patterns.ts";
import { type Recipient, RoomSubscriber, type Wish } from "../fanout/room_subscriber.ts";
import type { Caller } from "../message/caller.ts";
import { followed } from "../message/gates.ts";
import { bump } from "../stats/stats.ts";
import { isOnlyNamed } from "./pattern_index.ts";
import { gapFrame, type PatternListener, type PatternRooms } from "./pattern_rooms.ts";
import type { Identity } from "../auth/identity.ts";
import type { RoomMessage } from "../fanout/backlog.ts";

/** The most remembered rooms that policies have refused; beyond that, rooms are judged again. */
const REFUSED_MAX = 4_096;
/** The most rooms that a connection may be kicked from; beyond that its patterns end. */
const PUT_OUT_MAX = 1_024;

/** What the patterns of a connection need. */
type PatternContext = Pick<
  SubscribeContext,
  "path" | "hub" | "overseer" | "stats" | "filters" | "ledger" | "marks"
>;

type Receiver = Recipient & LivingConnection & {
  readonly caller: Caller;
  send(frame: Frame): void;
  /** Answers a refusal that belongs to no request. */
  fail(error: unknown): void;
};

/** Whether the subscriber receives a room with the options of its pattern. */
function isAsked(subscriber: Subscriber, { no_echo, filter, deltas }: Wish): boolean {
  const { deltas: present } = subscriber;
  return subscriber.no_echo === no_echo && subscriber.filter === filter &&
    present?.kept === deltas?.kept && present?.vcdiff === deltas?.vcdiff;
}

interface SubscribedPattern extends PatternListener {
  no_echo: boolean;
  filter: Filter | undefined;
  deltas: DeltaWish | undefined;
  /** Settles once its SUB is answered: messages of rooms entered earlier wait for it. Undefined: answered. */
  answering: Promise<void> | undefined;
}

/** A room that is received by a pattern. */
interface CoveredRoom {
  pattern: SubscribedPattern;
  subscriber: Subscriber;
}

/** The patterns of one connection; made with its first one. */
export class SubscribedPatterns implements ConnectionPatterns {
  readonly #context: PatternContext;
  readonly #hub_patterns: PatternRooms;
  readonly #connection: Receiver;
  readonly #patterns = new Map<string, SubscribedPattern>();
  readonly #rooms = new Map<string, CoveredRoom>();
  /** Rooms that policies have refused, and rooms that the connection was kicked from. */
  readonly #refused = new Set<string>();
  readonly #put_out = new Set<string>();
  /** Rooms that will be entered at a position: until then none of their messages is received. */
  readonly #awaited = new Set<string>();

  constructor(context: PatternContext, hub_patterns: PatternRooms, connection: Receiver) {
    this.#context = context;
    this.#hub_patterns = hub_patterns;
    this.#connection = connection;
  }

  get rooms(): ReadonlyMap<string, CoveredRoom> {
    return this.#rooms;
  }

  get size(): number {
    return this.#patterns.size;
  }

  get text(): boolean {
    return this.#connection.text;
  }

  get patterns(): Iterable<SubscribedPattern> {
    return this.#patterns.values();
  }

  has(pattern: string): boolean {
    return this.#patterns.has(pattern);
  }

  covers(room_id: string): boolean {
    return !this.#put_out.has(room_id) && this.#longest(room_id) !== undefined;
  }

  subscriber(room_id: string): Subscriber | undefined {
    return this.#rooms.get(room_id)?.subscriber;
  }

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
    { no_echo, filter, deltas }: Wish,
    awaited: Iterable<string> = [],
    answered?: Promise<void>,
  ): Promise<void> | undefined {
    const { filters } = this.#context;
    const { tenant_id } = this.#connection.identity;
    const matching = (room_id: string) => matchesRoomPattern(pattern, room_id);
    for (const kept of [this.#refused, this.#put_out]) {
      for (const room_id of [...kept].filter(matching)) kept.delete(room_id);
    }
    const before = this.#patterns.get(pattern);
    if (filter !== undefined) filters.requireRoom(tenant_id, pattern, filter, before?.filter);
    for (const room_id of awaited) {
      this.#awaited.add(room_id);
      this.#part(room_id, "resubscribed");
    }
    if (before === undefined) {
      const options = { no_echo, filter, deltas };
      const added: SubscribedPattern = { owner: this, pattern, ...options, answering: answered };
      this.#patterns.set(pattern, added);
      try {
        const entering = this.#hub_patterns.add(tenant_id, added);
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
  *leaving(patterns: Iterable<string>, why: LeaveWhy): Iterable<void> {
    const { filters } = this.#context;
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
      this.#hub_patterns.delete(tenant_id, one);
      yield;
    }
  }

  *endingNotGranted(): Iterable<void> {
    const { identity } = this.#connection;
    const left: string[] = [];
    for (const pattern of [...this.#patterns.keys()]) {
      yield;
      if (canActInAll(identity, "subscribe", pattern)) continue;
      left.push(pattern);
      this.#connection.fail(notGranted("subscribe", pattern));
    }
    yield* this.leaving(left, "not-granted");
  }

  *ending(): Iterable<void> {
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

  yieldTo(room_id: string): void {
    this.#part(room_id, "resubscribed");
  }

  takeOver(room_id: string, flow: Flow | undefined): void {
    const channel = this.#context.hub.find(this.#connection.identity.tenant_id, room_id);
    const pattern = this.#longest(room_id);
    if (channel !== undefined && pattern !== undefined) this.enter(pattern, channel, flow);
  }

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
    const { path } = this.#context;
    const { tenant_id } = this.#connection.identity;
    const room_class = path.classes.of(tenant_id, room_id);
    if (held.has_lost) {
      const { text } = this.#connection;
      this.#connection.send(gapFrame(path, text, { tenant_id, room_id }, "slow-consumer"));
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
    const begun = { flow, filter: pattern.filter, began };
    const mark = this.#context.marks?.began(this.#connection, room_id, begun);
    const subscriber = new RoomSubscriber(this.#connection, pattern, flow, mark);
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
    yield* this.#hub_patterns.revisit(this.#connection.identity.tenant_id, pattern);
  }

  #renewRoom(room_id: string, { pattern, subscriber: before }: CoveredRoom): void {
    if (before instanceof HeldSubscriber) before.ask(pattern);
    else this.#join(pattern, room_id, before.flow);
  }

  /** Replaces the room's current subscriber, if it has one. */
  #put(room_id: string, pattern: SubscribedPattern, subscriber: Subscriber): void {
    const { hub, marks } = this.#context;
    const { tenant_id } = this.#connection.identity;
    const before = this.#rooms.get(room_id)?.subscriber;
    if (before !== undefined) marks?.left(this.#connection, room_id, before.mark, "resubscribed");
    this.#rooms.set(room_id, { pattern, subscriber });
    hub.subscribe(tenant_id, room_id, subscriber);
    if (before !== undefined) hub.unsubscribe(tenant_id, room_id, before);
    else this.#hub_patterns.joined(tenant_id, room_id);
  }

  #part(room_id: string, why: LeaveWhy): void {
    const room = this.#rooms.get(room_id);
    if (room === undefined) return;
    const { hub, marks } = this.#context;
    const { tenant_id } = this.#connection.identity;
    marks?.left(this.#connection, room_id, room.subscriber.mark, why);
    this.#rooms.delete(room_id);
    this.#hub_patterns.parted(tenant_id, room_id);
    hub.unsubscribe(tenant_id, room_id, room.subscriber);
  }
}

// A subscriber of a room while policies judge whether it may receive it: messages wait meanwhile, within a limit.

/** The most frames that wait for one verdict; beyond that all are lost, which is reported. */
const HELD_FRAMES = 1_024;
const HELD_BYTES = 262_144;

type HeldWish = Required<Pick<Subscriber, "no_echo" | "filter">>;

/** A place in the ledger, and its time there, Unix ms. */
interface Began {
  readonly since: number;
  readonly since_ms: number;
}

/** The subscriber of a connection whose admission policies still judge. */
class HeldSubscriber implements Subscriber {
  readonly connection_id: string;
  readonly text: boolean;
  no_echo: boolean;
  filter: Filter | undefined;
  readonly number: number;
  /** The ledger's position from which messages are queued, and its time in Unix ms; undefined: none are queued. */
  began: Began | undefined;
  readonly #connection: Pick<Recipient, "identity">;
  readonly #place: () => Began;
  /** Whether messages were lost because too many arrived. */
  has_lost = false;
  #frames: { readonly frame: Frame; readonly message: RoomMessage | undefined }[] = [];
  #bytes = 0;

  /** `place` is the ledger's position of the message being sent. */
  constructor(
    connection: Pick<Recipient, "id" | "text" | "identity" | "number">,
    wish: HeldWish,
    place: () => Began,
  ) {
    this.number = connection.number;
    this.#place = place;
    this.connection_id = connection.id;
    this.text = connection.text;
    this.no_echo = wish.no_echo;
    this.filter = wish.filter;
    this.#connection = connection;
    this.began = place();
  }

  get identity(): Identity {
    return this.#connection.identity;
  }

  /** Changes the options from now on. */
  ask({ no_echo, filter }: HeldWish): void {
    this.no_echo = no_echo;
    this.filter = filter;
  }

  send(frame: Frame, message?: RoomMessage): void {
    this.#bytes += frameBytes(frame);
    if (this.#frames.length < HELD_FRAMES && this.#bytes <= HELD_BYTES) {
      this.began ??= this.#place();
      this.#frames.push({ frame, message });
      return;
    }
    this.has_lost = true;
    this.began = undefined;
    this.#frames = [];
    this.#bytes = 0;
  }

  /** Delivers the queue; `pattern` is the pattern of the room's class, for the counts. */
  release(to: Subscriber, pattern: string): void {
    for (const { frame, message } of this.#frames) {
      to.use?.caughtUp(pattern, frameBytes(frame));
      to.send(frame, message);
    }
    this.#frames = [];
  }
}
