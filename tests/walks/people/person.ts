/**
 * A person in a room of people: an SDK connection that reconnects automatically, a member or an observer of the room.
 */
import { connect, type Connection, type PresenceSubscription } from "@arqon/sdk";
import { type RoomEvent, roomState } from "@arqon/sdk/state";
import { insist } from "../../../shared/testing/until.ts";
import type { TestBus } from "../../harness/test_bus.ts";
import { ChangeRecord } from "./change_checker.ts";

/** The room, which has the class of the row's room and none of its messages. */
export const ROOM = "room-people";

/** As an application behind a load balancer sets them. */
const TIMES = {
  backoff: { base_ms: 50, max_ms: 1_000 },
  initial_attempts: Infinity,
  handshake_timeout_ms: 3_000,
  request_timeout_ms: 5_000,
};

/** The person's identity and callbacks. */
export interface PersonOptions {
  readonly bus: TestBus;
  readonly tenant: string;
  readonly user_id: string;
  readonly observer: boolean;
  /** Behind a load balancer: it moves when its Shield stops orderly. */
  readonly moves: boolean;
  readonly onChange: (event: RoomEvent) => void;
  readonly onSurprise: (text: string) => void;
}

/** One person, across any number of connections. */
export class Person implements AsyncDisposable {
  readonly options: PersonOptions;
  readonly record: ChangeRecord;
  readonly #connection: Connection;
  readonly presence: PresenceSubscription;
  /** Connections that left, as notified since the last check. */
  left: string[] = [];
  meta = { revision: 0 };
  /** Of its open connection. */
  connection_id: string | undefined;
  /** Its connection has not changed since the last check. */
  is_steady = true;
  #is_over = false;

  private constructor(options: PersonOptions, connection: Connection) {
    const { user_id, observer, onChange } = options;
    this.options = options;
    this.#connection = connection;
    this.record = new ChangeRecord(`${user_id} in ${ROOM}`);
    roomState(this.room); // the loop misses no change
    const wish = observer ? { observer } as const : { member_meta: this.meta };
    this.presence = this.room.subscribe({ presence: true, ...wish });
    void this.#follow(async () => {
      for await (const message of this.presence) {
        if (message.signal?.kind === "GAP") this.record.gap();
        if (message.type !== "ROOM_UPDATE") continue;
        const event = message.json<RoomEvent>();
        this.record.receive(event);
        if (event.op !== "state") onChange(event);
      }
    });
    void this.#follow(async () => {
      for await (const { left } of this.presence.presence.changes()) {
        this.left.push(...left.map(({ connection_id }) => connection_id));
      }
    });
  }

  /** Resolves once it is in the room. */
  static async open(options: PersonOptions): Promise<Person> {
    const { bus: { url, tokenFor }, tenant, user_id } = options;
    let id: string | undefined;
    let onConnection = (_id: string | undefined) => {};
    const connection = await connect({
      url,
      ...TIMES,
      token: await tokenFor({ tenant, user: user_id }),
      onStatus(status) {
        id = status.state === "open" ? status.welcome.connection_id : undefined;
        onConnection(id);
      },
    });
    const person = new Person(options, connection);
    person.connection_id = id;
    onConnection = (now) => person.#onConnection(now);
    await person.presence.ready;
    return person;
  }

  get room() {
    return this.#connection.room(ROOM);
  }

  get user_id(): string {
    return this.options.user_id;
  }

  /** New metadata; resolves when a Shield has accepted it. */
  async change(): Promise<void> {
    const meta = { revision: this.meta.revision + 1 };
    await insist("its metadata is taken", () => this.presence.update(meta));
    this.meta = meta;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#is_over = true;
    await this.#connection.close();
  }

  #onConnection(id: string | undefined): void {
    // A moved connection keeps its id, and is a member all the time.
    if (id === undefined || id !== this.connection_id) this.is_steady = false;
    this.connection_id = id;
  }

  /** Its iterations end when it leaves, and never before. */
  async #follow(loop: () => Promise<void>): Promise<void> {
    const why = await loop().then(() => "without an error", String);
    if (!this.#is_over) this.options.onSurprise(`${this.user_id}: its subscription ended: ${why}`);
  }
}
