/** Messages of one type as values of a program's own type: `typedRoom`. */
import { ArqonError, type PlainSignal } from "@arqon/proto";
import type { Codec } from "./codec.ts";
import type { Message } from "../message/message.ts";
import { portOf, type Room } from "./room.ts";
import type { Published, PublishOptions } from "../request/room_request.ts";
import { loopOver } from "../subscription/subscription.ts";
import type { SubscribeOptions, Subscription } from "../subscription/subscription.ts";
import { textOf } from "../wire/wire_error.ts";

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
