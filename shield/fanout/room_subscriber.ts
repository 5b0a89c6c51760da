/**
 * One connection's subscription to one room, for the hub. The whole path of a message to each of thousands of receivers
 * is here and in `outbox.ts`. `subscribe.ts` creates subscriptions.
 */
import type { RoomMessage } from "./backlog.ts";
import type { Identity } from "../auth/identity.ts";
import type { Outbox } from "./outbox.ts";
import type { Flow } from "./entry.ts";
import type { Filter } from "./filters.ts";
import type { DeltaWish } from "./deltas.ts";
import type { Frame } from "./frame_bytes.ts";
import type { Subscriber } from "./hub.ts";
import type { SubscriptionMark } from "./delivery_notes.ts";
import type { UserUse } from "../../shared/records/user_use.ts";

/** A connection, for fan-out. */
export interface Recipient {
  readonly id: string;
  /** Its number in the ledger; 0: there is none. */
  readonly number: number;
  readonly text: boolean;
  /** The current identity: REFRESH makes another. */
  readonly identity: Identity;
  readonly use: UserUse | undefined;
  /** Undefined until the connection is open. */
  readonly outbox: Outbox | undefined;
  /** Ends the connection, because its backlog exceeds the limits. */
  overflow(): void;
}

/** A connection's options for a room. */
export interface Wish {
  readonly no_echo: boolean;
  readonly filter: Filter | undefined;
  /** Undefined: no diffs. */
  readonly deltas: DeltaWish | undefined;
}

/** The `Subscriber` of an open connection. */
export class RoomSubscriber implements Subscriber {
  readonly connection_id: string;
  readonly text: boolean;
  readonly no_echo: boolean;
  readonly flow: Flow | undefined;
  mark: SubscriptionMark | undefined;
  readonly use: UserUse | undefined;
  readonly filter: Filter | undefined;
  readonly deltas: Subscriber["deltas"];
  readonly #connection: Recipient;
  readonly #outbox: Recipient["outbox"];

  constructor(
    connection: Recipient,
    { no_echo, filter, deltas }: Wish,
    flow: Flow | undefined,
    mark: SubscriptionMark | undefined,
  ) {
    this.connection_id = connection.id;
    this.text = connection.text;
    this.no_echo = no_echo;
    this.flow = flow;
    this.mark = mark;
    this.use = connection.use;
    this.filter = filter;
    this.deltas = deltas && { ...deltas, bases: [] };
    this.#connection = connection;
    this.#outbox = connection.outbox;
  }

  get identity(): Identity {
    return this.#connection.identity;
  }

  get is_direct(): boolean {
    return this.#outbox?.is_direct === true;
  }

  send(frame: Frame, message?: RoomMessage): void {
    this.#outbox?.send(frame, message);
  }

  overflow(): void {
    this.#connection.overflow();
  }
}
