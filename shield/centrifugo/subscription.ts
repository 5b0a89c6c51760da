/** A client's subscription to a channel: what it asks for, as the bus is asked for it. */
import { canAct } from "../auth/authorize.ts";
import type { Identity } from "../auth/identity.ts";
import type { DeltaBase } from "./deltas.ts";
import type { Asked } from "./messages.ts";
import { filterOf } from "./tags.ts";

/** The present epoch, with offset 0: from its beginning. */
const ANY_EPOCH = "*";
/** A flag of a subscription: it is refused where it cannot go on. */
const REJECT_UNRECOVERED = 2;

/** A channel that the client is in, or has asked for. */
export interface Channel {
  readonly name: string;
  readonly room_id: string;
  readonly joins: boolean;
  is_in: boolean;
  /** It wants an error where it cannot go on. */
  readonly is_strict: boolean;
  /** From where it wants to go on; undefined: from now. */
  readonly position: { readonly offset: number; readonly epoch: string } | undefined;
  /** What a second attempt leaves out. */
  readonly without: Set<"presence" | "position">;
  readonly filter: string;
  readonly has_deltas: boolean;
  /** What the client has of the channel, to make the next delta from. */
  base: DeltaBase | undefined;
}

/** What the classes of rooms say of a channel. */
export interface ChannelClasses {
  /** Whether subscribers of a room are members. */
  readonly hasMembers: (room_id: string) => boolean;
  /** Whether subscribers of a room receive joins and leaves that they have not asked for. */
  readonly hasJoins: (room_id: string) => boolean;
  /** Throws `not-found` for a channel whose namespace has no class. */
  readonly requireKnown: (tenant_id: string, channel: string, room_id: string) => void;
  /** Whether the class of a room has deltas. */
  readonly hasDeltas: (tenant_id: string, room_id: string) => boolean;
}

/** The channel that a client asks for. Throws `invalid-filter`, and `UnmappedFilter`. */
export function channelOf(
  { channel = "", recover, epoch = "", offset = 0, join_leave, flag = 0, tf, delta }: Asked<
    "subscribe"
  >,
  room_id: string,
  identity: Identity | undefined,
  { hasMembers, hasJoins, hasDeltas }: ChannelClasses,
): Channel {
  const from = { offset, epoch: epoch === "" && offset === 0 ? ANY_EPOCH : epoch };
  const joins = join_leave === true || hasJoins(room_id);
  const is_member = (joins || hasMembers(room_id)) && identity !== undefined &&
    canAct(identity, "presence", room_id);
  return {
    name: channel,
    room_id,
    joins,
    is_in: false,
    is_strict: (flag & REJECT_UNRECOVERED) !== 0,
    position: recover === true ? from : undefined,
    without: new Set(is_member ? [] : ["presence" as const]),
    filter: tf === undefined ? "" : filterOf(tf),
    has_deltas: delta !== undefined && delta !== "" && identity !== undefined &&
      hasDeltas(identity.tenant_id, room_id),
    base: undefined,
  };
}

/** The members of the SUB by which the bus is asked, but for `op` and `room`. `info` is the member's. */
export function subOf(
  { position, without, filter }: Channel,
  info: unknown,
): Record<string, unknown> {
  const member = without.has("presence")
    ? {}
    : { presence: true, ...(info === undefined ? {} : { member_meta: info }) };
  const place = position === undefined || without.has("position")
    ? {}
    : { after_offset: position.offset, epoch: position.epoch };
  return { ...member, ...place, ...(filter === "" ? {} : { filter }) };
}
