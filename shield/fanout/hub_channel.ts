/**
 * One open room of this process, as the hub keeps it, what the hub needs of durable ones, and what can
 * be said of a room alone. What is done with it is `hub.ts`.
 */
import { DecodeError, readEnvelope } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import type { Subscription } from "../../shared/spine/contract/spine.ts";
import { isReservedType } from "../auth/authorize.ts";
import type { SeenMessages } from "./deduplicate.ts";
import type { RoomMessage } from "./backlog.ts";
import type { DurableChannel, RoomLogEvents } from "../durable/channel.ts";
import type { Flow } from "../durable/flow.ts";
import type { RoomLog } from "../durable/room_log.ts";
import type { Frame } from "./frame_bytes.ts";
import type { Reception } from "./reception.ts";
import type { RoomClass, RoomClasses } from "../rooms/classes.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { TenantTotals } from "../stats/tenant_stats.ts";

/** One connection's subscription to one room. */
export interface Subscriber {
  readonly connection_id: string;
  readonly text: boolean;
  readonly no_echo: boolean;
  /** The subscriber's place in a durable room; undefined: it gets messages as they come. */
  readonly flow?: Flow | undefined;
  /** With `message`, it may be left out for a client that reads too slowly. */
  send(frame: Frame, message?: RoomMessage): void;
  /** Called when the subscriber is too far behind. */
  overflow?(): void;
}

/** What the hub needs for durable rooms. */
export interface DurableRooms {
  readonly classes: Pick<RoomClasses, "of" | "onChange">;
  /** Makes the log of a room whose Spine subscription was made before; not started. */
  open(tenant_id: string, room_id: string, events: RoomLogEvents): Promise<RoomLog>;
  /** Closes it. */
  release(log: RoomLog): void;
  /** Bytes that one subscriber may be behind. */
  readonly lag_bytes_max: number;
  /** How long an `enter` may take, in ms. */
  readonly timeout_ms: number;
}

/** A room with subscribers, or with somebody who is about to be one. */
export interface Channel {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly seen: SeenMessages;
  /** The counts of the room's tenant: deliveries are counted there too. */
  readonly tenant: TenantTotals;
  readonly subscribers: Set<Subscriber>;
  /** The room's subscriptions to the Spine. */
  spine: readonly Subscription[];
  /** What has come from the Spine since it was opened. */
  messages: number;
  /** Subscribers to be, for whom it stays open. */
  pins: number;
  room_class: RoomClass | undefined;
  durable: DurableChannel | undefined;
  readonly reception: Reception;
}

/** A message on its way to subscribers; `plain` is `envelope` when it is known. */
export interface Outgoing {
  readonly envelope: Uint8Array;
  /** 0 in rooms that are not durable. */
  readonly offset: number;
  readonly origin: string | undefined;
  readonly plain?: PlainEnvelope | undefined;
  /** The bus itself says it; absent: it does not. */
  readonly is_own?: boolean | undefined;
}

/** The same, for whom its bytes do not matter; `message`: it may be left out for a slow reader. */
export interface Sent extends Pick<Outgoing, "origin" | "is_own"> {
  readonly message: RoomMessage | undefined;
}

/** Whether the bus itself says it: an event of a reserved type, or a signal. */
export function isOwnEvent(plain: PlainEnvelope | undefined): boolean {
  if (plain === undefined) return false;
  return plain.signal !== undefined ||
    plain.event !== undefined && isReservedType(plain.event.type);
}

/** Counts what so many subscribers were handed. */
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

/** Whether somebody hears the room who is not waiting for its log. */
export function hasLive({ subscribers }: Pick<Channel, "subscribers">): boolean {
  for (const { flow } of subscribers) if (flow?.is_live !== false) return true;
  return false;
}

/**
 * An envelope from a backend. Throws DecodeError when it is none, or speaks for another tenant or room
 * than its subject.
 */
export function readForeign(
  { tenant_id, room_id }: Pick<Channel, "tenant_id" | "room_id">,
  payload: Uint8Array,
): PlainEnvelope {
  const plain = readEnvelope(payload);
  const tenant_fits = plain.tenant_id === "" || plain.tenant_id === tenant_id;
  if (tenant_fits && (plain.room_id === "" || plain.room_id === room_id)) return plain;
  throw new DecodeError("invalid-field", "tenant_id or room_id is not that of the subject");
}
