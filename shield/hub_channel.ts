/**
 * One open room of this process, as the hub keeps it, what the hub needs of durable ones, and what can
 * be said of a room alone. What is done with it is `hub.ts`.
 */
import { DecodeError, readEnvelope } from "@arqon/proto";
import type { PlainEnvelope } from "@arqon/proto";
import type { Subscription } from "../shared/spine/spine.ts";
import type { SeenMessages } from "./deduplicate.ts";
import type { DurableChannel, RoomLogEvents } from "./durable/channel.ts";
import type { RoomLog } from "./durable/room_log.ts";
import type { Subscriber } from "./hub.ts";
import type { HeardOrder } from "./room_order.ts";
import type { RoomClass, RoomClasses } from "./rooms/classes.ts";
import type { TenantTotals } from "./tenant_stats.ts";

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
  /** Of its tenant: what is handed over is counted there too. */
  readonly tenant: TenantTotals;
  readonly subscribers: Set<Subscriber>;
  /** Its subscriptions. */
  spine: readonly Subscription[];
  /** What has come from the Spine since it was opened. */
  messages: number;
  /** Subscribers to be, for whom it stays open. */
  pins: number;
  room_class: RoomClass | undefined;
  durable: DurableChannel | undefined;
  /** Of what Shields publish on NATS; undefined until something of that has come. */
  order: HeardOrder | undefined;
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
