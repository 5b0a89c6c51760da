/**
 * The bus as the stores of a page share it: one connection, open while something subscribes to it, and one
 * set of stores for each room. Reconnecting and tokens are the SDK's `Connection`.
 */
import { connect } from "../connection/connection.ts";
import type { Connection } from "../connection/connection.ts";
import type { ConnectOptions, Status } from "../options/options.ts";
import { asArqonError } from "../wire/wire_error.ts";
import { RoomStores } from "./room_stores.ts";
import { Cell } from "./store.ts";
import type { Store } from "./store.ts";

/** Rooms of which a client keeps the stores at least, so that a page may come back to them. */
const ROOMS_KEPT = 256;

/** What the connection is doing; while nobody wants it, it is "connecting". */
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
      // One that is open says goodbye; the signal ends one that is not.
      const { state } = this.get();
      if (state === "open") void bus.then((open) => open.close());
      else over.abort();
    };
  }
}

/**
 * A bus for the stores of a page. It connects when the first store is heard, and tries until it is
 * open; it closes when none is heard any longer. Without a subscriber it does nothing, so a server may
 * make one for what it renders.
 */
export class BusClient {
  readonly #connection: ConnectionStore;
  readonly #rooms = new Map<string, RoomStores>();

  /** Use `createClient`. */
  constructor(options: ConnectOptions) {
    this.#connection = new ConnectionStore(options);
  }

  /** What the connection is doing. */
  get connection(): Store<Status> {
    return this.#connection;
  }

  /** The stores of that room: the same ones for all who ask. */
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

  /**
   * Runs `work` with the open connection, which is held until it is done. Rejects with what ended the
   * connection for good.
   */
  async use<Result>(work: (bus: Connection) => Result | Promise<Result>): Promise<Result> {
    const leave = this.#connection.subscribe(() => {});
    try {
      return await work(await this.#connection.bus!);
    } finally {
      leave();
    }
  }
}

/** A client of the bus for stores; takes what `connect` takes, and connects when a store is heard. */
export function createClient(options: ConnectOptions): BusClient {
  return new BusClient(options);
}
