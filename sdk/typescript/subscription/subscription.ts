/** One loop over a room's messages, as the program holds it, and what `Room.subscribe` takes. */
import { encodeUtf8, type Uint64 } from "@arqon/proto";
import type { Backoff } from "../time/clock.ts";
import type { JsonInput } from "../wire/json.ts";
import type { Message } from "../message/message.ts";
import type { MessageBuffer, Overflow } from "../message/message_buffer.ts";
import type { Place, Position } from "../durable/position.ts";
import type { Presence } from "../presence/presence.ts";
import type { CommandRoom } from "../request/room_request.ts";
import type { RoomEntry } from "./room_entry.ts";

/** Gives the loops what a room has stored, up to where the next SUB asks: see `replay`. */
export type Beginning = (entry: RoomEntry, room: CommandRoom, now_ms: number) => Promise<void>;

/** What `Room.subscribe` takes. But for the buffer all loops on one room must agree. */
export interface SubscribeOptions {
  /** True: leave out what this connection publishes itself; default false. */
  readonly no_echo?: boolean;
  /**
   * True: be a member of the room, and know who else is (`subscription.presence`); default false.
   * Needs the grant `presence` beside `subscribe`.
   */
  readonly presence?: boolean;
  /** With `presence`: what others see of this member; `Subscription.update` changes it. */
  readonly member_meta?: JsonInput;
  /** True, with `presence`: know who is there without being a member; default false. */
  readonly observer?: boolean;
  /**
   * Only messages for which this is true, in CEL over `type`, `sender`, `headers` and `data`; stored
   * ones, too. What is no filter is refused with `invalid-filter`.
   */
  readonly filter?: string;
  /**
   * Begin right after this place of a durable room; for the first loop on the room only. When not
   * everything since is available, the loop begins with a GAP. Else `not-durable`.
   */
  readonly position?: Position;
  /**
   * Begin with what a durable room has stored, without a hole and without a repeat: `replay({ last:
   * 10 })` of `@arqon/sdk/history`. For the first loop on the room only, without `position`.
   */
  readonly begin?: Beginning;
  /** Messages that may wait for the loop; default 8,192. See `on_overflow` for more. */
  readonly buffer?: number;
  /** Bytes of the messages that may wait; default 32 MiB. */
  readonly buffer_bytes?: number;
  /** What happens to messages that a slow loop has no room for; default "drop-newest". */
  readonly on_overflow?: Overflow;
  /** Aborting ends the loop, which throws the signal's reason; messages that wait are dropped. */
  readonly signal?: AbortSignal;
}

/**
 * The messages of one room. Leaving the loop, or `close()`, ends the subscription. So does the bus
 * when it puts this client out: the last message's `signal.kind` is `DISCONNECT` (a kick) or `BAN`.
 */
export interface Subscription extends AsyncIterableIterator<Message, undefined> {
  readonly room: string;
  /** Resolves when the SUB stands and the list of members is whole; rejects with the refusal. */
  readonly ready: Promise<void>;
  /** Who is in the room; undefined without `presence: true`. */
  readonly presence: Presence | undefined;
  /**
   * How far messages of a durable room have come to this client; undefined before the first ACK.
   */
  readonly position: Position | undefined;
  /** The `offset` of `position`. */
  readonly offset: Uint64 | undefined;
  /** The `epoch` of `position`; also undefined while a room that became durable has not told it. */
  readonly epoch: string | undefined;
  /**
   * Whether the last SUB that asked for a position, after a reconnect or by `SubscribeOptions`, got
   * everything since; undefined when none has asked. Where it is false, the loop has found a GAP.
   */
  readonly recovered: boolean | undefined;
  /**
   * Changes this member's metadata. Resolves when a Shield has taken it; later SUBs carry it, too.
   * Rejects with the refusal: the old metadata stands. TypeError when this is no member.
   */
  update(member_meta: JsonInput): Promise<void>;
  close(): void;
  [Symbol.dispose](): void;
}

/** A subscription with `presence: true`. */
export interface PresenceSubscription extends Subscription {
  readonly presence: Presence;
}

/** A subscription as the connection sees it. */
export interface Reader {
  readonly buffer: MessageBuffer<Message>;
  readonly ready: PromiseWithResolvers<void>;
  readonly presence: Presence | undefined;
}

/** What the connection lends: request ids, the clock in Unix ms, waits between refused SUBs. */
export interface SubscriptionsOptions {
  nextId(): number;
  readonly now: () => number;
  readonly random: () => number;
  readonly backoff: Backoff;
}

/** Metadata as JSON bytes. Throws TypeError for what JSON cannot say. */
export function encodeMeta(member_meta: JsonInput): Uint8Array {
  const text = JSON.stringify(member_meta) as string | undefined;
  if (text === undefined) throw new TypeError("member_meta is no JSON");
  return encodeUtf8(text);
}

/** A reader as the program sees it; `place` and `update` are the room's. */
export function asSubscription(
  room: string,
  { buffer, ready, presence }: Reader,
  place: Place,
  update: (member_meta: JsonInput) => Promise<void>,
): Subscription {
  const close = () => void buffer.return();
  return {
    room,
    ready: ready.promise,
    presence,
    get position() {
      return place.position;
    },
    get offset() {
      return place.position?.offset;
    },
    get epoch() {
      return place.position?.epoch;
    },
    get recovered() {
      return place.recovered;
    },
    update,
    close,
    next: () => buffer.next(),
    return: () => buffer.return(),
    [Symbol.asyncIterator]() {
      return this;
    },
    [Symbol.dispose]: close,
  };
}

/** A loop over what is made of a subscription's messages: who leaves it, leaves the subscription. */
export function loopOver<Item>(
  { close, ready }: Subscription,
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
