/**
 * One room as the program uses it: publish, subscribe, command, state, members. Builds frames; sending, waiting and
 * repeating them is the connection's.
 */
import { ArqonError, encodePub, idProblem, writeEnvelope, writeHistoryQuery } from "@arqon/proto";
import type { Ack, EnvelopeInput, Uint64 } from "@arqon/proto";
import { historyOf } from "./history.ts";
import type { HistoryOptions, RoomHistory } from "./history.ts";
import type { Json } from "./json.ts";
import { readMembers } from "./member_table.ts";
import type { Member, MemberCount } from "./member_table.ts";
import type {
  BanOptions,
  GetOptions,
  KickOptions,
  KickTarget,
  LockOptions,
  RoomLock,
  RoomPosition,
  RoomState,
  RoomValue,
  UnbanOptions,
} from "./room_state.ts";
import { tracedBy } from "./trace_parent.ts";
import type { TraceOptions } from "./trace_parent.ts";
import type { PresenceSubscription, SubscribeOptions, Subscription } from "./subscription.ts";

/**
 * Bytes travel as they are, a string as text, anything else as JSON. With a JSON `content_type` a
 * string is taken for JSON text and travels as it is.
 */
export type Data = Uint8Array | Json;

/** What `Room.publish` takes besides type and data; nothing of it is needed. */
export interface PublishOptions extends TraceOptions {
  /** Wait for the Shield's acknowledgement; default true. Without it only `onError` hears of a refusal. */
  readonly ack?: boolean;
  /** Idempotency key: with it the SDK repeats the publish after a reconnect and nobody gets it twice. */
  readonly message_id?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default by the kind of data: application/octet-stream, text/plain or application/json. */
  readonly content_type?: string;
  readonly schema_id?: string;
  /** Give up after this, in ms. Waiting for a reconnect counts. */
  readonly timeout_ms?: number;
}

/**
 * What `Room.command` takes besides name and data: the conditions under which the Brain carries it
 * out, which are the command's fields of the same names in `envelope.proto`.
 */
export interface CommandOptions extends Omit<PublishOptions, "ack" | "schema_id" | "message_id"> {
  /** Refused with 409 `version-conflict` unless the room is at this version; 0 is any. */
  readonly expect_version?: Uint64;
  readonly after_version?: Uint64;
  readonly fence?: Uint64;
  readonly epoch?: string;
  /** Idempotency key: with it the SDK repeats the command after a reconnect. */
  readonly command_id?: string;
}

/** The Brain's answer to a command. */
export interface CommandResult {
  /** The bytes as the Brain sent them. */
  readonly bytes: Uint8Array;
  /** The result as JSON; undefined when it is empty. Throws SyntaxError when it is not JSON. */
  json(): unknown;
}

/** What a room needs of its connection. */
export interface RoomPort {
  /** Sends a request and resolves with its ACK. */
  request(request: PortRequest): Promise<Ack | undefined>;
  subscribe(room: string, options: SubscribeOptions): Subscription;
  /** A publish was stored at this offset; 0 when the room is not durable. */
  published(room: string, offset: Uint64): void;
  /** `ConnectOptions.traceparent`. */
  readonly traceparent?: (() => string | undefined) | undefined;
}

/**
 * A publish or command on its way to the connection. `timeout_ms` undefined means the connection's
 * `request_timeout_ms`; `answered` and `repeatable` are those of `OutboxRequest`.
 */
export interface PortRequest {
  readonly room: string;
  readonly answered: boolean;
  readonly repeatable: boolean;
  readonly timeout_ms: number | undefined;
  /** Makes the frame once the request id is known. */
  frame(request_id: number): Uint8Array;
}

interface Encoded {
  data: Uint8Array;
  content_type: string;
}

function encodeData(data: Data | undefined, content_type: string | undefined): Encoded {
  if (data === undefined) return { data: new Uint8Array(), content_type: content_type ?? "" };
  if (data instanceof Uint8Array) {
    return { data, content_type: content_type ?? "application/octet-stream" };
  }
  const encoder = new TextEncoder();
  if (typeof data === "string") {
    return { data: encoder.encode(data), content_type: content_type ?? "text/plain" };
  }
  return {
    data: encoder.encode(JSON.stringify(data)),
    content_type: content_type ?? "application/json",
  };
}

