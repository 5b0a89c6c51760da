/** Receivers of a room on a bus, and what the scenario `reach` waits for and reads. */
import { Opcode } from "@arqon/proto";
import { Scrape } from "../measure/scrape.ts";
import { connectSocket } from "../measure/socket.ts";
import type { BusProcess } from "../measure/targets.ts";

/** Receivers that are opened at a time. */
const AT_ONCE = 50;

/** Resolves after `wait_ms`. */
export const pause = (wait_ms: number) => new Promise((resolve) => setTimeout(resolve, wait_ms));

/** The CPU seconds of the bus so far. */
export async function cpuSecondsOf({ ops_url }: BusProcess): Promise<number> {
  const page = new Scrape(await (await fetch(`${ops_url}/metrics`)).text());
  return page.sum("process_cpu_seconds_total");
}

/** Opens so many of something, some at a time. */
export async function inBatches<T>(
  count: number,
  open: (index: number) => Promise<T>,
): Promise<T[]> {
  const all: T[] = [];
  for (let at = 0; at < count; at += AT_ONCE) {
    const some = Math.min(AT_ONCE, count - at);
    all.push(...await Promise.all(Array.from({ length: some }, (_, index) => open(at + index))));
  }
  return all;
}

/** A binary connection with this subscription; resolves with its end. */
export async function openReceiver(
  bus: BusProcess,
  sub: Uint8Array,
  onMessage: (frame: Uint8Array) => void,
  onEnd: (why: string) => void = () => {},
): Promise<() => void> {
  const socket = await connectSocket(bus.url, ["arqon.v1", `arqon.token.${bus.token}`]);
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.onend = onEnd;
  socket.onmessage = (frame) => {
    if (frame[0] === Opcode.MSG) onMessage(frame);
    else if (frame[0] === Opcode.ACK) resolve();
  };
  socket.send(sub);
  await promise;
  return () => socket.close();
}
