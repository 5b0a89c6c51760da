/**
 * A program whose types are checked against the packed declarations and never run: what people write,
 * with what the compiler must refuse.
 */
import { ArqonError, connect, typedRoom } from "@arqon/sdk";
import type { Ack, ConnectOptions, Message, PresenceSubscription, Status } from "@arqon/sdk";
import { protobufCodec } from "@arqon/sdk/protobuf";
import { decodeServerFrame, ERRORS, type Reason } from "@arqon/proto";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

const options: ConnectOptions = { url: new URL("wss://bus.example.com"), getToken: () => "…" };

/** Uses every part of the surface once. */
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
