/**
 * One connection's subscription to one room, as the hub sees it. All that a message passes on its
 * way to each of thousands of receivers is here and in `outbox.ts`, and nowhere else. How a
 * connection gets its subscription is `subscribe.ts`.
 */
import type { Subscribe } from "@arqon/proto";
import type { RoomMessage } from "./backlog.ts";
import type { Identity } from "../auth/identity.ts";
import type { Connection } from "../connection/connection.ts";
import type { Flow } from "../durable/room/flow.ts";
import type { Filter } from "../filter/filter.ts";
import type { Frame } from "./frame_bytes.ts";
import type { Subscriber } from "./hub.ts";
import type { SubscriptionMark } from "../ledger/row_facts.ts";
import type { UserUse } from "../usage/user_use.ts";

/** The `Subscriber` of an open connection. */
export class RoomSubscriber implements Subscriber {
  readonly connection_id: string;
  readonly text: boolean;
  readonly no_echo: boolean;
  readonly flow: Flow | undefined;
  readonly mark: SubscriptionMark | undefined;
  readonly use: UserUse | undefined;
  readonly filter: Filter | undefined;
  readonly bases: number[] | undefined;
  readonly #connection: Connection;
  readonly #outbox: Connection["outbox"];

  constructor(
    connection: Connection,
    { no_echo, delta }: Pick<Subscribe, "no_echo" | "delta">,
    flow: Flow | undefined,
    mark: SubscriptionMark | undefined,
    filter: Filter | undefined,
  ) {
    this.connection_id = connection.id;
    this.text = connection.text;
    this.no_echo = no_echo;
    this.flow = flow;
    this.mark = mark;
    this.use = connection.use;
    this.filter = filter;
    this.bases = delta ? [] : undefined;
    this.#connection = connection;
    this.#outbox = connection.outbox;
  }

  /** The identity of the moment: REFRESH makes another. */
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
