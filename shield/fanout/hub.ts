/**
 * Fan-out: delivers the messages of rooms to the connections of this process. There is one pair of Spine subscriptions
 * per room, and one encoding per message and form for all receivers. It does not check tokens or grants.
 */
import { DecodeError, type PlainEnvelope } from "@arqon/proto";
import { FewSet } from "../../shared/containers/few_set.ts";
import type { Env } from "../../shared/env.ts";
import type { Counts } from "../../shared/records/counts.ts";
import { ORIGIN_HEADER } from "../../shared/records/caller_headers.ts";
import { countDelivery, type UserUse } from "../../shared/records/user_use.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { offsetOf } from "../../shared/spine/contract/durable_log.ts";
import type { Spine, SpineEvent } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { roomSubject, type Subject } from "../../shared/subjects/subject.ts";
import { inPieces, STRANGERS } from "../../shared/turns/slices.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import { observeDelivery } from "../stats/delivery_latency.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { TenantTable } from "../stats/tenant_stats.ts";
import type { RoomMessage } from "./backlog.ts";
import { copyFor, countSent, Reception, ROOMS_A_PIECE } from "./channel.ts";
import type { Channel, DurableRoom, IsReady, RoomHub, Subscriber } from "./channel.ts";
import { messageKey, SeenMessages } from "./deduplicate.ts";
import type { DeliveryNotes } from "./delivery_notes.ts";
import type { Deltas } from "./deltas.ts";
import type { Entry, EntryPoint, Position } from "./entry.ts";
import type { Filters, SentJudge } from "./filters.ts";
import { type Frame, frameBytes } from "./frame_bytes.ts";
import type { HubPatterns, PatternHub } from "./patterns.ts";
import { droppable, frameOf, gapEnvelope, isOwnEvent, readForeign } from "./room_message.ts";
import type { Outgoing } from "./room_message.ts";
import { CHANGES_KEPT_MS } from "../../shared/records/room_update.ts";

export type { Channel, Subscriber } from "./channel.ts";

/** What fan-out needs from the process. `deduplication_entries` is for each tenant. */
export interface HubOptions extends Pick<Env, "now" | "random"> {
  spine: Pick<Spine, "subscribe" | "onEvent">;
  stats: ShieldStats;
  tenants: Pick<TenantTable, "of">;
  /** Monotonic milliseconds; `performance.now` if absent. */
  monotonic?: () => number;
  deduplication_entries: number;
  /** The durable rooms; absent: no room is durable, and all have echo. */
  durable?: DurableRooms | undefined;
  /** Records what is sent; absent: not recorded. */
  ledger?: DeliveryNotes | undefined;
  /** Withholds messages from subscribers; absent: a subscriber with a filter gets nothing. */
  filters?: Pick<Filters, "sent"> | undefined;
  /** Makes diffs; absent: every receiver gets whole messages. */
  deltas?: Deltas | undefined;
  /** Makes the patterns that receive its rooms; absent: none. */
  patterns?: ((hub: PatternHub) => HubPatterns) | undefined;
}

/** The durable rooms for the hub. */
export interface DurableRooms {
  readonly classes: Pick<RoomClasses, "of" | "onChange">;
  /** Connects a room, whose Spine subscription exists already, with its log. */
  room(channel: Channel, hub: RoomHub): DurableRoom;
}

/** Which of this process's connections receive which rooms; one for the whole process. */
export class Hub {
  readonly #options: HubOptions;
  readonly #channels = new Map<string, Channel>();
  /** The seen messages by tenant, so that one tenant's messages never evict another's ids. */
  readonly #tenants = new Map<string, { seen: SeenMessages; channels: number }>();
  readonly #monotonic: () => number;
  readonly #stopEvents: () => void;
  /** The patterns that receive its rooms; undefined: none. */
  readonly patterns: HubPatterns | undefined;
  /**
   * The ids of connections that have ended and have yet to leave rooms: they receive nothing, and nothing is counted
   * for them.
   */
  readonly gone = new Set<string>();
  readonly #stopClasses: (() => void) | undefined;

