/** Loads that need only the sockets of a bus: an echo, and connections that do nothing. */
import { openLoop } from "../measure/open_loop.ts";
import { connectSocket } from "../measure/socket.ts";
import type { LoadSocket, SocketOptions } from "../measure/socket.ts";
import { openOnBus } from "../measure/targets.ts";
import type { BusProcess } from "../measure/targets.ts";

/** Connections that are opened at a time. */
export const BATCH = 100;
const SETTLE_MS = 1_500;

/** The size of all loads. */
export interface Load {
  readonly rate: number;
  readonly seconds: number;
  readonly connections: number;
  readonly bytes: number;
  readonly window: number;
  readonly subscribers: number;
  readonly messages: number;
  readonly idle: number;
  /** Handshakes per second over TLS. */
  readonly handshakes: number;
}

/** Resolves after `wait_ms`. */
export const pause = (wait_ms: number) => new Promise((resolve) => setTimeout(resolve, wait_ms));

/** The CPU seconds and resident bytes of the bus. */
export async function readingOf(
  bus: BusProcess,
): Promise<{ cpu_seconds: number; rss_bytes: number }> {
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  const of = (name: string) =>
    Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)`, "m").exec(metrics)?.[1]);
  return {
    cpu_seconds: of("process_cpu_seconds_total"),
    rss_bytes: of("process_resident_memory_bytes"),
  };
}

/** Sends messages at a constant rate, each back to its own sender. */
export async function echo(bus: BusProcess, load: Load, options: SocketOptions = {}) {
  const before = await readingOf(bus);
  const result = await openLoop({
    name: "bus",
    open: (index, onEcho) => openOnBus(bus.url, bus.token, index, onEcho, options),
    async [Symbol.asyncDispose]() {},
  }, {
    rate: load.rate,
    seconds: load.seconds,
    warmup_seconds: 1,
    connections: load.connections,
    body_bytes: load.bytes,
  });
  const cpu_seconds = (await readingOf(bus)).cpu_seconds - before.cpu_seconds;
  if (result.received !== result.sent) throw new Error("messages of the echo were lost");
  return {
    echo_p50_ms: result.p50_ms,
    echo_p99_ms: result.p99_ms,
    echo_cpu_us: cpu_seconds * 1e6 / (load.rate * (load.seconds + 1)),
  };
}

/** Measures by how much the memory of the bus grows for a connection that does nothing. */
export async function idle(bus: BusProcess, load: Load, options: SocketOptions = {}) {
  const sockets: LoadSocket[] = [];
  const open = async (count: number) => {
    for (let at = 0; at < count; at += BATCH) {
      const batch = Array.from(
        { length: Math.min(BATCH, count - at) },
        () => connectSocket(bus.url, ["arqon.v1", `arqon.token.${bus.token}`], options),
      );
      sockets.push(...await Promise.all(batch));
    }
  };
  // The first connections make the process allocate things once, which are not theirs.
  await open(BATCH);
  await pause(SETTLE_MS);
  const before = await readingOf(bus);
  await open(load.idle);
  await pause(SETTLE_MS);
  const after = await readingOf(bus);
  for (const socket of sockets) socket.close();
  return { idle_connection_bytes: (after.rss_bytes - before.rss_bytes) / load.idle };
}
