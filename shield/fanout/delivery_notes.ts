/** The recorder of subscriptions, deliveries and dropped messages, for fan-out; the ledger implements it. */
import type { Identity } from "../auth/identity.ts";
import type { Episode, Flow } from "./entry.ts";

/** A connection, as far as the ledger cares. */
export interface LivingConnection {
  readonly number: number;
  readonly id: string;
  readonly ended: boolean;
  readonly identity: { readonly tenant_id: string; readonly user_id: string };
  readonly caller: { readonly remote_ip: string };
  /** When it began by the ledger's clock, Unix ms. */
  readonly noted_ms: number;
  readonly outbox:
    | { readonly queued_from: number; readonly has_batches: boolean }
    | undefined;
  readonly subscriptions: ReadonlyMap<string, Marked>;
}

/** A subscription, as far as the ledger cares. */
interface Marked {
  readonly mark?: SubscriptionMark | undefined;
}

/** A room in the notes. */
export interface NotedRoom {
  is_open: boolean;
}

/** Consecutive dropped messages, in one row; opaque to fan-out. */
export type LeftOutRun = object;

/** A subscription while it lasts. One object for each, so its size counts. */
export interface SubscriptionMark {
  /** Its own number in the notes. */
  readonly number: number;
  readonly connection: number;
  /** The position of the first message that it could be sent. */
  readonly since: number;
  /** Unix ms. */
  readonly since_ms: number;
  /** The messages of a durable room that it was sent before it was live; undefined in other rooms. */
  readonly episode: Episode | undefined;
  /** The numbers of its filters; absent: it has none. */
  filters?: number[];
}

interface Begun {
  readonly flow?: Flow | undefined;
  readonly filter?: { readonly number: number } | undefined;
  /** The time since which its messages have been queued; absent: it begins now. */
  readonly began?: Pick<SubscriptionMark, "since" | "since_ms"> | undefined;
}

/** Takes notes of subscriptions. */
export interface SubscriptionNotes {
  /** One begins now. */
  began(
    connection: LivingConnection & { readonly identity: Identity },
    room_id: string,
    begun: Begun,
  ): SubscriptionMark;
  /** One has ended; `why` is a word, or the reason of a refusal. */
  left(
    connection: Pick<LivingConnection, "identity" | "outbox">,
    room_id: string,
    mark: SubscriptionMark | undefined,
    why: string,
  ): void;
}

/** The reason why a message is not delivered to a connection. */
type Why = "slow_reader" | "conflated" | "echo" | "queued" | "filter" | "lost";

/** Takes the notes. Positions number messages, of all rooms together. */
export interface DeliveryNotes {
  readonly position: number;
  /** The position of the message that is being sent, otherwise of the next one. */
  readonly current: number;
  /** Unix ms of a clock that never jumps. */
  readonly now_ms: number;
  readonly rooms: { find(tenant_id: string, room_id: string): NotedRoom | undefined };
  nextConnection(): number;
  openRoom(tenant_id: string, room_id: string): NotedRoom;
  /** A message is about to be sent, until `sent`; returns its position. */
  message(room: NotedRoom, envelope: Uint8Array, offset: number): number;
  sent(): void;
  /** The message is not sent to this connection, which published it. */
  noEcho(connection: number): void;
  /** A message is left out for all subscribers, since its id is a duplicate. */
  duplicate(room: NotedRoom, envelope: Uint8Array, offset: number): void;
  gap(room: NotedRoom, reason: string): void;
  /** A subscription skips a durable room's messages of these offsets. */
  passedOver(
    room: NotedRoom,
    mark: SubscriptionMark,
    passed: { readonly from: number; readonly to: number; readonly why: Why },
  ): void;
  /**
   * A message is not delivered to a connection. `run` is the result of the call for the room's previous message;
   * `leftOutAlone`: others were delivered between the two.
   */
  leftOut(
    room: NotedRoom,
    connection: number,
    position: number,
    why: Why,
    run?: LeftOutRun,
  ): LeftOutRun;
  leftOutAlone: DeliveryNotes["leftOut"];
}
