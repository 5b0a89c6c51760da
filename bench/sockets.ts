/**
 * The scenario `sockets`: all kinds of client sockets under the same load in one run, interleaved in
 * rounds: echo one by one and with many under way, fan-out one by one and in bursts, and memory of an
 * idle connection, each through a whole bus on the embedded Spine.
 */
import { decodeServerFrame, encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import { openLoop } from "./open_loop.ts";
import { positive, ROOT, type Scenario, type ScenarioResult, text } from "./scenario.ts";
import type { OptionValues } from "./scenario.ts";
import { connectSocket } from "./socket.ts";
import type { LoadSocket } from "./socket.ts";
import { renderRows } from "./table.ts";
import { openOnBus, startBus } from "./targets.ts";
import type { BusProcess } from "./targets.ts";

const HELP =
  `sockets: Deno's sockets beside those of the package ws and our own, through the whole bus.

  --rounds N        each implementation in turn, so many times; medians count (3)
  --rate N          messages a second of the echo at a constant rate (5000)
  --seconds N       of each measurement (4)
  --connections N   that echo (10)
  --bytes N         size of a body (256)
  --window N        messages of a connection under way when throughput is measured (64)
  --subscribers N   of the fan-out (500)
  --messages N      of the fan-out, one every 20 ms (100), and as many in bursts of ten
  --idle N          connections that do nothing (2000)
`;

const IMPLEMENTATIONS = ["native", "ws", "own"] as const;
const FANOUT_MS = 20;
const BURST = 10;
const BATCH = 100;
const SETTLE_MS = 1_500;

/** One round of one implementation. */
interface Figures {
  readonly echo_p50_ms: number;
  readonly echo_p99_ms: number;
  /** CPU of the whole bus for one message of the echo, its delivery included. */
  readonly echo_cpu_us: number;
  readonly echo_per_second: number;
  /** The same with `window` messages of each connection under way. */
  readonly crowd_cpu_us: number;
  /** CPU of the whole bus for one delivery in bursts of ten messages. */
  readonly burst_cpu_us: number;
  /** CPU of the whole bus for one delivery of the fan-out. */
  readonly fanout_cpu_us: number;
  readonly fanout_per_second: number;
  readonly idle_connection_bytes: number;
}

interface Load {
  readonly rate: number;
  readonly seconds: number;
  readonly connections: number;
  readonly bytes: number;
  readonly window: number;
  readonly subscribers: number;
  readonly messages: number;
  readonly idle: number;
}

const pause = (wait_ms: number) => new Promise((resolve) => setTimeout(resolve, wait_ms));

/** CPU seconds and resident bytes of the bus. */
async function readingOf(bus: BusProcess): Promise<{ cpu_seconds: number; rss_bytes: number }> {
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  const of = (name: string) =>
    Number(new RegExp(`^${name}(?:{[^}]*})? (\\S+)`, "m").exec(metrics)?.[1]);
  return {
    cpu_seconds: of("process_cpu_seconds_total"),
    rss_bytes: of("process_resident_memory_bytes"),
  };
}

async function echo(bus: BusProcess, load: Load) {
  const before = await readingOf(bus);
  const result = await openLoop({
    name: "bus",
    open: (index, onEcho) => openOnBus(bus.url, bus.token, index, onEcho),
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

/** Every connection has `window` messages under way, always. */
async function throughput(bus: BusProcess, load: Load) {
  const body = new Uint8Array(load.bytes);
  let echoed = 0;
  let open = true;
  const connections = await Promise.all(
    Array.from({ length: load.connections }, async (_, index) => {
      const connection = await openOnBus(bus.url, bus.token, index, () => {
        echoed++;
        if (open) connection.send(body);
      });
      return connection;
    }),
  );
  for (const connection of connections) {
    for (let sent = 0; sent < load.window; sent++) connection.send(body);
  }
  await pause(500);
  const before = await readingOf(bus);
  const from = echoed;
  const from_ms = performance.now();
  await pause(load.seconds * 1_000);
  const messages = echoed - from;
  const per_second = messages * 1_000 / (performance.now() - from_ms);
  const cpu_seconds = (await readingOf(bus)).cpu_seconds - before.cpu_seconds;
  open = false;
  await pause(300);
  for (const connection of connections) connection.close();
  return { echo_per_second: per_second, crowd_cpu_us: cpu_seconds * 1e6 / messages };
}

async function subscribe(bus: BusProcess, onMessage: () => void): Promise<LoadSocket> {
  const socket = await connectSocket(bus.url, ["arqon.v1", `arqon.token.${bus.token}`]);
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.onmessage = (data) => {
    if (data[0] === Opcode.ACK && decodeServerFrame(data).kind === "ack") resolve();
    if (data[0] === Opcode.MSG) onMessage();
  };
  socket.send(encodeSub({ room_id: "fanout", request_id: 1 }));
  await promise;
  return socket;
}

async function fanout(bus: BusProcess, load: Load) {
  let delivered = 0;
  const sockets: LoadSocket[] = [];
  for (let at = 0; at < load.subscribers; at += BATCH) {
    const batch = Array.from(
      { length: Math.min(BATCH, load.subscribers - at) },
      () => subscribe(bus, () => delivered++),
    );
    sockets.push(...await Promise.all(batch));
  }
  const content_type = "application/octet-stream";
  const event = { type: "bench", data: new Uint8Array(load.bytes), content_type, schema_id: "" };
  const frame = encodePub(writeEnvelope({ room_id: "fanout", event }));
  const expected = load.messages * load.subscribers;
  const deliver = async (at_once: number) => {
    delivered = 0;
    const before = await readingOf(bus);
    const from_ms = performance.now();
    for (let sent = 0; sent < load.messages; sent += at_once) {
      for (let one = 0; one < at_once; one++) sockets[0]?.send(frame);
      await pause(FANOUT_MS * at_once);
    }
    while (delivered < expected) await pause(5);
    const seconds = (performance.now() - from_ms) / 1_000;
    const cpu_seconds = (await readingOf(bus)).cpu_seconds - before.cpu_seconds;
    return { cpu_us: cpu_seconds * 1e6 / expected, per_second: expected / seconds };
  };
  const single = await deliver(1);
  const burst = await deliver(BURST);
  for (const socket of sockets) socket.close();
  return {
    fanout_cpu_us: single.cpu_us,
    fanout_per_second: single.per_second,
    burst_cpu_us: burst.cpu_us,
  };
}

async function idle(bus: BusProcess, load: Load) {
  const sockets: LoadSocket[] = [];
  const open = async (count: number) => {
    for (let at = 0; at < count; at += BATCH) {
      const batch = Array.from(
        { length: Math.min(BATCH, count - at) },
        () => connectSocket(bus.url, ["arqon.v1", `arqon.token.${bus.token}`]),
      );
      sockets.push(...await Promise.all(batch));
    }
  };
  // What the first ones make the process allocate once is not theirs.
  await open(BATCH);
  await pause(SETTLE_MS);
  const before = await readingOf(bus);
  await open(load.idle);
  await pause(SETTLE_MS);
  const after = await readingOf(bus);
  for (const socket of sockets) socket.close();
  return { idle_connection_bytes: (after.rss_bytes - before.rss_bytes) / load.idle };
}

/** A new process each for memory and for everything else. */
async function round(implementation: string, load: Load): Promise<Figures> {
  const config = `${ROOT}/bench/sockets_${implementation}.toml`;
  const memory = await (async () => {
    await using bus = await startBus(config);
    return await idle(bus, load);
  })();
  await using bus = await startBus(config);
  const first = await echo(bus, load);
  const second = await throughput(bus, load);
  return { ...memory, ...first, ...second, ...await fanout(bus, load) };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

const ROWS: readonly [key: keyof Figures, text: string, digits: number, divisor: number][] = [
  ["echo_p50_ms", "echo at a constant rate, p50 ms", 2, 1],
  ["echo_p99_ms", "echo at a constant rate, p99 ms", 2, 1],
  ["echo_cpu_us", "CPU a message, whole bus, µs", 1, 1],
  ["echo_per_second", "echo as fast as it goes, messages/s", 0, 1],
  ["crowd_cpu_us", "CPU a message, many under way, µs", 1, 1],
  ["burst_cpu_us", "CPU a delivery in bursts of ten, µs", 2, 1],
  ["fanout_cpu_us", "CPU a fan-out delivery, µs", 2, 1],
  ["fanout_per_second", "fan-out deliveries/s (as sent)", 0, 1],
  ["idle_connection_bytes", "memory of an idle connection, KB", 1, 1_000],
];

async function run(values: OptionValues): Promise<ScenarioResult> {
  const load: Load = {
    rate: positive(values, "rate"),
    seconds: positive(values, "seconds"),
    connections: positive(values, "connections"),
    bytes: positive(values, "bytes"),
    window: positive(values, "window"),
    subscribers: positive(values, "subscribers"),
    messages: positive(values, "messages"),
    idle: positive(values, "idle"),
  };
  const rounds: Record<string, Figures[]> = { native: [], ws: [], own: [] };
  for (let count = positive(values, "rounds"); count > 0; count--) {
    for (const implementation of IMPLEMENTATIONS) {
      console.error(`${implementation} ...`);
      rounds[implementation]?.push(await round(implementation, load));
    }
  }
  const figure = (implementation: string, key: keyof Figures) =>
    median((rounds[implementation] ?? []).map((figures) => figures[key]));
  const rows = ROWS.map(([key, name, digits, divisor]) => {
    const [native, ws, own] = IMPLEMENTATIONS.map((kind) => figure(kind, key)) as [
      number,
      number,
      number,
    ];
    const shown = [native, ws, own].map((value) => (value / divisor).toFixed(digits));
    return [name, ...shown, `${(ws / native).toFixed(2)}x`, `${(own / native).toFixed(2)}x`];
  });
  const medians = Object.fromEntries(IMPLEMENTATIONS.map((name) => [
    name,
    Object.fromEntries(ROWS.map(([key]) => [key, figure(name, key)])),
  ]));
  return {
    report: { options: load, rounds, medians },
    table: renderRows(["medians", "native", "ws", "own", "ws / native", "own / native"], rows),
  };
}

/** `deno task bench sockets`. */
export const SOCKETS: Scenario = {
  name: "sockets",
  help: HELP,
  options: {
    rounds: text("3"),
    rate: text("5000"),
    seconds: text("4"),
    connections: text("10"),
    bytes: text("256"),
    window: text("64"),
    subscribers: text("500"),
    messages: text("100"),
    idle: text("2000"),
  },
  run,
};
