/** The stores of one room of a client, each made once, and publishing. */
import type { Data, Published, PublishOptions } from "../request/room_request.ts";
import type { Room } from "../room/room.ts";
import type { BusClient } from "./client.ts";
import { LockStore } from "./lock_store.ts";
import { MessageStore } from "./message_store.ts";
import type { MessagesOptions } from "./message_store.ts";
import { PresenceStore } from "./presence_store.ts";
import { RoomHub } from "./room_hub.ts";
import { StateStore } from "./state_store.ts";
import { ValuesStore, type Watch, type Watched } from "./values_store.ts";

/**
 * One room of a client. All its stores share one subscription. When the first store that wants
 * presence comes later than others, the room is subscribed to anew, and in a room that is not durable
 * the messages find a GAP there.
 */
export class RoomStores {
  readonly id: string;
  /** Who else is there; this client is a member while somebody subscribes to it. */
  readonly presence: PresenceStore;
  /** Who is there, without being a member. */
  readonly members: PresenceStore;
  readonly state: StateStore;
  readonly lock: LockStore;
  readonly #hub: RoomHub;
  readonly #client: BusClient;
  readonly #messages = new Map<string, MessageStore>();
  readonly #values = new WeakMap<object, unknown>();

  /** Use `BusClient.room`. */
  constructor(id: string, client: BusClient) {
    this.id = id;
    this.#client = client;
    this.#hub = new RoomHub(id, client);
    this.presence = new PresenceStore(this.#hub, "member");
    this.members = new PresenceStore(this.#hub, "observer");
    this.state = new StateStore(this.#hub);
    this.lock = new LockStore(this.#hub, this.state);
  }

  /** Whether no store of the room is heard. */
  get is_idle(): boolean {
    return this.#hub.is_idle;
  }

  /** The messages of the room: the same store for equal options. */
  messages({ history = 0, type, limit }: MessagesOptions = {}): MessageStore {
    const options = {
      history,
      ...(type === undefined ? {} : { type }),
      ...(limit ? { limit } : {}),
    };
    const key = JSON.stringify(options);
    const store = this.#messages.get(key) ?? new MessageStore(this.#hub, options);
    this.#messages.set(key, store);
    return store;
  }

  /**
   * The values that a room with a reducer shows, by what begins to watch them, such as
   * `(room) => reduced(room).state.watch()`: the same store for the same function.
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

  /** Runs `work` with the SDK's room, which has all the rest; waits for the connection. */
  readonly use = <Result>(work: (room: Room) => Result | Promise<Result>): Promise<Result> =>
    this.#client.use((bus) => work(bus.room(this.id)));
}
