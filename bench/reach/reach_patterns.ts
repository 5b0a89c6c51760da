/**
 * What a message costs that no pattern matches, while there are so many patterns: CPU time of the bus. Nobody hears
 * the message; the listeners are connections of the same tenant.
 */
import { encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import { connectSocket } from "../measure/socket.ts";
import type { BusProcess } from "../measure/targets.ts";
import { cpuSecondsOf } from "./reading.ts";

/** How many patterns many of them are compared with. */
export const FEW_PATTERNS = 10;

/** Patterns of one connection, and operations that wait for their answer at a time. */
const PER_CONNECTION = 1_000;
const AT_ONCE = 200;

/** A connection that asks and waits for so many answers. */
async function connectAsker(bus: BusProcess) {
  const socket = await connectSocket(bus.url, ["arqon.v1", `arqon.token.${bus.token}`]);
  let answered = 0;
  let wanted = Infinity;
  let resolve = () => {};
  socket.onmessage = (data) => {
    if (data[0] === Opcode.ACK && ++answered >= wanted) resolve();
  };
  return {
    close: () => socket.close(),
    async ask(frames: readonly Uint8Array<ArrayBuffer>[]): Promise<void> {
      for (let at = 0; at < frames.length; at += AT_ONCE) {
        const some = frames.slice(at, at + AT_ONCE);
        const done = Promise.withResolvers<void>();
        [answered, wanted, resolve] = [0, some.length, done.resolve];
        for (const frame of some) socket.send(frame);
        await done.promise;
      }
    },
  };
}

/** CPU time of the bus for one message that none of so many patterns matches, in µs. */
export async function measureUnmatched(
  bus: BusProcess,
  patterns: number,
  messages: number,
): Promise<number> {
  const listeners = [];
  for (let at = 0; at < patterns; at += PER_CONNECTION) {
    const listener = await connectAsker(bus);
    listeners.push(listener);
    const count = Math.min(PER_CONNECTION, patterns - at);
    await listener.ask(
      Array.from(
        { length: count },
        (_, index) => encodeSub({ room_id: `other-${at + index}-*`, request_id: 1 }),
      ),
    );
  }
  const publisher = await connectAsker(bus);
  const frame = encodePub(writeEnvelope({
    room_id: "silent",
    request_id: 1,
    event: { type: "bench", data: new Uint8Array(64), content_type: "", schema_id: "" },
  }));
  const frames = Array.from({ length: messages }, () => frame);
  await publisher.ask(frames.slice(0, Math.ceil(messages / 4)));
  const before = await cpuSecondsOf(bus);
  await publisher.ask(frames);
  const cpu_seconds = await cpuSecondsOf(bus);
  for (const one of [publisher, ...listeners]) one.close();
  return (cpu_seconds - before) * 1e6 / messages;
}
