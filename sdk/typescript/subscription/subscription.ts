/** The public interface of a loop over a room's messages, and the options of `Room.subscribe`. */
import { encodeUtf8, type Uint64 } from "@arqon/proto";
import type { Backoff } from "../time/clock.ts";
import type { PatternPositions, Place, Position } from "../durable/position.ts";
import type { CommandRoom, JsonInput } from "../request/room_request.ts";
import type { Message } from "../message/message.ts";
import type { MessageBuffer, Overflow } from "../message/message_buffer.ts";
import type { MemberTable, Presence } from "../presence/presence.ts";
import type { RepairOptions } from "../state/state_repair.ts";

/** Delivers a room's stored messages to the loops, up to the position of the next SUB: see `replay`. */
export type Beginning = (entry: ReplayedRoom, room: CommandRoom, now_ms: number) => Promise<void>;

/** Options of `Room.subscribe`. Except for the buffer, all loops on one room must have the same. */
export interface SubscribeOptions {
  /** True: omit this connection's own messages; default false. */
  readonly no_echo?: boolean;
  /**
   * True: join the room as a member, and receive the list of members (`subscription.presence`); default false. Needs
   * the grant `presence` beside `subscribe`.
   */
  readonly presence?: boolean;
  /** With `presence`: this member's metadata, visible to others; `Subscription.update` changes it. */
  readonly member_meta?: JsonInput;
  /** True, with `presence`: receive the list of members without being one; default false. */
  readonly observer?: boolean;
  /**
   * Only messages that match this CEL expression over `type`, `sender`, `headers` and `data`, including stored ones. An
   * invalid filter is refused with `invalid-filter`.
   */
  readonly filter?: string;
  /**
   * Begin directly after this position in a durable room; only for the first loop on the room. If not all messages
   * since then are available, the loop begins with a GAP. Other rooms are refused with `not-durable`.
   */
  readonly position?: Position;
  /**
   * Begin with stored messages of a durable room, without a gap and without duplicates: `replay({ last: 10 })` of
   * `@arqon/sdk/history`. Only for the first loop on the room, without `position`.
   */
  readonly begin?: Beginning;
  /**
   * True, or an earlier `checkpoint` of the room's transparency log: each message is checked against the log's newest
   * checkpoint before the loop gets it, which takes about a second. The loop throws a `ProofError` of
   * `@arqon/sdk/proof` for a violation, and an Error if the room has no log, or no vkey of `proof` (`ConnectOptions`)
   * has signed it.
   */
  readonly verify?: boolean | string;
  /** The most messages buffered for the loop; default 8,192. See `on_overflow`. */
  readonly buffer?: number;
  /** The most buffered bytes; default 32 MiB. */
  readonly buffer_bytes?: number;
  /** What happens when the buffer of a slow loop is full; default "drop-newest". */
  readonly on_overflow?: Overflow;
  /** Aborting ends the loop, which throws the signal's reason; buffered messages are dropped. */
  readonly signal?: AbortSignal;
}

/**
 * The messages of one room. Leaving the loop, or `close()`, ends the subscription. The bus ends it when this client is
 * kicked or banned: the last message's `signal.kind` is `DISCONNECT` or `BAN`.
 */
export interface Subscription extends AsyncIterableIterator<Message, undefined> {
  readonly room: string;
  /** Resolves when the SUB is acknowledged and the list of members is complete; rejects with the refusal. */
  readonly ready: Promise<void>;
  /** The members of the room; undefined without `presence: true`. */
  readonly presence: Presence | undefined;
  /** This client's position in a durable room; undefined before the first ACK. */
  readonly position: Position | undefined;
  /** The `offset` of `position`. */
  readonly offset: Uint64 | undefined;
  /** The `epoch` of `position`; also undefined if a room became durable and its epoch is not known yet. */
  readonly epoch: string | undefined;
  /**
   * Whether the last SUB with a position, after a reconnect or by `SubscribeOptions`, recovered all messages since;
   * undefined without such a SUB. If false, the loop received a GAP.
   */
  readonly recovered: boolean | undefined;
  /** With `verify`: the newest verified checkpoint, for `verify` of a later visit; undefined: none yet. */
  readonly checkpoint?: string | undefined;
  /**
   * Changes this member's metadata. Resolves when a Shield has accepted it; later SUBs contain it. Rejects with the
   * refusal, and the metadata stays unchanged. TypeError if this client is not a member.
   */
  update(member_meta: JsonInput): Promise<void>;
  close(): void;
  [Symbol.dispose](): void;
}

/** A subscription with `presence: true`. */
export interface PresenceSubscription extends Subscription {
  readonly presence: Presence;
}

/** The connection's side of a subscription. */
export interface Reader {
  readonly buffer: MessageBuffer<Message>;
  readonly ready: PromiseWithResolvers<void>;
  readonly presence: Presence | undefined;
}

/** The options of a SUB, which must be the same for all loops on a room. */
export type SubTerms = Required<
  Pick<SubscribeOptions, "no_echo" | "presence" | "observer" | "filter">
>;

/** A room with loops, as far as `Beginning` goes. */
export interface ReplayedRoom {
  readonly terms: SubTerms;
  readonly readers: Set<Reader>;
  /** The members; with `presence` only. */
  readonly table: MemberTable | undefined;
  readonly place: Place;
  /** True after an ACK on the present session. */
  active: boolean;
  /** Aborted when the room has no more loops. */
  readonly over: AbortController;
}

/** The connection's parts that it needs; `now` is the Shield's clock, `backoff` is for refused SUBs. */
export interface SubscriptionsOptions extends RepairOptions {
  nextId(): number;
  readonly backoff: Backoff;
  readonly newPositions?: (() => PatternPositions) | undefined;
}

/** Metadata as JSON bytes. Throws TypeError for values that JSON cannot represent. */
export function encodeMeta(member_meta: JsonInput): Uint8Array {
  const text = JSON.stringify(member_meta) as string | undefined;
  if (text === undefined) throw new TypeError("member_meta is no JSON");
  return encodeUtf8(text);
}

/** A loop over items derived from a subscription's messages: leaving it ends the subscription. */
export function loopOver<Item>(
  { close, ready }: Pick<Subscription, "close" | "ready">,
  items: AsyncGenerator<Item, undefined>,
): AsyncIterableIterator<Item, undefined> & Pick<Subscription, "ready" | "close"> & Disposable {
  return {
    ready,
    close,
    next: () => items.next(),
    return() {
      close();
      return items.return(undefined);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
    [Symbol.dispose]: close,
  };
}
