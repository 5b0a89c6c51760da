/** What the hub needs of the process, and what it holds of a room and a subscriber. Types only. */
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
 * What fan-out needs of the process. `deduplication_entries` is for each tenant; without the limits of
 * patterns there is no bound of them.
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
  /** Takes note of what is sent; absent: nobody does. */
  ledger?: DeliveryNotes | undefined;
  /** What keeps messages from subscribers; absent: who needs a filter gets nothing. */
  filters?: Pick<Filters, "sent"> | undefined;
  /** Makes diffs; absent: everybody gets messages as they are. */
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
  /** Where what it gets is counted; absent: nowhere. */
  readonly use?: UserUse | undefined;
  /** Sends a frame. With `message`, it may be left out for a client that reads too slowly. */
  send(frame: Frame, message?: RoomMessage): void;
  /** Called when the subscriber is too far behind. */
  overflow?(): void;
}

/** What the hub needs for durable rooms. */
export interface DurableRooms {
  readonly classes: Pick<RoomClasses, "of" | "onChange">;
  /** Makes the way to the log of a room whose Spine subscription exists already. */
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
  /** The room's subscriptions to the Spine; none: it is heard by those of its tenant's patterns. */
  spine: readonly Subscription[];
  /** How many messages have come from the Spine since the room was opened. */
  messages: number;
  /** How many connections are about to subscribe, for which it stays open. */
  pins: number;
  room_class: RoomClass | undefined;
  durable: DurableRoom | undefined;
  readonly reception: Reception;
  /** The room in the ledger; absent: there is none. */
  readonly noted: NotedRoom | undefined;
}
