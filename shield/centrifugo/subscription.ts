/** Translates a client's subscription to a channel into a subscription to a room. */
import { encodeSub, encodeUnsub, encodeUtf8 } from "@arqon/proto";
import { canAct } from "../auth/authorize.ts";
import type { Identity } from "../auth/identity.ts";
import type { DeltaBase } from "./publications.ts";
import type { Result } from "./answers.ts";
import { type Data, offsetOf, type RequestOf, type Subscribed } from "./messages.ts";
import { ERROR, Refusal } from "./codes.ts";
import { filterOf } from "./tags.ts";

/** Matches the current epoch; with offset 0 the subscription begins at its start. */
const ANY_EPOCH = "*";
/** The flag of a subscription that fails if its recovery fails. */
const REJECT_UNRECOVERED = 2;

/** The part that the retry of a refused SUB omits, by the refusal's reason. */
export const LEFT_OUT: Readonly<Record<string, "presence" | "position">> = {
  "presence-disabled": "presence",
  "not-durable": "position",
};

/** A channel with an established or pending subscription. */
export interface Channel {
  readonly name: string;
  readonly room_id: string;
  readonly joins: boolean;
  is_in: boolean;
  /** Its room stores no messages, and drops those that a slow client has not read. */
  readonly is_lossy: boolean;
  /** The timer of a retry. */
  timer: ReturnType<typeof setTimeout> | undefined;
  /** The answer to `connect` listed it while it was pending. */
  is_listed: boolean;
  /** The client wants an error if the recovery fails. */
  readonly is_strict: boolean;
  /** The position to recover from; undefined: it begins with new messages. */
  readonly position: { readonly offset: number; readonly epoch: string } | undefined;
  /** The parts that a retry omits. */
  readonly without: Set<"presence" | "position">;
  readonly filter: string;
  readonly has_deltas: boolean;
  base: DeltaBase | undefined;
  /** Present if the server subscribes the client; undefined if the client subscribes. */
  readonly server: ServerSide | undefined;
}

/** A server-side subscription, from a token or the server API. */
export interface ServerSide {
  readonly channel: string;
  /** The member's info, in place of the connection's. */
  readonly info?: unknown;
  /** The data that the client receives with the subscription. */
  readonly data?: Data | undefined;
}

/** The settings of channels, by the configuration and the classes of rooms. */
export interface ChannelClasses {
  /** Whether tokens and the server API may subscribe clients to a room. */
  readonly isServerSide: (room_id: string) => boolean;
  /** Whether subscribers of a room are members. */
  readonly hasMembers: (room_id: string) => boolean;
  /** Whether subscribers of a room receive joins and leaves without a request. */
  readonly hasJoins: (room_id: string) => boolean;
  /** Throws `not-found` for a channel whose namespace has no class. */
  readonly requireKnown: (tenant_id: string, channel: string, room_id: string) => void;
  /** Whether the class of a room has deltas. */
  readonly hasDeltas: (tenant_id: string, room_id: string) => boolean;
  /** Whether the class of a room stores no messages, and drops those that slow clients have not read. */
  readonly isLossy: (tenant_id: string, room_id: string) => boolean;
}

/** Throws a `Refusal` for an unsupported kind of subscription or delta. */
function requireSupported({ type = 0, delta = "" }: RequestOf<"subscribe">): void {
  const refuse = (message: string) => new Refusal(ERROR.not_available, message);
  if (type !== 0) throw refuse("only streams are available: no maps, no shared polls");
  if (delta !== "" && delta !== "fossil") throw refuse("of deltas only fossil is available");
}

/** The channel of a subscribe command. Throws `invalid-filter`, `invalid-field`, or a `Refusal`. */
export function channelOf(
  request: RequestOf<"subscribe">,
  room_id: string,
  identity: Identity | undefined,
  { hasMembers, hasJoins, hasDeltas, isLossy }: ChannelClasses,
  server?: ServerSide,
): Channel {
  requireSupported(request);
  const { channel = "", recover, epoch = "", join_leave, flag = 0, tf, delta } = request;
  const offset = offsetOf(request.offset);
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

/** The result of a subscribe; it has no position if the room is not durable. */
export function placeOf(
  { position, server }: Pick<Channel, "position" | "server">,
  { epoch, offset = 0, recovered = false }: Pick<Result, "epoch" | "offset" | "recovered">,
): Subscribed {
  const more = {
    ...(position === undefined ? {} : { was_recovering: true, recovered }),
    ...(server?.data === undefined ? {} : { data: server.data }),
  };
  if (epoch === undefined) return more;
  // The missed messages follow. A client that disconnects before them recovers from the same position.
  const from = recovered && position !== undefined ? position.offset : offset;
  return { recoverable: true, positioned: true, epoch, offset: from, ...more };
}

/** Encodes a request with its id. */
export type Request = (request_id: number) => Uint8Array<ArrayBuffer>;

/** The SUB of a channel. `info` is the member's metadata. */
export function subOf({ room_id, position, without, filter }: Channel, info: unknown): Request {
  const presence = !without.has("presence");
  const member_meta = presence && info !== undefined ? encodeUtf8(JSON.stringify(info)) : undefined;
  const { offset, epoch } = without.has("position") ? {} : position ?? {};
  const request = { room_id, presence, member_meta, after_offset: offset, epoch, filter };
  return (request_id) => encodeSub({ ...request, request_id });
}

/** The UNSUB of a room. */
export const unsubOf = (room_id: string): Request => (request_id) =>
  encodeUnsub({ room_id, request_id });