  constructor(options: HubOptions) {
    this.#options = options;
    this.#stopClasses = options.durable?.classes.onChange((tenant) => {
      void inPieces(tenant ?? STRANGERS, this.#renewing(tenant), ROOMS_A_PIECE);
    });
    this.#monotonic = options.monotonic ?? (() => performance.now());
    const channels = this.#channels;
    const tellGap = (channel: Channel, reason: string) => this.#tellGap(channel, reason);
    this.patterns = options.patterns?.({
      ...options,
      channels,
      tellGap,
      open: (tenant_id, room_id) => this.#openForPatterns(tenant_id, room_id),
      deliver: (channel, message) => this.#deliver(channel, message),
    });
    const { patterns } = this;
    const losses = new HubLosses({ channels, patterns, monotonic: this.#monotonic, tellGap });
    this.#stopEvents = options.spine.onEvent((event) => losses.receive(event));
  }

  /** Subscribes, with effect on the server from the next flush. Throws as the Spine throws. */
  subscribe(tenant_id: string, room_id: string, subscriber: Subscriber): void {
    const key = roomSubject("in", tenant_id, room_id);
    const channel = this.#channels.get(key) ?? this.#open(key, tenant_id, room_id);
    channel.subscribers.add(subscriber);
    this.#options.stats.subscriptions++;
  }

  unsubscribe(tenant_id: string, room_id: string, subscriber: Subscriber): void {
    const key = roomSubject("in", tenant_id, room_id);
    const channel = this.#channels.get(key);
    if (channel === undefined || !channel.subscribers.delete(subscriber)) return;
    this.#options.stats.subscriptions--;
    this.#closeIfUnused(key, channel);
  }

  /**
   * Asks the log of a durable room for the entry of a client with `position`; `use` is called in the turn in which the
   * answer is valid, and the room stays open until then. Rejects with errors of the log and of `use`.
   */
  async enter(
    tenant_id: string,
    room_id: string,
    position: Position | undefined,
    use: (entry_point: EntryPoint) => void,
  ): Promise<void> {
    const key = roomSubject("in", tenant_id, room_id);
    const channel = this.#channels.get(key) ?? this.#open(key, tenant_id, room_id);
    channel.pins++;
    try {
      const durable = channel.durable ??= this.#durable(channel);
      use(await durable.enter(position));
    } finally {
      channel.pins--;
      this.#closeIfUnused(key, channel);
    }
  }

  #closeIfUnused(key: string, channel: Channel): void {
    if (channel.subscribers.size > 0 || channel.pins > 0) return;
    if (this.#channels.get(key) !== channel) return;
    const { tenant_id } = channel;
    channel.durable?.close();
    this.#channels.delete(key);
    this.#options.deltas?.forget(channel);
    if (channel.noted !== undefined) channel.noted.is_open = false;
    this.#options.stats.rooms--;
    for (const subscription of channel.spine) subscription.unsubscribe();
    this.patterns?.closed(channel);
    const tenant = this.#tenants.get(tenant_id);
    if (tenant !== undefined && --tenant.channels === 0) this.#tenants.delete(tenant_id);
  }

  /** The open channels, for operators: read-only, and not to be read during a change. */
  get channels(): ReadonlyMap<string, Channel> {
    return this.#channels;
  }

  /** The channel of a room; undefined if it has no subscriber here. Throws for invalid ids. */
  find(tenant_id: string, room_id: string): Channel | undefined {
    return this.#channels.get(roomSubject("in", tenant_id, room_id));
  }

  /** The subscribers of a room, as one object while there are any; undefined: none. */
  subscribersOf(tenant_id: string, room_id: string): object | undefined {
    const channel = this.find(tenant_id, room_id);
    return channel !== undefined && channel.subscribers.size > 0 ? channel : undefined;
  }

  close(): void {
    this.#stopEvents();
    this.#stopClasses?.();
    for (const channel of this.#channels.values()) {
      channel.durable?.close();
      for (const subscription of channel.spine) subscription.unsubscribe();
    }
    this.patterns?.close();
    this.#channels.clear();
    this.#tenants.clear();
  }

  #open(key: Subject, tenant_id: string, room_id: string): Channel {
    const tenant = this.#tenants.get(tenant_id) ??
      { seen: new SeenMessages(this.#options.deduplication_entries), channels: 0 };
    const { seen } = tenant;
    const channel: Channel = {
      tenant_id,
      room_id,
      seen,
      tenant: this.#options.tenants.of(tenant_id),
      subscribers: new FewSet(),
      spine: [],
      messages: 0,
      pins: 0,
      room_class: this.#options.durable?.classes.of(tenant_id, room_id),
      durable: undefined,
      reception: new Reception(this.#monotonic()),
      noted: this.#options.ledger?.openRoom(tenant_id, room_id),
      bases: undefined,
    };
    if (this.patterns?.feeds(tenant_id, room_id) !== true) this.#listen(key, channel);
    this.#channels.set(key, channel);
    this.#tenants.set(tenant_id, tenant);
    tenant.channels++;
    this.#options.stats.rooms++;
    this.patterns?.opened(channel);
    return channel;
  }

  /** Gives a room its own Spine subscriptions. */
  #listen(key: Subject, channel: Channel): void {
    const { spine } = this.#options;
    const deliver = (message: SpineMessage) => this.#deliver(channel, message);
    const inward = spine.subscribe(key, deliver, { copy: copyFor(channel) });
    try {
      const outward = roomSubject("out", channel.tenant_id, channel.room_id);
      // The array is assigned, not pushed to: the engine allocates seventeen slots for an array that grows.
      channel.spine = [inward, spine.subscribe(outward, deliver)];
    } catch (error) {
      inward.unsubscribe();
      if (channel.noted !== undefined) channel.noted.is_open = false;
      throw error;
    }
  }

  /** Opens a room for matching patterns; it closes again if none of them receives it. */
  #openForPatterns(tenant_id: string, room_id: string): void {
    const key = roomSubject("in", tenant_id, room_id);
    const channel = this.#open(key, tenant_id, room_id);
    if (channel.room_class?.durable === true) this.#makeDurable(channel);
    this.#closeIfUnused(key, channel);
  }

  #deliver(channel: Channel, message: SpineMessage): void {
    const { stats, now } = this.#options;
    const { subject, payload } = message;
    const offset = offsetOf(message);
    channel.messages++;
    try {
      // A message on `in` has passed a Shield; on `out` any backend can write anything.
      const plain = subject.startsWith("out.") ? readForeign(channel, payload) : undefined;
      const origin = message.headers[ORIGIN_HEADER];
      if (offset > 0 && plain === undefined) {
        const receivers = channel.durable?.receive(message) ?? "all";
        if (receivers === "none") return;
        const isReady = receivers === "all" ? undefined : receivers;
        this.#fanOut(channel, { envelope: payload, offset, origin }, isReady);
        return observeDelivery(stats.delivery_latency, payload, now());
      }
      if (!this.#isDue(channel, message, plain)) return;
      const id = messageKey(payload);
      if (id !== "" && channel.seen.repeated(`${subject} ${id}`, this.#monotonic())) {
        stats.duplicates++;
        if (channel.noted !== undefined) this.#options.ledger?.duplicate(channel.noted, payload, 0);
      } else {
        const is_own = isOwnEvent(plain);
        this.#fanOut(channel, { envelope: payload, offset: 0, origin, plain, is_own });
        // A backend is responsible for its stamp on `out`.
        if (plain === undefined) observeDelivery(stats.delivery_latency, payload, now());
      }
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      stats.malformed++;
    }
  }

  /** Reports a gap before a message; false if the message is a repetition. */
  #isDue(channel: Channel, { headers }: SpineMessage, plain: PlainEnvelope | undefined): boolean {
    const { reception } = channel;
    const { stats } = this.#options;
    if (reception.is_cut) this.#tellGap(channel, "reconnect");
    const received = reception.receive(plain, headers, this.#monotonic);
    if (received === "again") channel.messages--;
    else if (received === "repeated") stats.repeated++;
    else if (received !== "due") this.#tellGap(channel, received);
    return received !== "again" && received !== "repeated";
  }

  #fanOut(channel: Channel, outgoing: Outgoing, isReady?: IsReady): void {
    const position = this.#note(channel, outgoing);
    try {
      const message = droppable(this.#options, channel, outgoing, position);
      this.#sendAll(channel, outgoing, message, position, isReady);
    } finally {
      this.#options.ledger?.sent();
    }
  }

  /** Records a message that is about to be sent; returns its position, 0: it is not from a client. */
  #note({ noted }: Channel, { envelope, offset, is_own }: Outgoing): number {
    if (noted === undefined || is_own === true) return 0;
    step(AT.ledger);
    return this.#options.ledger?.message(noted, envelope, offset) ?? 0;
  }

  /** Sends to all receivers; with `message`, it may be left out for a slow reader. */
  #sendAll(
    channel: Channel,
    outgoing: Outgoing,
    message: RoomMessage | undefined,
    position: number,
    isReady: IsReady | undefined,
  ): void {
    step(AT.fan_out);
    const { stats, filters } = this.#options;
    const { origin, is_own } = outgoing;
    const is_filtered = channel.room_class?.filter !== undefined;
    let judge: SentJudge | undefined;
    const deltas = this.#options.deltas?.of(channel, outgoing);
    const echo = channel.room_class?.echo ?? true;
    let binary: Frame | undefined;
    let text: Frame | undefined;
    let text_bytes: number | undefined;
    let sent = 0;
    let use: UserUse | undefined;
    let counts: Counts | undefined;
    const gone = this.gone.size > 0 ? this.gone : undefined;
    for (const subscriber of channel.subscribers.members) {
      if (gone?.has(subscriber.connection_id)) continue;
      if (isReady !== undefined && !isReady(subscriber, outgoing, message, position)) continue;
      if (origin !== undefined && origin === subscriber.connection_id) {
        if (subscriber.no_echo || !echo) {
          const number = subscriber.mark?.connection ?? subscriber.number;
          if (number !== undefined) this.#options.ledger?.noEcho(number);
          continue;
        }
      }
      if (is_own !== true && (subscriber.filter !== undefined || is_filtered)) {
        judge ??= filters?.sent(channel, outgoing);
        if (judge?.withholds(subscriber) !== false) continue;
      }
      const is_text = subscriber.text;
      const folded = deltas?.frameFor(subscriber, message !== undefined);
      const frame = folded !== undefined
        ? folded.frame
        : is_text
        ? text ??= frameOf(outgoing, true)
        : binary ??= frameOf(outgoing, false);
      sent++;
      // Bytes have a length; the length of a text is not its size.
      const size_bytes = folded !== undefined
        ? folded.size_bytes
        : is_text
        ? text_bytes ??= frameBytes(frame)
        : frame.length;
      stats.egress_bytes += size_bytes;
      if (subscriber.use !== use) {
        use = subscriber.use;
        counts = use?.room(channel.room_class?.pattern ?? "");
      }
      if (counts !== undefined) countDelivery(counts, size_bytes, is_own);
      subscriber.send(frame, message);
    }
    countSent(stats, channel, sent, is_own);
    judge?.end();
  }