/** The fields that events and commands share. */
function envelopeOf(
  room_id: string,
  options: CommandOptions | PublishOptions,
  port: RoomPort,
): EnvelopeInput {
  return { room_id, ...tracedBy(options, port.traceparent) };
}

/**
 * One room of one connection, made by `Connection.room`. It holds nothing but its id: make as many of
 * one room as you like, there is nothing to close.
 */
export class Room {
  readonly id: string;
  readonly #port: RoomPort;

  /** Throws `invalid-room` for an id that no room can have. */
  constructor(id: string, port: RoomPort) {
    const problem = idProblem(id);
    if (problem !== undefined) throw new ArqonError("invalid-room", problem);
    this.id = id;
    this.#port = port;
  }

  /**
   * Publishes one event. Resolves when the Shield has acknowledged it, or, with `ack: false`, when it
   * is handed to the socket. Rejects with the refusal, `answer-timeout`, `connection-lost` or
   * `connection-closed`. A refusal with 429, and with a `message_id` one with 503, is waited out and
   * repeated within `timeout_ms`. In a durable room the ACK says that the message is stored, and its
   * `offset` where: with a `message_id` that was stored already, where that one is.
   */
  publish(type: string, data: Data, options: PublishOptions & { ack: false }): Promise<undefined>;
  publish(type: string, data?: Data, options?: PublishOptions & { ack?: true }): Promise<Ack>;
  publish(type: string, data?: Data, options?: PublishOptions): Promise<Ack | undefined>;
  async publish(type: string, data?: Data, options: PublishOptions = {}): Promise<Ack | undefined> {
    const answered = options.ack ?? true;
    const event = {
      type,
      ...encodeData(data, options.content_type),
      ...(options.schema_id === undefined ? {} : { schema_id: options.schema_id }),
    };
    const envelope: EnvelopeInput = { ...envelopeOf(this.id, options, this.#port), event };
    if (options.message_id !== undefined) envelope.message_id = options.message_id;
    const ack = await this.#port.request({
      room: this.id,
      answered,
      repeatable: options.message_id !== undefined,
      timeout_ms: options.timeout_ms,
      frame: (request_id) =>
        encodePub(
          writeEnvelope(answered ? { ...envelope, request_id, ack_requested: true } : envelope),
        ),
    });
    if (ack !== undefined) this.#port.published(this.id, ack.offset);
    return ack;
  }

  /**
   * Hears the room, and with `presence` also who is in it. The loop ends when the connection closes
   * for good, with its error if any, and when the client is kicked out of the room, without one.
   */
  subscribe(options: SubscribeOptions & { readonly presence: true }): PresenceSubscription;
  subscribe(options?: SubscribeOptions): Subscription;
  subscribe(options: SubscribeOptions = {}): Subscription {
    return this.#port.subscribe(this.id, options);
  }

  /**
   * Messages that a durable room keeps, without a subscription. Needs the grant `subscribe`; rejects
   * with `not-durable`, with `log-unavailable`, and with a TypeError for a number that is none.
   */
  async history(query: HistoryOptions = {}, options: CommandOptions = {}): Promise<RoomHistory> {
    const asked = { ...options, content_type: "application/protobuf" };
    return historyOf((await this.command("history.get", writeHistoryQuery(query), asked)).bytes);
  }

