/**
 * Stores for web pages: the bus as observable values for React (`@arqon/react`), Vue, Svelte or any other framework.
 * They need no framework, and connect when the first store has a subscriber.
 *
 * ```ts
 * import { createClient } from "@arqon/sdk/stores";
 *
 * const getToken = async () => await (await fetch("/my-token")).text();
 * const client = createClient({ url: "wss://bus.example.com", getToken });
 * const lobby = client.room("lobby");
 * const stop = lobby.messages().subscribe(({ messages }) => console.log(messages.length));
 * await lobby.publish("chat", { text: "hello" });
 * stop();
 * ```
 */
import { connect, type Connection } from "./connection/connection.ts";
import type { ConnectOptions, Status } from "./options/options.ts";
import type { Data, Published, PublishOptions } from "./request/room_request.ts";
import type { Room } from "./room/room.ts";
import { LockStore, StateStore } from "./stores/state_store.ts";
import { ValuesStore, type Watch, type Watched } from "./stores/state_store.ts";
import { type MessagesOptions, MessageStore } from "./stores/message_store.ts";
import { PresenceStore } from "./stores/presence_store.ts";
import { RoomHub } from "./stores/room_hub.ts";
import { Cell, type Store } from "./stores/store.ts";
import { asArqonError } from "./wire/wire_error.ts";

export type { MessagesOptions, MessageStore, MessagesView } from "./stores/message_store.ts";
export type { MemberWith, PresenceOptions } from "./stores/presence_store.ts";
export type { PresenceStore, PresenceView } from "./stores/presence_store.ts";
export type { LockStore, LockView, StateStore, StateView } from "./stores/state_store.ts";
export type { ValuesStore, ValuesView, Watch, Watched } from "./stores/state_store.ts";
export { whenReady } from "./stores/store.ts";
export type { RoomView, Store } from "./stores/store.ts";

/**
 * One room of a client, whose stores share one subscription. If presence is added later, the room is subscribed to
 * again: then there is a GAP in the messages if the room is not durable.
 */
export class RoomStores {
  readonly id: string;
  /** The other members; this client is a member while the store has a subscriber. */
  readonly presence: PresenceStore;
  /** The members, without being one. */
  readonly members: PresenceStore;
  readonly state: StateStore;
  readonly lock: LockStore;
  readonly #hub: RoomHub;
  readonly #messages = new Map<string, MessageStore>();
  readonly #values = new WeakMap<object, unknown>();

  /** Use `BusClient.room`. */
  constructor(id: string, client: BusClient) {
    this.id = id;
    this.#hub = new RoomHub(id, client);
    this.presence = new PresenceStore(this.#hub, "member");
    this.members = new PresenceStore(this.#hub, "observer");
    this.state = new StateStore(this.#hub);
    this.lock = new LockStore(this.#hub, this.state);
  }

  /** Whether no store of the room has a subscriber. */
  get is_idle(): boolean {
    return this.#hub.is_idle;
  }

  /** The messages of the room: the same store for equal options. */
  messages({ history = 0, type, limit }: MessagesOptions = {}): MessageStore {
    const options = { history, type, limit: limit || undefined };
    const key = JSON.stringify(options);
    const store = this.#messages.get(key) ?? new MessageStore(this.#hub, options);
    this.#messages.set(key, store);
    return store;
  }

  /**
   * The visible values of a room with a reducer. `watch` starts watching them, such as `(room) =>
   * reduced(room).state.watch()`: the same store for the same function.
   */
  values<Values extends Watched>(watch: Watch<Values>): ValuesStore<Values> {
    const known = this.#values.get(watch) as ValuesStore<Values> | undefined;
    const store = known ?? new ValuesStore(this.#hub, watch);
    this.#values.set(watch, store);
    return store;
  }

  /** Publishes one event, as `Room.publish`; waits for the connection. */
  readonly publish = (
    type: string,
    data?: Data,
    options?: PublishOptions & { ack?: true },
  ): Promise<Published> => this.use((room) => room.publish(type, data, options));

  /** Runs `work` with the SDK's room, for everything else; waits for the connection. */
  readonly use = <Result>(work: (room: Room) => Result | Promise<Result>): Promise<Result> =>
    this.#hub.use(work);
}

/** The number of rooms whose stores a client keeps, so that a page may return to them. */
const ROOMS_KEPT = 256;

/** The status of the connection; without subscribers it is "connecting". */
class ConnectionStore extends Cell<Status> {
  readonly #options: ConnectOptions;
  bus: Promise<Connection> | undefined;

  constructor(options: ConnectOptions) {
    super({ state: "connecting", attempt: 0 });
    this.#options = options;
  }

  protected start(): () => void {
    const over = new AbortController();
    let is_over = false;
    const { signal, onStatus } = this.#options;
    const tell = (status: Status) => {
      if (!is_over) this.replace(status);
    };
    const bus = connect({
      initial_attempts: Infinity,
      ...this.#options,
      signal: signal ? AbortSignal.any([signal, over.signal]) : over.signal,
      onStatus: (status) => {
        tell(status);
        onStatus?.(status);
      },
    });
    bus.catch((error) => tell({ state: "closed", error: asArqonError(error) }));
    this.bus = bus;
    return () => {
      is_over = true;
      // An open connection closes in order; the signal aborts one that is not open.
      const { state } = this.get();
      if (state === "open") void bus.then((open) => open.close());
      else over.abort();
    };
  }
}

/**
 * A bus client for the stores of a page. It connects when the first store has a subscriber, retries until it is open,
 * and closes after the last one has left. A server may create one for rendering.
 */
export class BusClient {
  readonly #connection: ConnectionStore;
  readonly #rooms = new Map<string, RoomStores>();

  /** Use `createClient`. */
  constructor(options: ConnectOptions) {
    this.#connection = new ConnectionStore(options);
  }

  /** The status of the connection. */
  get connection(): Store<Status> {
    return this.#connection;
  }

  /** The stores of that room: the same objects for each call. */
  room(id: string): RoomStores {
    const known = this.#rooms.get(id);
    if (known) return known;
    if (this.#rooms.size >= ROOMS_KEPT) {
      for (const [old, stores] of this.#rooms) if (stores.is_idle) this.#rooms.delete(old);
    }
    const room = new RoomStores(id, this);
    this.#rooms.set(id, room);
    return room;
  }

  /** Runs `work` with the open connection. Rejects with the error that ended the connection. */
  async use<Result>(work: (bus: Connection) => Result | Promise<Result>): Promise<Result> {
    const leave = this.#connection.subscribe(() => {});
    try {
      return await work(await this.#connection.bus!);
    } finally {
      leave();
    }
  }
}

/** Creates a bus client for stores; it takes the options of `connect`, and connects when a store has a subscriber. */
export function createClient(options: ConnectOptions): BusClient {
  return new BusClient(options);
}
