/** A client's subscription to a channel: what it asks for, as the bus is asked for it. */
import { encodeSub, encodeUnsub, encodeUtf8 } from "@arqon/proto";
import { canAct } from "../auth/authorize.ts";
import type { Identity } from "../auth/identity.ts";
import type { DeltaBase } from "./publications.ts";
import type { Result } from "./answers.ts";
import { offsetOf } from "./messages.ts";
import type { Asked, Data, Subscribed } from "./messages.ts";
import { ERROR, Refusal } from "./codes.ts";
import { filterOf } from "./tags.ts";

/** The present epoch, with offset 0: from its beginning. */
const ANY_EPOCH = "*";
/** A flag of a subscription: it is refused where it cannot go on. */
const REJECT_UNRECOVERED = 2;

/** What is left out of a SUB that is refused for this. */
export const LEFT_OUT: Readonly<Record<string, "presence" | "position">> = {
  "presence-disabled": "presence",
  "not-durable": "position",
};

/** A channel that the client is in, or has asked for. */
export interface Channel {
  readonly name: string;
  readonly room_id: string;
  readonly joins: boolean;
  is_in: boolean;
  /** Its room keeps no messages, and leaves out what a slow client has not read. */
  readonly is_lossy: boolean;
  /** The bus is asked for it again then. */
  timer: ReturnType<typeof setTimeout> | undefined;
  /** The answer to `connect` had it before the server has made it. */
  is_listed: boolean;
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
  /** The server subscribes the client; undefined: the client subscribes itself. */
  readonly server: ServerSide | undefined;
}

/** A channel to which a token, or the server API, subscribes a client. */
export interface ServerSide {
  readonly channel: string;
  /** The member's, in place of the connection's. */
  readonly info?: unknown;
  /** What the client is given with the subscription. */
  readonly data?: Data | undefined;
}

/** What the classes of rooms say of a channel. */
export interface ChannelClasses {
  /** Whether tokens and the server API may subscribe clients to a room. */
  readonly isServerSide: (room_id: string) => boolean;
  /** Whether subscribers of a room are members. */
  readonly hasMembers: (room_id: string) => boolean;
  /** Whether subscribers of a room receive joins and leaves that they have not asked for. */
  readonly hasJoins: (room_id: string) => boolean;
  /** Throws `not-found` for a channel whose namespace has no class. */
  readonly requireKnown: (tenant_id: string, channel: string, room_id: string) => void;
  /** Whether the class of a room has deltas. */
  readonly hasDeltas: (tenant_id: string, room_id: string) => boolean;
  /** Whether the class of a room keeps no messages, and leaves out what slow clients have not read. */
  readonly isLossy: (tenant_id: string, room_id: string) => boolean;
}

/** Throws a `Refusal` where a subscription asks for what there is not. */
function requireSupported({ type = 0, delta = "" }: Asked<"subscribe">): void {
  const refuse = (message: string) => new Refusal(ERROR.not_available, message);
  if (type !== 0) throw refuse("only streams are available: no maps, no shared polls");
  if (delta !== "" && delta !== "fossil") throw refuse("of deltas only fossil is available");
}

/** The channel that a client asks for. Throws `invalid-filter`, `invalid-field`, and a `Refusal`. */
export function channelOf(
  asked: Asked<"subscribe">,
  room_id: string,
  identity: Identity | undefined,
  { hasMembers, hasJoins, hasDeltas, isLossy }: ChannelClasses,
  server?: ServerSide,
): Channel {
  requireSupported(asked);
  const { channel = "", recover, epoch = "", join_leave, flag = 0, tf, delta } = asked;
  const offset = offsetOf(asked.offset);
  const from = { offset, epoch: epoch === "" && offset === 0 ? ANY_EPOCH : epoch };
  const joins = join_leave === true || hasJoins(room_id);
  const is_member = (joins || hasMembers(room_id)) && identity !== undefined &&
    canAct(identity, "presence", room_id);
  return {
    name: channel,
    room_id,
    joins,
    is_in: false,
    is_lossy: identity !== undefined && isLossy(identity.tenant_id, room_id),
    is_listed: false,
    timer: undefined,
    is_strict: (flag & REJECT_UNRECOVERED) !== 0,
    position: recover === true ? from : undefined,
    without: new Set(is_member ? [] : ["presence" as const]),
    filter: tf === undefined ? "" : filterOf(tf),
    has_deltas: delta !== undefined && delta !== "" && identity !== undefined &&
      hasDeltas(identity.tenant_id, room_id),
    base: undefined,
    server,
  };
}

/** Where a subscription begins, for its client; nothing, in a room that is not durable. */
export function placeOf(
  { position, server }: Pick<Channel, "position" | "server">,
  { epoch, offset = 0, recovered = false }: Pick<Result, "epoch" | "offset" | "recovered">,
): Subscribed {
  const more = {
    ...(position === undefined ? {} : { was_recovering: true, recovered }),
    ...(server?.data === undefined ? {} : { data: server.data }),
  };
  if (epoch === undefined) return more;
  // What was missed follows: who loses the connection meanwhile goes on from where it was.
  const from = recovered && position !== undefined ? position.offset : offset;
  return { recoverable: true, positioned: true, epoch, offset: from, ...more };
}

/** The frame of a request, by its number. */
export type Request = (request_id: number) => Uint8Array<ArrayBuffer>;

/** The SUB by which the bus is asked. `info` is the member's. */
export function subOf({ room_id, position, without, filter }: Channel, info: unknown): Request {
  const presence = !without.has("presence");
  const member_meta = presence && info !== undefined ? encodeUtf8(JSON.stringify(info)) : undefined;
  const { offset, epoch } = without.has("position") ? {} : position ?? {};
  const asked = { room_id, presence, member_meta, after_offset: offset, epoch, filter };
  return (request_id) => encodeSub({ ...asked, request_id });
}

/** The UNSUB of a room. */
export const unsubOf = (room_id: string): Request => (request_id) =>
  encodeUnsub({ room_id, request_id });