  /** Delivers a message of a room's log to the subscribers that are ready for it. */
  #deliverEntry(channel: Channel, entry: Entry, isReady: IsReady): void {
    const { stats, now } = this.#options;
    const { envelope, offset, origin } = entry;
    try {
      this.#fanOut(channel, { envelope, offset, origin, entry }, isReady);
      observeDelivery(stats.delivery_latency, envelope, now());
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      stats.malformed++;
    }
  }

  #durable(channel: Channel): DurableRoom {
    const { durable, stats, ledger } = this.#options;
    if (durable === undefined) throw new TypeError("this hub has no durable rooms");
    const deliver: RoomHub["deliver"] = (entry, isReady) =>
      this.#deliverEntry(channel, entry, isReady);
    const onGap = (reason: string) => this.#tellGap(channel, reason);
    return durable.room(channel, { stats, ledger, deliver, onGap });
  }

  /** Applies a tenant's changed classes to the rooms that are open. After a further change it takes the latest. */
  *#renewing(tenant_id: string | undefined): Generator<void> {
    for (const channel of this.#channels.values()) {
      if ((tenant_id ?? channel.tenant_id) === channel.tenant_id) this.#renew(channel);
      yield;
    }
  }

  #renew(channel: Channel): void {
    const room_class = this.#options.durable?.classes.of(channel.tenant_id, channel.room_id);
    channel.room_class = room_class;
    if (room_class?.durable === true) return this.#makeDurable(channel);
    const { durable } = channel;
    channel.durable = undefined;
    // Nobody can read the missed messages any longer.
    if (durable?.end() === true) this.#tellGap(channel, "lost");
  }

  /** For present subscribers: they continue to receive, with offsets from some message on. */
  #makeDurable(channel: Channel): void {
    if (channel.durable === undefined) (channel.durable = this.#durable(channel)).open();
  }

  #tellGap(channel: Channel, reason: string): void {
    this.#options.stats.gaps++;
    channel.reception.gapReported();
    this.#options.deltas?.forget(channel);
    const envelope = gapEnvelope(this.#options, channel, reason);
    if (channel.noted !== undefined) this.#options.ledger?.gap(channel.noted, reason);
    this.#fanOut(channel, { envelope, offset: 0, origin: undefined, is_own: true });
  }
}

