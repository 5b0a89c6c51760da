/**
 * Protobuf-ES messages as values of `typedRoom`: `@arqon/sdk/protobuf`. The only part of the SDK that needs a package,
 * `@bufbuild/protobuf`; only programs that import it load that.
 */
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Codec } from "./room/typed_room.ts";

/**
 * The binary form of a generated message. `schema_id` selects the schema in the bus's registry; default: the full name
 * of the type. Unknown fields are kept.
 *
 * ```ts
 * import { connect, typedRoom } from "@arqon/sdk";
 * import { protobufCodec } from "@arqon/sdk/protobuf";
 * import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const ticks = typedRoom(bus.room("clock"), "tick", protobufCodec(TimestampSchema));
 * for await (const { value } of ticks.subscribe()) console.log(value?.seconds);
 * const typed: Timestamp | undefined = undefined;
 * console.log(typed);
 * ```
 */
export function protobufCodec<Desc extends DescMessage>(
  schema: Desc,
  options: { readonly schema_id?: string } = {},
): Codec<MessageShape<Desc>> {
  return {
    content_type: "application/protobuf",
    schema_id: options.schema_id ?? schema.typeName,
    encode: (value) => toBinary(schema, value),
    decode: (data) => fromBinary(schema, data),
  };
}