  /**
   * Sends a command to the room's Brain and resolves with its result. The ones that every bus knows
   * have methods of their own below, which resolve with the answer.
   */
  async command(name: string, data?: Data, options: CommandOptions = {}): Promise<CommandResult> {
    const { expect_version, after_version, fence, epoch, command_id } = options;
    const command = {
      name,
      ...encodeData(data, options.content_type),
      ...(expect_version === undefined ? {} : { expect_version }),
      ...(after_version === undefined ? {} : { after_version }),
      ...(fence === undefined ? {} : { fence }),
      ...(epoch === undefined ? {} : { epoch }),
      ...(command_id === undefined ? {} : { command_id }),
    };
    const envelope: EnvelopeInput = { ...envelopeOf(this.id, options, this.#port), command };
    const ack = await this.#port.request({
      room: this.id,
      answered: true,
      repeatable: command_id !== undefined,
      timeout_ms: options.timeout_ms,
      frame: (request_id) =>
        encodePub(writeEnvelope({ ...envelope, request_id, ack_requested: true })),
    });
    const bytes = ack?.result ?? new Uint8Array();
    return {
      bytes,
      json: () => bytes.length === 0 ? undefined : JSON.parse(new TextDecoder().decode(bytes)),
    };
  }

  /** One key of the room's state, or all of it. Any Brain answers that has seen `after_version`. */
  get(key: string, options?: GetOptions): Promise<RoomValue>;
  get(key?: undefined, options?: GetOptions): Promise<RoomState>;
  get(
    key?: string,
    { events_after, ...options }: GetOptions = {},
  ): Promise<RoomValue | RoomState> {
    return this.#ask("room.get", { key, events_after }, options);
  }

  /** Writes one key. With `expect_version` only if nobody else has changed the room since. */
  set(key: string, value: Json, options: CommandOptions = {}): Promise<RoomPosition> {
    return this.#ask("room.set", { key, value }, options);
  }

  /** Removes one key. */
  delete(key: string, options: CommandOptions = {}): Promise<RoomPosition> {
    return this.#ask("room.delete", { key }, options);
  }

  /**
   * Locks the room for a time, or with the `fence` of the lock that is held renews it. Rejects with
   * `locked` while somebody else holds it; `retry_after_ms` is what is left of that lease.
   */
  lock({ ttl_ms, ...options }: LockOptions = {}): Promise<RoomLock> {
    return this.#ask("room.lock", { ttl_ms }, options);
  }

  /** Ends the lock with this fence; rejects with `fence-mismatch` when it has ended already. */
  unlock(fence: Uint64, options: CommandOptions = {}): Promise<RoomPosition> {
    return this.#ask("room.unlock", {}, { ...options, fence });
  }

  /**
   * Ends the subscriptions of a user, or of one connection, to this room; both may come back. Needs
   * role service or admin, as `ban` and `unban` do.
   */
  kick(target: KickTarget, { reason, ...options }: KickOptions = {}): Promise<RoomPosition> {
    return this.#ask("room.kick", { ...target, reason }, options);
  }

  /** Keeps a user out of the tenant, or of this room, and ends what he has open there. */
  ban(user_id: string, options: BanOptions = {}): Promise<RoomPosition> {
    const { reason, ttl_ms, scope, ...rest } = options;
    return this.#ask("room.ban", { user_id, reason, ttl_ms, scope }, rest);
  }

  /** Lifts the ban of that scope. */
  unban(user_id: string, { scope, ...options }: UnbanOptions = {}): Promise<RoomPosition> {
    return this.#ask("room.unban", { user_id, scope }, options);
  }

  /**
   * Everybody in the room, asked for page by page: who comes or goes meanwhile may be missing or
   * there. To stay informed subscribe with `presence`. Needs the grant `presence`, as `count` does.
   */
  async *members(options: CommandOptions = {}): AsyncIterableIterator<Member, undefined> {
    let after: Json | undefined;
    do {
      const page = await this.#ask("presence.list", { after }, options);
      yield* readMembers(page).members;
      after = (page as { next?: Json }).next;
    } while (after !== undefined);
  }

  /** How many are in the room. */
  count(options: CommandOptions = {}): Promise<MemberCount> {
    return this.#ask("presence.count", {}, options);
  }

  /** The shape of the answer is the Brain's promise. */
  async #ask<Answer>(
    name: string,
    data: Readonly<Record<string, Json | undefined>>,
    options: CommandOptions,
  ): Promise<Answer> {
    const text = JSON.stringify(data);
    const result = await this.command(name, text, { ...options, content_type: "application/json" });
    return result.json() as Answer;
  }
}
