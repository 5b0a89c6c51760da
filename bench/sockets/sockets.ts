/**
 * The scenario `sockets`: both kinds of client sockets under the same load in one run, in turns: echo one by
 * one and with many messages under way, fan-out one by one and in bursts, and memory of an idle connection,
 * each through a whole bus on the embedded Spine. `sockets_tls.ts` measures what TLS adds.
 */
import { decodeServerFrame, encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import {
  positive,
  ROOT,
  type Scenario,
  type ScenarioResult,
  text,
  UsageError,
} from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { connectSocket } from "../measure/socket.ts";
import type { LoadSocket } from "../measure/socket.ts";
import { BATCH, echo, idle, pause, readingOf } from "./sockets_load.ts";
import type { Load } from "./sockets_load.ts";
import { overTls } from "./sockets_tls.ts";
import type { TlsFigures } from "./sockets_tls.ts";
import { renderRows } from "../measure/table.ts";
import { openOnBus, startBus } from "../measure/targets.ts";
import type { BusProcess } from "../measure/targets.ts";

const HELP = `sockets: Deno's sockets beside our own, through the whole bus.

  --websocket LIST  kinds, compared with the first (native,own)
  --rounds N        each kind in turn, so many times; medians count (3)
  --rate N          messages a second of the echo at a constant rate (5000)
  --seconds N       of each measurement (4)
  --connections N   that echo (10)
  --bytes N         size of a body (256)
  --window N        messages of a connection under way when throughput is measured (64)
  --subscribers N   of the fan-out (500)
  --messages N      of the fan-out, one every 20 ms (100), and as many in bursts of ten
  --idle N          connections that do nothing (2000)
  --handshakes N    over TLS, a second (1000)
`;

const IMPLEMENTATIONS = ["native", "own"] as const;
const FANOUT_MS = 20;
const BURST = 10;

/** The figures of one implementation in one round. */
interface Figures extends TlsFigures {
  readonly echo_p50_ms: number;
  readonly echo_p99_ms: number;
  /** CPU time of the whole bus for one message of the echo, with its delivery. */
  readonly echo_cpu_us: number;
  readonly echo_per_second: number;
  /**
   * CPU time of the whole bus for one message of the echo, with `window` messages of each connection under
   * way.
   */
  readonly crowd_cpu_us: number;
  /** CPU time of the whole bus for one delivery in bursts of ten messages. */
  readonly burst_cpu_us: number;
  /** CPU time of the whole bus for one delivery of the fan-out. */
  readonly fanout_cpu_us: number;
  readonly fanout_per_second: number;
  readonly idle_connection_bytes: number;
}

/** Measures an echo in which every connection always has `window` messages under way. */
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

/** Measures one round. Memory, TLS and everything else each get a new process. */
async function round(implementation: string, load: Load): Promise<Figures> {
  const config = `${ROOT}/bench/sockets_${implementation}.toml`;
  const memory = await (async () => {
    await using bus = await startBus(config);
    return await idle(bus, load);
  })();
  const tls = await overTls(config, load);
  await using bus = await startBus(config);
  const first = await echo(bus, load);
  const second = await throughput(bus, load);
  return { ...memory, ...tls, ...first, ...second, ...await fanout(bus, load) };
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
  ["tls_handshake_p50_ms", "TLS: handshake to WELCOME, p50 ms", 1, 1],
  ["tls_handshake_p99_ms", "TLS: handshake to WELCOME, p99 ms", 1, 1],
  ["tls_handshakes_failed", "TLS: handshakes that failed", 0, 1],
  ["tls_handshake_cpu_us", "TLS: CPU a handshake, µs", 0, 1],
  ["tls_echo_p99_ms", "TLS: echo at a constant rate, p99 ms", 2, 1],
  ["tls_echo_cpu_us", "TLS: CPU a message of the echo, µs", 1, 1],
  ["tls_idle_connection_bytes", "TLS: memory of an idle connection, KB", 1, 1_000],
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
    handshakes: positive(values, "handshakes"),
  };
  const kinds = kindsOf(values);
  const rounds: Record<string, Figures[]> = Object.fromEntries(kinds.map((kind) => [kind, []]));
  for (let count = positive(values, "rounds"); count > 0; count--) {
    for (const kind of kinds) {
      console.error(`${kind} ...`);
      rounds[kind]?.push(await round(kind, load));
    }
  }
  const medians = Object.fromEntries(kinds.map((kind) => [
    kind,
    Object.fromEntries(
      ROWS.map(([key]) => [key, median((rounds[kind] ?? []).map((figures) => figures[key]))]),
    ),
  ]));
  const [first = "", ...others] = kinds;
  const rows = ROWS.map(([key, name, digits, divisor]) => {
    const value = (kind: string) => medians[kind]?.[key] ?? NaN;
    const shown = kinds.map((kind) => (value(kind) / divisor).toFixed(digits));
    const ratios = others.map((kind) => `${(value(kind) / value(first)).toFixed(2)}x`);
    return [name, ...shown, ...ratios];
  });
  const heads = others.map((kind) => `${kind} / ${first}`);
  return {
    report: { options: load, rounds, medians },
    table: renderRows(["medians", ...kinds, ...heads], rows),
  };
}

/** The kinds of sockets that the options ask for. Throws `UsageError`. */
function kindsOf(values: OptionValues): string[] {
  const kinds = String(values["websocket"]).split(",");
  const known: readonly string[] = IMPLEMENTATIONS;
  const unknown = kinds.find((kind) => !known.includes(kind));
  if (unknown === undefined) return kinds;
  throw new UsageError(`--websocket knows ${known.join(", ")}, not ${JSON.stringify(unknown)}`);
}

/** The scenario of `deno task bench sockets`. */
export const SOCKETS: Scenario = {
  name: "sockets",
  help: HELP,
  options: {
    websocket: text("native,own"),
    rounds: text("3"),
    rate: text("5000"),
    seconds: text("4"),
    connections: text("10"),
    bytes: text("256"),
    window: text("64"),
    subscribers: text("500"),
    messages: text("100"),
    idle: text("2000"),
    handshakes: text("1000"),
  },
  run,
};
