/** One room as the program uses it. State and history are entries of their own. */
import { ArqonError, isId, type Uint64 } from "@arqon/proto";
import type { Message } from "../message/message.ts";
import { type Member, type MemberCount, readMembers } from "../presence/presence.ts";
import type { PresenceSubscription, SubscribeOptions } from "../subscription/subscription.ts";
import type { Subscription } from "../subscription/subscription.ts";
import type { LockKeeping } from "./held_lock.ts";
import type { Json } from "../wire/json.ts";
import type { Mend } from "../subscription/room_entry.ts";
import { ask, sendCommand, sendEvent } from "../request/room_request.ts";
import type { CommandOptions, CommandResult, CommandRoom, Data } from "../request/room_request.ts";
import type { Handed, Published, PublishOptions, RequestPort } from "../request/room_request.ts";
import type { BanOptions, KickOptions, KickTarget, LockOptions } from "../state/room_state.ts";
import type { RoomLock, RoomPosition, UnbanOptions } from "../state/room_state.ts";

/**
 * Receives one message, also one of the system (`message.signal`). What it returns is awaited before
 * the next message; those that come meanwhile wait in the buffer.
 */
export type MessageHandler = (message: Message) => void | Promise<void>;

/** A subscription whose messages a function receives; `close` drops those that it has not been given. */
export interface Listener
  extends
    Disposable,
    Pick<Subscription, "room" | "ready" | "presence" | "position" | "recovered" | "close"> {
  /** Resolves when the handler is done after the end; rejects with the error that ended it. */
  readonly ended: Promise<void>;
}

/** Gives each message to `handler`; `report` receives what fails. */
function listenTo(
  subscription: Subscription,
  handler: MessageHandler,
  report: (error: ArqonError) => void,
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
      if (error instanceof ArqonError) report(error);
      throw error;
    }
  };
  const ended = run();
  // Who does not look at `ended` has `onError`.
  ended.catch(() => {});
  // What it knows of the room is the subscription's, and stays so.
  return Object.assign(Object.create(subscription), { ended });
}

/** What a room needs of its connection. */
export interface RoomPort extends RequestPort {
  subscribe(room: CommandRoom, options: SubscribeOptions): Subscription;
  /** From here on the loops of all rooms get each change of state once and in order. Gives what repairs a room. */
  mend(mend: Mend): (room: string) => ReturnType<Mend> | undefined;
  /** Takes note that a publish was stored at this offset; 0 when the room is not durable. */
  published(room: string, offset: Uint64 | undefined): void;
  /** Reports an error that no promise reports: `ConnectOptions.onError`. */
  report(error: ArqonError): void;
  readonly keeping: LockKeeping;
}

/** For functions beside the class, so that only programs that use them load them. */
export let portOf: (room: Room) => RoomPort;

/**
 * One room of one connection, made by `Connection.room`. It holds nothing but its id: make as many
 * of one room as you like; there is nothing to close. A beginning of ids followed by `*`, `orders-*`,
 * stands for all rooms that begin so, to be subscribed to only: `Message.room` says where each message
 * is from, and a reconnect leaves a GAP, as each room has its own position.
 */
export class Room {
  readonly id: string;
  readonly #port: RoomPort;

  static {
    portOf = (room) => room.#port;
  }

  /** Throws `invalid-room` for an id that no room can have. */
  constructor(id: string, port: RoomPort) {
    // What a pattern may be the Shield says.
    if (!isId(id) && !id.endsWith("*")) {
      const shown = JSON.stringify(id).slice(0, 100);
      throw new ArqonError("invalid-room", `${shown}; expected 1 to 64 of [A-Za-z0-9_~:=-]`);
    }
    this.id = id;
    this.#port = port;
  }

  /**
   * Publishes one event. Resolves when the Shield has acknowledged it, or, with `ack: false`, when it
   * is handed to the socket: then only the ids are known. Rejects with the refusal, `answer-timeout`, `connection-lost` or
   * `connection-closed`. A refusal with 429, and with a `message_id` one with 503, is waited out and
   * repeated within `timeout_ms`. In a durable room the ACK says that the message is stored, and its
   * `offset` where: with a `message_id` that was stored already, where that one is. What it resolves
   * with, and every error, can be given to `explain`.
   */
  publish(type: string, data: Data, options: PublishOptions & { ack: false }): Promise<Handed>;
  publish(
    type: string,
    data?: Data,
    options?: PublishOptions & { ack?: true },
  ): Promise<Published>;
  publish(type: string, data?: Data, options?: PublishOptions): Promise<Published | Handed>;
  async publish(
    type: string,
    data?: Data,
    options: PublishOptions = {},
  ): Promise<Published | Handed> {
    const ack = await sendEvent(this.#port, this.id, type, data, options);
    this.#port.published(this.id, ack.offset);
    return ack;
  }

  /**
   * Subscribes to the room, with `presence` also to its members. The loop ends with the connection,
   * with its error if any, and when the client is kicked out.
   */
  subscribe(options: SubscribeOptions & { readonly presence: true }): PresenceSubscription;
  subscribe(options?: SubscribeOptions): Subscription;
  subscribe(options: SubscribeOptions = {}): Subscription {
    options.signal?.throwIfAborted();
    return this.#port.subscribe(this, options);
  }

  /**
   * As `subscribe`, with a function that receives one message after another instead of a loop. When it
   * throws or rejects, `onError` receives `handler-failed` with that as its cause (without an `onError` it
   * surfaces as uncaught), and the next message comes.
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
    return listenTo(this.subscribe(options), handler, this.#port.report);
  }

  /**
   * Sends a command to the room's Brain and resolves with its result. The commands that every bus
   * knows have methods of their own below, which resolve with the answer.
   */
  command(name: string, data?: Data, options: CommandOptions = {}): Promise<CommandResult> {
    return sendCommand(this.#port, this.id, name, data, options);
  }

  /**
   * Locks the room for a time, or, with the `fence` of a lock that is held, renews it. Rejects with
   * `locked` while somebody else holds it; `retry_after_ms` is what is left of that lease.
   */
  lock(options: LockOptions = {}): Promise<RoomLock> {
    return ask(this, "room.lock", { ttl_ms: options.ttl_ms }, options);
  }

  /** Ends the lock with this fence; rejects with `fence-mismatch` when it has ended already. */
  unlock(fence: Uint64, options: CommandOptions = {}): Promise<RoomPosition> {
    return ask(this, "room.unlock", {}, { ...options, fence });
  }

  /**
   * Ends the subscriptions of a user, or of one connection, to this room; both may come back. Needs
   * role service or admin, as `ban` and `unban` do.
   */
  kick(target: KickTarget, options: KickOptions = {}): Promise<RoomPosition> {
    return ask(this, "room.kick", { ...target, reason: options.reason }, options);
  }

  /** Keeps a user out of the tenant, or of this room, and ends what he has open there. */
  ban(user_id: string, options: BanOptions = {}): Promise<RoomPosition> {
    const { reason, ttl_ms, scope } = options;
    return ask(this, "room.ban", { user_id, reason, ttl_ms, scope }, options);
  }

  /** Lifts the ban of that scope. */
  unban(user_id: string, options: UnbanOptions = {}): Promise<RoomPosition> {
    return ask(this, "room.unban", { user_id, scope: options.scope }, options);
  }

  /**
   * Lists everybody in the room, page by page: who comes or goes meanwhile may be missing or there.
   * To stay informed subscribe with `presence`. Needs the grant `presence`, as `count` does.
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
