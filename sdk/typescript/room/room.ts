/** The API of one room. State and history are separate entry points. */
import { ArqonError, isId, type Uint64 } from "@arqon/proto";
import type { Message } from "../message/message.ts";
import type { Prove, ProvingBus } from "../proof.ts";
import { type Member, type MemberCount, readMembers } from "../presence/presence.ts";
import type { PresenceSubscription, SubscribeOptions } from "../subscription/subscription.ts";
import type { Subscription } from "../subscription/subscription.ts";
import { ask, encodeData, send } from "../request/room_request.ts";
import type { CommandOptions, CommandResult, Data, Handed, Json } from "../request/room_request.ts";
import type { Published, PublishOptions, RequestPort } from "../request/room_request.ts";
import { asArqonError } from "../wire/wire_error.ts";
import type { Subscriptions } from "../subscription/subscriptions.ts";
import type { BanOptions, KickOptions, KickTarget, LockOptions } from "../state/room_state.ts";
import type { RoomLock, RoomPosition, UnbanOptions } from "../state/room_state.ts";

/** The connection's parts that a held lock needs. */
export interface LockKeeping {
  /** Monotonic milliseconds. */
  readonly elapsed: () => number;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  /** Aborted with the reason when the connection ends. */
  readonly signal: AbortSignal;
  /** Each renews one lock when the client has moved to another Shield; they never reject. */
  readonly renewals: Set<() => Promise<void>>;
}

/**
 * Receives one message, including messages of the system (`message.signal`). Its promise is awaited before the next
 * message; later messages are buffered meanwhile.
 */
export type MessageHandler = (message: Message) => void | Promise<void>;

/** A subscription that passes its messages to a function; `close` drops the undelivered ones. */
export interface Listener
  extends
    Disposable,
    Pick<Subscription, "room" | "ready" | "presence" | "position" | "recovered" | "close"> {
  /** Resolves after the end, when the handler is done; rejects with the error that ended it. */
  readonly ended: Promise<void>;
}

/** Passes each message to `handler`; `report` receives its errors. */
function listenTo(
  subscription: Subscription,
  handler: MessageHandler,
  report: (error: ArqonError) => void,
  { signal }: SubscribeOptions,
): Listener {
  const run = async () => {
    try {
      for await (const message of subscription) {
        try {
          await handler(message);
        } catch (cause) {
          report(new ArqonError("handler-failed", `room ${subscription.room}`, { cause }));
        }
      }
    } catch (error) {
      if (error !== signal?.reason) report(asArqonError(error));
      throw error;
    }
  };
  const ended = run();
  // A program that ignores `ended` has `onError`.
  ended.catch(() => {});
  // Inherits the live properties of the subscription.
  return Object.assign(Object.create(subscription), { ended });
}

/** The connection's parts that a room needs. */
export interface RoomPort extends RequestPort, LockKeeping, ProvingBus {
  readonly subscriptions: Pick<Subscriptions, "mend" | "published">;
  /** Reports an error that no promise reports: `ConnectOptions.onError`. */
  report(error: ArqonError): void;
  /** `ConnectOptions.proof`. */
  readonly proof?: Prove;
}

/** The port of a room, for functions outside the class, so that bundles contain only the used ones. */
export let portOf: (room: Room) => RoomPort;

/**
 * One room of one connection, created by `Connection.room`. It has no state but its id: create any number of them;
 * there is nothing to close. A pattern, such as `orders-*`, matches all rooms with that prefix, for subscriptions only:
 * `Message.room` is the room of each message, and after a reconnect there is a GAP, because each room has its own
 * position.
 */
export class Room {
  readonly id: string;
  readonly #port: RoomPort;

  static {
    portOf = (room) => room.#port;
  }

  /** Throws `invalid-room` for an invalid id. */
  constructor(id: string, port: RoomPort) {
    // The Shield validates patterns.
    if (!isId(id) && !id.endsWith("*")) {
      const shown = JSON.stringify(id).slice(0, 100);
      throw new ArqonError("invalid-room", `${shown}; expected 1 to 64 of [A-Za-z0-9_~:=-]`);
    }
    this.id = id;
    this.#port = port;
  }

