/** Messages of one type as values of a program's own type: `typedRoom`, and a JSON codec from any validator. */
import { ArqonError, encodeUtf8, type PlainSignal } from "@arqon/proto";
import type { Message } from "../message/message.ts";
import { portOf, type Room } from "./room.ts";
import type { Published, PublishOptions } from "../request/room_request.ts";
import { loopOver } from "../subscription/subscription.ts";
import type { SubscribeOptions, Subscription } from "../subscription/subscription.ts";
import { textOf } from "../wire/wire_error.ts";

/** Converts values to the data of a message and back, for `typedRoom`. */
export interface Codec<T> {
  readonly content_type: string;
  /** The `schema_id` of the messages; absent: none. */
  readonly schema_id?: string;
  /** Encodes a value. Throws for an invalid value. */
  encode(value: T): Uint8Array;
  /** Decodes a value. Throws, or rejects, for invalid data. */
  decode(data: Uint8Array): T | Promise<T>;
}

/** The common interface of validators (https://standardschema.dev, version 1). */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** The result of such a validator: a value, or issues. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** One issue and its path in the value. */
export interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

const ISSUES_MAX = 5;

function violation(issues: readonly StandardIssue[]): ArqonError {
  const texts = issues.slice(0, ISSUES_MAX).map(({ message, path = [] }) => {
    const at = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
    return at === "" ? message : `${at}: ${message}`;
  });
  return new ArqonError("schema-violation", texts.join("; "), { cause: issues });
}

function valueOf<T>(result: StandardResult<T>): T {
  if (result.issues !== undefined) throw violation(result.issues);
  return result.value;
}

/**
 * JSON, validated by `schema` when it is written and when it is read: `schema-violation` names the invalid path. The
 * value is sent as it is given, and a reader gets the validator's output; so with a schema whose input and output
 * differ, a value that was read may be refused when written. An asynchronous validator can only read: `encode` throws
 * TypeError.
 *
 * ```ts
 * import { connect, standardCodec, typedRoom } from "@arqon/sdk";
 * import { z } from "zod";
 *
 * const chat = standardCodec(z.object({ text: z.string().max(500) }));
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const room = typedRoom(bus.room("lobby"), "chat", chat);
 * await room.publish({ text: "hello" });
 * for await (const { value } of room.subscribe()) console.log(value?.text);
 * ```
 */
export function standardCodec<T>(
  schema: StandardSchema<unknown, T>,
  options: { readonly schema_id?: string } = {},
): Codec<T> {
  const { validate } = schema["~standard"];
  return {
    content_type: "application/json",
    ...options,
    encode(value) {
      const result = validate(value);
      if (result instanceof Promise) {
        // The refusal below counts.
        result.catch(() => {});
        throw new TypeError("the schema validates asynchronously: it can read, but not write");
      }
      valueOf(result);
      return encodeUtf8(JSON.stringify(value));
    },
    decode(data) {
      const json: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
      const result = validate(json);
      return result instanceof Promise ? result.then(valueOf) : valueOf(result);
    },
  };
}

/** A message with its value; a message of the system (`message.signal`) has none. */
export type TypedMessage<T> =
  | { readonly message: Message; readonly value: T }
  | { readonly message: Message & { readonly signal: PlainSignal }; readonly value?: undefined };

/** Options of `TypedRoom.publish`; the codec sets content type and schema. */
export type TypedPublishOptions = Omit<PublishOptions, "content_type" | "schema_id" | "ack">;

/** Options of `TypedRoom.subscribe`. */
export interface TypedSubscribeOptions extends SubscribeOptions {
  /**
   * What happens to a message of this type with invalid data. "report", the default: `onError` receives
   * `schema-violation`, and the loop skips it. "throw": the loop throws the error.
   */
  readonly on_invalid?: "report" | "throw";
}

/** The values of one room and type, as a `Subscription`; `source` is the underlying one. */
export interface TypedSubscription<T>
  extends
    AsyncIterableIterator<TypedMessage<T>, undefined>,
    Pick<Subscription, "ready" | "close">,
    Disposable {
  readonly source: Subscription;
}

const essence = (content_type: string) => content_type.split(";")[0]?.trim().toLowerCase();

/** An error of a codec, with the message's room and type. */
function invalid(room: string, type: string, cause: unknown): ArqonError {
  const detail = `${type} in room ${room}: ${textOf(cause)}`;
  return new ArqonError("schema-violation", detail, { cause });
}

/** Publishes and receives messages of one type as values, through `codec`. */
export function typedRoom<T>(room: Room, type: string, codec: Codec<T>): TypedRoom<T> {
  return new TypedRoom(room, type, codec);
}

/** One type of messages in one room, created by `typedRoom`. It has no state. */
export class TypedRoom<T> {
  readonly room: Room;
  readonly type: string;
  readonly #codec: Codec<T>;

  /** Use `typedRoom`. */
  constructor(room: Room, type: string, codec: Codec<T>) {
    this.room = room;
    this.type = type;
    this.#codec = codec;
  }

  /** As `Room.publish`; rejects with `schema-violation` for a value that the codec refuses. */
  async publish(value: T, options: TypedPublishOptions = {}): Promise<Published> {
    const { content_type, schema_id } = this.#codec;
    let data: Uint8Array;
    try {
      data = this.#codec.encode(value);
    } catch (error) {
      throw invalid(this.room.id, this.type, error);
    }
    return await this.room.publish(this.type, data, {
      ...options,
      content_type,
      ...(schema_id === undefined ? {} : { schema_id }),
    });
  }

  /** As `Room.subscribe`, but only messages of this type and messages of the system. */
  subscribe({ on_invalid, ...options }: TypedSubscribeOptions = {}): TypedSubscription<T> {
    const source = this.room.subscribe(options);
    return { source, ...loopOver(source, this.#values(source, on_invalid === "throw")) };
  }

  async *#values(
    source: Subscription,
    throws: boolean,
  ): AsyncGenerator<TypedMessage<T>, undefined> {
    for await (const message of source) {
      if (message.signal !== undefined) {
        yield { message: message as Message & { signal: PlainSignal } };
      } else if (message.type === this.type) {
        let value: T;
        try {
          value = await this.#decode(message);
        } catch (cause) {
          const error = invalid(message.room, message.type, cause);
          if (throws) throw error;
          portOf(this.room).report(error);
          continue;
        }
        yield { message, value };
      }
    }
  }

  /** Decodes a message, unless it has another content type or schema: Protobuf parses nearly any bytes. */
  #decode({ content_type, schema_id, data }: Message): T | Promise<T> {
    const codec = this.#codec;
    if (content_type !== "" && essence(content_type) !== essence(codec.content_type)) {
      throw new TypeError(`the content type is ${content_type}; expected ${codec.content_type}`);
    }
    if (schema_id !== "" && codec.schema_id !== undefined && schema_id !== codec.schema_id) {
      throw new TypeError(`the schema is ${schema_id}; expected ${codec.schema_id}`);
    }
    return codec.decode(data);
  }
}
