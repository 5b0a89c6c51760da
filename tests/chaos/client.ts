/**
 * One client of the chaos run: an SDK connection through a load balancer, a member or an observer of
 * some rooms. The SDK keeps it connected; this knows what it wants and what it was told.
 */
import { decodeServerFrame } from "@arqon/proto";
import type { Welcome } from "@arqon/proto";
import { ArqonError, connect } from "../../sdk/typescript/mod.ts";
import type {
  Connection,
  Json,
  Member,
  Message,
  PresenceSubscription,
  Room,
  Status,
  WebSocketConstructor,
} from "../../sdk/typescript/mod.ts";
import { roomState } from "@arqon/sdk/state";
import { pace } from "../../shared/testing/pace.ts";
import type { ConnectionRecord, Registry } from "./registry.ts";

/** Who a client is. */
export interface ClientOptions {
  readonly tenant_id: string;
  readonly user_id: string;
  readonly url: string;
  readonly token: string;
  readonly registry: Registry;
  /** Hears messages of its rooms that are not presence. */
  readonly onMessage: (room_id: string, message: Message) => void;
  /** Hears what must not happen: a subscription or connection that ended although nobody asked. */
  readonly onSurprise: (text: string) => void;
}

/** A room of a client. */
export interface Stay {
  readonly room_id: string;
  readonly observer: boolean;
  readonly subscription: PresenceSubscription;
  /** What others should see, as far as a Shield has taken it. */
  meta: Json;
  /** A change of `meta` is on its way. */
  changing: boolean;
  /** As it was told. */
  readonly members: ReadonlyMap<string, Member>;
}

const RETRY_MS = 500;
/** Short, so that one run has many attempts; as an app would have it behind a balancer. */
const TIMES = {
  backoff: { base_ms: 100, max_ms: 2_000 },
  initial_attempts: Infinity,
  handshake_timeout_ms: 3_000,
  request_timeout_ms: 5_000,
};

/**
 * Sockets whose WELCOME somebody else hears first. An SDK that moves to another Shield is a member there
 * before it says that it has moved, and one that cannot move has been one for a moment.
 */
function overheard(onWelcome: (welcome: Welcome) => void): WebSocketConstructor {
  class Overheard extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols);
      const first = ({ data }: MessageEvent) => {
        const frame = decodeServerFrame(new Uint8Array(data));
        if (frame.kind === "welcome") onWelcome(frame.welcome);
      };
      this.addEventListener("message", first, { once: true });
    }
  }
  return Overheard as unknown as WebSocketConstructor;
}

/** It stays the same client over any number of connections. */
export class Client {
  readonly options: ClientOptions;
  readonly stays = new Map<string, Stay>();
  #connection: Promise<Connection> | undefined;
  #abort = new AbortController();
  #record: ConnectionRecord | undefined;
  #revision = 0;

  constructor(options: ClientOptions) {
    this.options = options;
  }

  /** The connection that is open now. */
  get record(): ConnectionRecord | undefined {
    return this.#record;
  }

  /** Connects and enters these rooms; resolves with the first WELCOME, however long that takes. */
  async open(rooms: Iterable<{ room_id: string; observer: boolean }>): Promise<void> {
    this.#abort = new AbortController();
    const { url, token } = this.options;
    const onStatus = (status: Status) => this.#onStatus(status);
    const webSocket = overheard((welcome) => this.#onWelcome(welcome));
    const { signal } = this.#abort;
    this.#connection = connect({ url, token, ...TIMES, signal, onStatus, webSocket });
    const connection = await this.#connection;
    void connection.closed.then((error) => {
      if (error !== undefined) this.#surprise(`its connection ended: ${error.message}`);
    });
    for (const { room_id, observer } of rooms) await this.enter(room_id, observer);
  }

  /** Closes its connection in order; `open` makes another one. */
  async close(): Promise<void> {
    this.stays.clear();
    if (this.#record !== undefined) this.options.registry.ended(this.#record, "closed");
    this.#abort.abort();
    await (await this.#connection?.catch(() => undefined))?.close();
  }

  /** A room of its connection. Rejects while it never had one. */
  async room(room_id: string): Promise<Room> {
    if (this.#connection === undefined) throw new TypeError("the client was never open");
    return (await this.#connection).room(room_id);
  }

  async enter(room_id: string, observer: boolean): Promise<void> {
    const meta = observer ? null : this.#nextMeta();
    const wish = { presence: true, ...(observer ? { observer } : { member_meta: meta }) } as const;
    const room = await this.room(room_id);
    roomState(room); // the loop misses no change
    const subscription = room.subscribe(wish);
    const { members } = subscription.presence;
    const stay: Stay = { room_id, observer, subscription, meta, changing: false, members };
    this.stays.set(room_id, stay);
    if (!observer) this.#record?.stays.set(room_id, stay);
    void this.#follow(stay, async () => {
      for await (const message of subscription) this.options.onMessage(room_id, message);
    });
    const { registry, tenant_id, user_id } = this.options;
    void this.#follow(stay, async () => {
      for await (const changes of subscription.presence.changes()) {
        registry.heard({ tenant_id, user_id, room_id, on: this.#record, changes });
      }
    });
  }

  leave(room_id: string): void {
    const stay = this.stays.get(room_id);
    this.stays.delete(room_id);
    this.#record?.stays.delete(room_id);
    if (this.#record !== undefined) this.options.registry.ended(this.#record, "left", room_id);
    stay?.subscription.close();
  }

  /** Other metadata in a room. Resolves when a Shield has taken it, or the stay is over. */
  async change(room_id: string): Promise<void> {
    const stay = this.stays.get(room_id);
    if (stay === undefined || stay.observer || stay.changing) return;
    const meta = this.#nextMeta();
    stay.changing = true;
    let may_stand = false;
    while (this.stays.get(room_id) === stay) {
      try {
        await stay.subscription.update(meta);
        stay.meta = meta;
        break;
      } catch (error) {
        if (!(error instanceof ArqonError)) break;
        // A refusal leaves the old metadata. After one that was not answered in time either may stand,
        // so it is sent until a Shield has taken it.
        may_stand ||= error.reason === "answer-timeout";
        if (!may_stand) break;
        await pace(RETRY_MS);
      }
    }
    stay.changing = false;
  }

  #nextMeta(): Json {
    return { of: this.options.user_id, revision: ++this.#revision };
  }

  /** Both loops of a stay end when the client leaves the room, and never before. */
  async #follow(stay: Stay, loop: () => Promise<void>): Promise<void> {
    let why = "without an error";
    try {
      await loop();
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    if (this.stays.get(stay.room_id) !== stay) return;
    this.#surprise(`its subscription of ${stay.room_id} ended: ${why}`);
  }

  #onWelcome({ connection_id, node_id }: Welcome): void {
    const { registry, tenant_id, user_id } = this.options;
    registry.opened({ connection_id, node_id, tenant_id, user_id });
  }

  #onStatus(status: Status): void {
    const { registry } = this.options;
    if (this.#record !== undefined) {
      this.#record.closed_ms = registry.now();
      registry.ended(this.#record, "lost");
      this.#record.stays.clear();
      this.#record.told.clear();
    }
    this.#record = undefined;
    if (status.state !== "open") return;
    const record = this.#record = registry.find(status.welcome.connection_id);
    for (const stay of this.stays.values()) {
      if (!stay.observer) record?.stays.set(stay.room_id, stay);
    }
  }

  #surprise(what: string): void {
    const { user_id, tenant_id, onSurprise } = this.options;
    onSurprise(`${user_id} of ${tenant_id}: ${what}`);
  }
}
