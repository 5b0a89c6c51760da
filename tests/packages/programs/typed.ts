/**
 * A program that is type-checked against the packed declarations and never run: code as users write it, with errors
 * that the compiler must find.
 */
import { ArqonError, connect, standardCodec, typedRoom } from "@arqon/sdk";
import type { Ack, ConnectOptions, Message, PresenceSubscription, Status } from "@arqon/sdk";
import type { Room, StandardSchema } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { protobufCodec } from "@arqon/sdk/protobuf";
import { decodeServerFrame, ERRORS, type Reason } from "@arqon/proto";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

/** Types as users have them: no index signature, optional members, nested types. */
interface Place {
  readonly x: number;
  readonly y: number;
}

interface Cursor {
  readonly user: string;
  readonly at?: Place;
  readonly trail: readonly Place[];
}

class Shape implements Place {
  readonly x = 1;
  readonly y = 2;
}

/** Interfaces, classes and types derived from them are data; values without a JSON form are not. */
export async function data<Value extends object>(room: Room, value: Value): Promise<Cursor> {
  const cursor: Cursor = { user: "ann", trail: [{ x: 1, y: 2 }] };
  const places: Place[] = [new Shape()];
  await room.publish("cursor", cursor);
  await room.publish("cursor", { cursor, places, at: new Date() });
  await room.publish("value", value);
  const state = roomState(room);
  await state.set("cursor", cursor);
  await state.set("places", places);
  await room.command("draw", cursor);
  const loop = room.subscribe({ presence: true, member_meta: cursor });
  await loop.update(cursor);
  await typedRoom(room, "cursor", standardCodec(schema)).publish(cursor);
  // @ts-expect-error: a function is no data.
  await room.publish("cursor", () => cursor);
  // @ts-expect-error: nor is what nobody waited for.
  await room.publish("cursor", Promise.resolve(cursor));
  // @ts-expect-error: a map is {} in JSON.
  await state.set("cursor", new Map([["user", "ann"]]));
  // @ts-expect-error: JSON has no such numbers.
  await state.set("cursor", 1n);
  for await (const message of room.subscribe()) {
    const { user } = message.json<Cursor>();
    // @ts-expect-error: without a type it is unknown.
    console.log(user, message.json().user);
    return message.json();
  }
  return (await room.command("draw")).json<Cursor>();
}

declare const schema: StandardSchema<Cursor, Cursor>;

const options: ConnectOptions = { url: new URL("wss://bus.example.com"), getToken: () => "…" };

/** Uses each part of the API once. */
export async function typed(): Promise<Ack> {
  const bus = await connect({ ...options, onStatus: ({ state }: Status) => console.log(state) });
  const room = bus.room("lobby");
  const loop: PresenceSubscription = room.subscribe({ presence: true });
  const plain = room.subscribe();
  for await (const message of loop) {
    const { offset }: Message = message;
    console.log(offset, message.signal?.kind === "GAP");
  }
  // @ts-expect-error: without presence there is no list.
  console.log(plain.presence.count);
  // @ts-expect-error: a room has a name.
  bus.room(7);
  // @ts-expect-error: reasons are a closed list.
  const unknown: Reason = "no-such-reason";
  try {
    decodeServerFrame(new Uint8Array());
  } catch (error) {
    if (error instanceof ArqonError) console.log(ERRORS[error.reason].code, unknown);
  }
  const clock = typedRoom(room, "tick", protobufCodec(TimestampSchema));
  for await (const { value } of clock.subscribe()) {
    const tick: Timestamp | undefined = value;
    console.log(tick?.seconds);
  }
  await bus[Symbol.asyncDispose]();
  return await room.publish("chat", { text: "hello" });
}
