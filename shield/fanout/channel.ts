/** The hub's state of a room and of a subscriber, and what it reads from them. */
import type { FewSet } from "../../shared/containers/few_set.ts";
import type { UserUse } from "../../shared/records/user_use.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type {
  PayloadCopy,
  SpineHeaders,
  SpineMessage,
  Subscription,
} from "../../shared/spine/contract/spine_message.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { TenantTotals } from "../stats/tenant_stats.ts";
import type { RoomMessage } from "./backlog.ts";
import type { SeenMessages } from "./deduplicate.ts";
import type { DeliveryNotes } from "./delivery_notes.ts";
import type { DeltaReceiver, DeltaRoom } from "./deltas.ts";
import type { Entry, EntryPoint, Flow, Lost, Position } from "./entry.ts";
import type { Filtered, FilteredRoom } from "./filters.ts";
import type { Frame } from "./frame_bytes.ts";
import type { Outgoing } from "./room_message.ts";
import { Opcode, type PlainEnvelope } from "@arqon/proto";
import { passing_messages } from "../../shared/containers/byte_arena.ts";
import { HeadedSpace } from "../socket/frame_space.ts";
import { readChange, ReceivedChanges } from "./room_changes.ts";
import { ORDER_HEADER, ReceivedOrder } from "../message/room_order.ts";

/** Rooms entered, left or looked up in one slice: at most half a millisecond. */
export const ROOMS_A_PIECE = 64;

/** One connection's subscription to one room. */
export interface Subscriber extends Filtered, DeltaReceiver {
  readonly connection_id: string;
  readonly text: boolean;
  readonly no_echo: boolean;
  /** The subscriber's place in a durable room; undefined: it receives live messages. */
  readonly flow?: Flow | undefined;
  /** The connection's number in the ledger, if the subscription has no mark yet. */
  readonly number?: number;
  /** The object that counts its usage; absent: not counted. */
  readonly use?: UserUse | undefined;
  /** Sends a frame. With `message`, it may be left out for a client that reads too slowly. */
  send(frame: Frame, message?: RoomMessage): void;
  /** Called when the subscriber is too far behind. */
  overflow?(): void;
}

/** A room with subscribers, or with a connection that is about to be one. */
export interface Channel extends DeltaRoom, FilteredRoom {
  readonly seen: SeenMessages;
  /** The counts of the room's tenant: deliveries are counted there too. */
  readonly tenant: TenantTotals;
  readonly subscribers: FewSet<Subscriber>;
  /** The room's subscriptions to the Spine; empty: its tenant's pattern subscriptions deliver it. */
  spine: readonly Subscription[];
  /** The number of messages from the Spine since the room was opened. */
  messages: number;
  /** The number of connections that are about to subscribe; the room stays open for them. */
  pins: number;
  room_class: RoomClass | undefined;
  durable: DurableRoom | undefined;
  readonly reception: Reception;
}

/**
 * Whether a subscriber gets a message of a durable room at once, and not later from the log. With `message`, it may be
 * left out for a slow reader; `position` is that of the message in the ledger.
 */
export type IsReady = (
  subscriber: Subscriber,
  outgoing: Outgoing,
  message: RoomMessage | undefined,
  position: number,
) => boolean;

/** A hub, for the log of one of its rooms. */
export interface RoomHub {
  readonly stats: Pick<ShieldStats, "slow_reader" | "egress_events">;
  /** Absent: deliveries are not recorded. */
  readonly ledger?: DeliveryNotes | undefined;
  /** Delivers the next message in order to the subscribers that are ready for it. */
  readonly deliver: (entry: Entry, isReady: IsReady) => void;
  /** Messages are lost for good, before the first entry after them. */
  readonly onGap: (reason: Lost) => void;
}

/** The log of one room in this process, perhaps still opening. */
export interface DurableRoom {
  /** Takes a message with an offset; returns the subscribers to whom the caller must deliver it at once. */
  receive(message: SpineMessage): "all" | "none" | IsReady;
  /** Opens the log if necessary; a failure is for the next subscriber. */
  open(): void;
  /** Enters a subscriber with its former position, within a time limit. */
  enter(position: Position | undefined): Promise<EntryPoint>;
  /** Ends the log of a room that is no longer durable: its subscribers are live. True if some have missed messages. */
  end(): boolean;
  /** Closes the log, because the room has no subscriber. */
  close(): void;
}

/** Counts deliveries to that many subscribers. */
export function countSent(
  stats: Pick<ShieldStats, "egress_messages" | "egress_events">,
  { tenant }: Pick<Channel, "tenant">,
  sent: number,
  is_own: boolean | undefined,
): void {
  if (is_own === true) stats.egress_events += sent;
  else {
    stats.egress_messages += sent;
    tenant.egress_messages += sent;
  }
}

const passing = new HeadedSpace(passing_messages);

/** Copies an envelope that is not needed after sending. */
export function passingCopy(bytes: Uint8Array, from: number, to: number): Uint8Array<ArrayBuffer> {
  const at = passing.reserve(1 + to - from);
  const slab = passing.bytes;
  slab[at] = Opcode.MSG;
  slab.set(bytes.subarray(from, to), at + 1);
  return slab.subarray(at + 1, at + 1 + to - from);
}

/** The copies for a room: a durable one caches its last messages, which must not keep others in memory. */
export function copyFor(channel: { readonly durable: unknown }): PayloadCopy {
  return (bytes, from, to) =>
    channel.durable === undefined ? passingCopy(bytes, from, to) : bytes.slice(from, to);
}

// Judges each message from the Spine for one room of this process: whether it is due, is a repetition, or follows a gap
// of which the room's subscribers must first be notified. Messages of rooms with a log have offsets; changes of the
// room's state are judged here, too.

/** Why a GAP comes before a message: messages are missing, or changes of the room's state. */
export type Hole = "lost" | "changes-lost";

/**
 * The verdict on a message. `repeated`: the servers delivered it before. `again`: it was repeated for clients that had
 * not received it.
 */
export type Received = "due" | "repeated" | "again" | Hole;

/** The reception of one room that is open. */
export class Reception {
  readonly #opened_ms: number;
  /** The publish order of Shields on NATS; undefined until a message with an order has arrived. */
  #order: ReceivedOrder | undefined;
  #changes: ReceivedChanges | undefined;
  /** True if the connection was lost and nothing has arrived since: the loss is reported before the next message. */
  is_cut = false;

  /** `opened_ms` is monotonic. */
  constructor(opened_ms: number) {
    this.#opened_ms = opened_ms;
  }

  /**
   * Judges a message. `plain` is the envelope of one that did not come from a Shield; `now` is called for changes only.
   */
  receive(plain: PlainEnvelope | undefined, headers: SpineHeaders, now: () => number): Received {
    if (plain === undefined) {
      const order = headers[ORDER_HEADER];
      if (order === undefined) return "due";
      const verdict = (this.#order ??= new ReceivedOrder()).receive(order);
      return verdict === "next" ? "due" : verdict === "hole" ? "lost" : "repeated";
    }
    const change = readChange(plain, headers);
    if (change === undefined) return "due";
    const verdict = (this.#changes ??= new ReceivedChanges(this.#opened_ms)).receive(change, now());
    if (verdict === "next") return "due";
    if (verdict === "hole") return "changes-lost";
    return change.again_ms === undefined ? "repeated" : "again";
  }

  /** Called after subscribers were notified that messages may be missing. */
  gapReported(): void {
    this.is_cut = false;
    this.#order?.gapReported();
  }
}