// Decides which rooms of a hub are notified that the Spine may have lost messages, and when: before the next message.
// `channel.ts` handles gaps that a room detects itself.

interface HubLossesOptions {
  /** The channels by the subject of clients' messages to them. */
  readonly channels: ReadonlyMap<string, Channel>;
  readonly patterns: Pick<HubPatterns, "lost"> | undefined;
  readonly monotonic: () => number;
  readonly tellGap: (channel: Channel, reason: string) => void;
}

/** The losses of one hub's rooms. */
class HubLosses {
  readonly #options: HubLossesOptions;
  /** When the Spine became unreachable; undefined: it is reachable, and all rooms have been notified. */
  #cut_ms: number | undefined;

  constructor(options: HubLossesOptions) {
    this.#options = options;
  }

  receive(event: SpineEvent): void {
    switch (event.type) {
      case "state":
        return event.status.state === "disconnected" ? this.#cut() : undefined;
      case "gap":
        this.#options.patterns?.lost(event.pattern, event.reason);
        if (event.pattern === undefined) return this.#tellAll(event.reason);
        return this.#tellRoom(event.pattern, event.reason);
      case "log":
      case "denied":
      case "unstored":
        return;
      default:
        event satisfies never;
    }
  }

  #tellRoom(pattern: string, reason: "reconnect" | "slow-consumer"): void {
    // The Spine may be shared with a Brain, whose patterns match none of this hub's rooms.
    const { channels, tellGap } = this.#options;
    const channel = channels.get(pattern.replace(/^out\./, "in."));
    if (channel === undefined) return;
    if (channel.durable === undefined) tellGap(channel, reason);
    else if (pattern.startsWith("out.")) tellGap(channel, "changes-lost");
  }

  /** Marks every room: its next message follows a gap. */
  #cut(): void {
    const { channels, monotonic } = this.#options;
    this.#cut_ms ??= monotonic();
    for (const { reception, durable } of channels.values()) {
      reception.is_cut = durable === undefined;
    }
  }

  /** Also notifies rooms without a later message. A subscriber that came after the loss has missed nothing. */
  #tellAll(reason: "reconnect" | "slow-consumer"): void {
    const { channels, monotonic, tellGap } = this.#options;
    const cut_ms = reason === "reconnect" ? this.#cut_ms : undefined;
    if (cut_ms !== undefined) this.#cut_ms = undefined;
    // Brains repeat the last changes while they remember them.
    const forgotten = cut_ms !== undefined && monotonic() - cut_ms > CHANGES_KEPT_MS;
    for (const channel of channels.values()) {
      const { durable, reception } = channel;
      if (durable === undefined) {
        if (cut_ms === undefined || reception.is_cut) tellGap(channel, reason);
        // The room's log has the messages, but not the changes of the room's state.
      } else if (forgotten) tellGap(channel, "changes-lost");
    }
  }
}