  /**
   * Publishes one event. Resolves when the Shield has acknowledged it, or, with `ack: false`, when it is passed to the
   * socket: then only the ids are known. Rejects with the refusal, `answer-timeout`, `connection-lost` or
   * `connection-closed`. After a 429, and with a `message_id` after a 503, the SDK waits and retries within
   * `timeout_ms`. In a durable room the ACK means that the message is stored at `offset`; for a duplicate `message_id`
   * that is the offset of the first one. Pass the result, or an error, to `explain`.
   */
  publish(type: string, data: Data, options: PublishOptions & { ack: false }): Promise<Handed>;
  publish(type: string, data?: Data, options?: PublishOptions & { ack?: true }): Promise<Published>;
  publish(type: string, data?: Data, options?: PublishOptions): Promise<Published | Handed>;
  async publish(
    type: string,
    data?: Data,
    options: PublishOptions = {},
  ): Promise<Published | Handed> {
    const { message_id, schema_id } = options;
    const event = { type, ...encodeData(data, options.content_type), schema_id };
    const ack = await send(this.#port, this.id, { message_id, event }, options, message_id);
    this.#port.subscriptions.published(this.id, ack.offset);
    return ack;
  }

  /**
   * Subscribes to the room, with `presence` also to its members. The loop ends with the connection, with its error if
   * any, and when the client is kicked.
   */
  subscribe(options: SubscribeOptions & { readonly presence: true }): PresenceSubscription;
  subscribe(options?: SubscribeOptions): Subscription;
  subscribe(options: SubscribeOptions = {}): Subscription {
    options.signal?.throwIfAborted();
    const port = this.#port;
    if (!options.verify) return port.subscribe(this, options);
    if (!port.proof) throw new TypeError("no `proof`");
    return port.proof(this, options, port);
  }

  /**
   * As `subscribe`, but passes the messages to a function, one after another. If it throws or rejects, `onError`
   * receives `handler-failed` with that as its cause (without an `onError` it is an uncaught error), and delivery
   * continues with the next message.
   *
   * ```ts
   * import { connect } from "@arqon/sdk";
   *
   * await using bus = await connect({ url: "localhost:4000", token: "…" });
   * const listener = bus.room("lobby").listen((message) => console.log(message.text()));
   * await listener.ready;
   * await bus.room("lobby").publish("chat", "hello");
   * listener.close();
   * await listener.ended; // the handler is done
   * ```
   */
  listen(handler: MessageHandler, options: SubscribeOptions = {}): Listener {
    return listenTo(this.subscribe(options), handler, this.#port.report, options);
  }

  /**
   * Sends a command to the room's Brain and resolves with its result. The built-in commands have their own methods
   * below.
   */
  async command(name: string, data?: Data, options: CommandOptions = {}): Promise<CommandResult> {
    // The envelope takes the options that are named like its fields: the conditions.
    const command = { ...options, name, ...encodeData(data, options.content_type) };
    const { command_id } = options;
    const ack = await send(this.#port, this.id, { command }, options, command_id);
    const bytes = ack.result ?? new Uint8Array();
    return {
      bytes,
      json: () => bytes.length === 0 ? undefined : JSON.parse(new TextDecoder().decode(bytes)),
    };
  }

  /**
   * Locks the room for a time, or, with the `fence` of a held lock, renews it. Rejects with `locked` while another
   * client holds it; `retry_after_ms` is the rest of that lease.
   */
  lock(options: LockOptions = {}): Promise<RoomLock> {
    return ask(this, "room.lock", { ttl_ms: options.ttl_ms }, options);
  }

  /** Releases the lock with this fence; rejects with `fence-mismatch` if it has already ended. */
  unlock(fence: Uint64, options: CommandOptions = {}): Promise<RoomPosition> {
    return ask(this, "room.unlock", {}, { ...options, fence });
  }

  /**
   * Ends the subscriptions of a user, or of one connection, to this room; they may subscribe again. Needs role service
   * or admin, as `ban` and `unban` do.
   */
  kick(target: KickTarget, options: KickOptions = {}): Promise<RoomPosition> {
    return ask(this, "room.kick", { ...target, reason: options.reason }, options);
  }

  /** Bans a user from the tenant, or from this room, and ends the user's connections or subscriptions there. */
  ban(user_id: string, options: BanOptions = {}): Promise<RoomPosition> {
    const { reason, ttl_ms, scope } = options;
    return ask(this, "room.ban", { user_id, reason, ttl_ms, scope }, options);
  }

  /** Lifts the ban of that scope. */
  unban(user_id: string, options: UnbanOptions = {}): Promise<RoomPosition> {
    return ask(this, "room.unban", { user_id, scope: options.scope }, options);
  }

  /**
   * Lists the members of the room, page by page: members that join or leave meanwhile may be included or not. For live
   * updates subscribe with `presence`. Needs the grant `presence`, as `count` does.
   */
  async *members(options: CommandOptions = {}): AsyncIterableIterator<Member, undefined> {
    let after: Json | undefined;
    do {
      const page = await ask(this, "presence.list", { after }, options);
      for (const member of readMembers(page).members) {
        yield member;
        options.signal?.throwIfAborted();
      }
      after = (page as { next?: Json }).next;
    } while (after !== undefined);
  }

  /** The number of members in the room. */
  count(options: CommandOptions = {}): Promise<MemberCount> {
    return ask(this, "presence.count", {}, options);
  }
}
