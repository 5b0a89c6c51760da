/** What the hub needs from the process, and its state of a room and a subscriber. Types only. */
import type { FewSet } from "../../shared/containers/few_set.ts";
import type { Env } from "../../shared/env.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { Subscription } from "../../shared/spine/contract/spine_message.ts";
import type { Filtered, Filters } from "./filters.ts";
import type { Flow } from "./flow.ts";
import type { DurableRoom, RoomEvents } from "./entry.ts";
import type { DeliveryNotes, NotedRoom, SubscriptionMark } from "./delivery_notes.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { UserUse } from "../../shared/records/user_use.ts";
import type { TenantTable, TenantTotals } from "../stats/tenant_stats.ts";
import type { RoomMessage } from "./backlog.ts";
import type { SeenMessages } from "./deduplicate.ts";
import type { Frame } from "./frame_bytes.ts";
import type { PatternLimits } from "./pattern_rooms.ts";
import type { DeltaReceiver, DeltaRoom, Deltas } from "./deltas.ts";
import type { Reception } from "./reception.ts";

/**
 * What fan-out needs from the process. `deduplication_entries` is for each tenant; without `PatternLimits` patterns
 * have no limit.
 */
export interface HubOptions extends Partial<PatternLimits>, Pick<Env, "now" | "random"> {
  spine: Pick<Spine, "subscribe" | "onEvent">;
  stats: ShieldStats;
  tenants: Pick<TenantTable, "of">;
  /** Milliseconds of a clock that only grows; `performance.now` if absent. */
  monotonic?: () => number;
  deduplication_entries: number;
  /** The durable rooms; absent: no room is durable, and all have echo. */
  durable?: DurableRooms | undefined;
  /** Records what is sent; absent: not recorded. */
  ledger?: DeliveryNotes | undefined;
  /** Withholds messages from subscribers; absent: a subscriber with a filter gets nothing. */
  filters?: Pick<Filters, "sent"> | undefined;
  /** Makes diffs; absent: everybody gets whole messages. */
  deltas?: Deltas | undefined;
}

/** One connection's subscription to one room. */
export interface Subscriber extends Filtered, DeltaReceiver {
  readonly connection_id: string;
  readonly text: boolean;
  readonly no_echo: boolean;
  /** The subscriber's place in a durable room; undefined: it gets messages as they come. */
  readonly flow?: Flow | undefined;
  /** The subscription in the ledger; absent: there is none. */
  mark?: SubscriptionMark | undefined;
  /** The connection's number in the ledger, of a subscription that has no mark yet. */
  readonly number?: number;
  /** The object that counts what it gets; absent: not counted. */
  readonly use?: UserUse | undefined;
  /** Sends a frame. With `message`, it may be left out for a client that reads too slowly. */
  send(frame: Frame, message?: RoomMessage): void;
  /** Called when the subscriber is too far behind. */
  overflow?(): void;
}

/** The durable rooms for the hub. */
export interface DurableRooms {
  readonly classes: Pick<RoomClasses, "of" | "onChange">;
  /** Connects a room, whose Spine subscription exists already, with its log. */
  room(tenant_id: string, room_id: string, events: RoomEvents): DurableRoom;
  /** The most bytes that one subscriber may be behind. */
  readonly lag_bytes_max: number;
}

/** A room with subscribers, or with a connection that is about to be one. */
export interface Channel extends DeltaRoom {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly seen: SeenMessages;
  /** The counts of the room's tenant: deliveries are counted there too. */
  readonly tenant: TenantTotals;
  readonly subscribers: FewSet<Subscriber>;
  /** The room's subscriptions to the Spine; empty: those of its tenant's patterns deliver it. */
  spine: readonly Subscription[];
  /** How many messages have come from the Spine since the room was opened. */
  messages: number;
  /** How many connections are about to subscribe; it stays open for them. */
  pins: number;
  room_class: RoomClass | undefined;
  durable: DurableRoom | undefined;
  readonly reception: Reception;
  /** The room in the ledger; absent: there is none. */
  readonly noted: NotedRoom | undefined;
}
