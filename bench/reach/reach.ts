/**
 * The scenario `reach`: what it costs the bus to reach clients otherwise than by binary WebSocket. The
 * same messages go to as many receivers of each kind in turn, on one bus; CPU time a delivery counts.
 */
import { encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import { positive, ROOT, type Scenario, type ScenarioResult, text } from "../measure/scenario.ts";
import type { OptionValues } from "../measure/scenario.ts";
import { connectSocket } from "../measure/socket.ts";
import { median } from "../measure/statistics.ts";
import { renderRows } from "../measure/table.ts";
import { startBus } from "../measure/targets.ts";
import type { BusProcess } from "../measure/targets.ts";
import { deltaTable } from "./reach_deltas.ts";
import { FEW_PATTERNS, measureUnmatched } from "./reach_patterns.ts";
import { cpuSecondsOf, pause } from "./reading.ts";

const HELP =
  `reach: receivers of server-sent events, and with twenty filters, beside those of binary WebSocket;
messages that no pattern matches, beside few patterns and beside many; and a transit feed as deltas,
where the feeds are (../shared/data).

  --rounds N        each kind in turn, so many times; medians count (3)
  --receivers N     of each kind (300)
  --messages N      to all of them, one every 10 ms (200), and as many in bursts of ten
  --bytes N         size of a body, which is JSON (256)
  --patterns N      that do not match, beside ten (100000)
  --unmatched N     messages that they do not match (20000)
  --holders N       receivers of the transit feed, with deltas and without in turn (1000)
`;

const PAUSE_MS = 10;
const BURST = 10;
/** Receivers that are opened at a time. */
const AT_ONCE = 50;
/** How a message begins for a reader of events. */
const EVENT_START = new TextEncoder().encode('data: {"op":"msg"');

interface Load {
  readonly receivers: number;
  readonly messages: number;
  readonly bytes: number;
}

/** CPU time of the whole bus for one delivery, in µs. */
interface Figures {
  readonly single_cpu_us: number;
  readonly burst_cpu_us: number;
}

/** Opens a receiver of a room, which calls back with each message; resolves with its end. */
type Open = (
  bus: BusProcess,
  room: string,
  onMessage: () => void,
  index: number,
) => Promise<() => void>;

/** How many different filters there are; each lets every message through. */
const FILTERS = 20;
const isMessage = (data: Uint8Array) => data[0] === Opcode.MSG;

const KINDS: Readonly<Record<string, Open>> = {
  websocket: (bus, room, onMessage) => {
    const sub = encodeSub({ room_id: room, request_id: 1 });
    return openSocket(bus, "arqon.v1", sub, isMessage, onMessage);
  },
  filtered: (bus, room, onMessage, index) => {
    const filter = `type == "bench" && size(data) > ${index % FILTERS}`;
    const sub = encodeSub({ room_id: room, request_id: 1, filter });
    return openSocket(bus, "arqon.v1", sub, isMessage, onMessage);
  },
  sse: openEvents,
};

async function openSocket(
  bus: BusProcess,
  protocol: string,
  sub: Uint8Array<ArrayBuffer>,
  isMessage: (data: Uint8Array) => boolean,
  onMessage: () => void,
): Promise<() => void> {
  const socket = await connectSocket(bus.url, [protocol, `arqon.token.${bus.token}`]);
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.onmessage = (data) => {
    if (isMessage(data)) onMessage();
    else if (data[0] === Opcode.ACK) resolve();
  };
  socket.send(sub);
  await promise;
  return () => socket.close();
}

async function openEvents(
  bus: BusProcess,
  room: string,
  onMessage: () => void,
): Promise<() => void> {
  const { hostname, port } = new URL(bus.url);
  const socket = await Deno.connect({ hostname, port: Number(port) });
  const head = `GET /v1/rooms/${room}/events HTTP/1.1\r\nHost: ${hostname}\r\n`;
  await socket.write(
    new TextEncoder().encode(`${head}Authorization: Bearer ${bus.token}\r\n\r\n`),
  );
  const bytes = new Uint8Array(65_536);
  const subscribed = new TextEncoder().encode("event: subscribed");
  const [message, opened] = [new Finder(EVENT_START), new Finder(subscribed)];
  let is_open = false;
  const read = async (): Promise<boolean> => {
    const count = await socket.read(bytes).catch(() => null);
    if (count === null) return false;
    const part = bytes.subarray(0, count);
    if (!is_open) is_open = opened.count(part) > 0;
    for (let found = message.count(part); found > 0; found--) onMessage();
    return true;
  };
  while (!is_open && await read());
  if (!is_open) throw new Error("a stream ended before it began");
  (async () => {
    while (await read());
  })();
  return () => socket.close();
}

/** Counts a pattern in bytes that come in pieces; no proper end of the pattern is its beginning. */
class Finder {
  readonly #pattern: Uint8Array;
  #matched = 0;

  constructor(pattern: Uint8Array) {
    this.#pattern = pattern;
  }

  count(part: Uint8Array): number {
    let found = 0;
    for (const byte of part) {
      if (byte !== this.#pattern[this.#matched]) this.#matched = 0;
      if (byte === this.#pattern[this.#matched]) this.#matched++;
      if (this.#matched < this.#pattern.length) continue;
      this.#matched = 0;
      found++;
    }
    return found;
  }
}

async function measure(bus: BusProcess, open: Open, room: string, load: Load): Promise<Figures> {
  let delivered = 0;
  const ends: (() => void)[] = [];
  for (let at = 0; at < load.receivers; at += AT_ONCE) {
    const count = Math.min(AT_ONCE, load.receivers - at);
    const batch = Array.from(
      { length: count },
      (_, index) => open(bus, room, () => delivered++, at + index),
    );
    ends.push(...await Promise.all(batch));
  }
  const publisher = await connectSocket(bus.url, ["arqon.v1", `arqon.token.${bus.token}`]);
  const data = new TextEncoder().encode(JSON.stringify("x".repeat(load.bytes - 2)));
  const event = { type: "bench", data, content_type: "application/json", schema_id: "" };
  const frame = encodePub(writeEnvelope({ room_id: room, event }));
  const expected = load.messages * load.receivers;
  const deliver = async (at_once: number) => {
    delivered = 0;
    const before = await cpuSecondsOf(bus);
    for (let sent = 0; sent < load.messages; sent += at_once) {
      for (let one = 0; one < at_once; one++) publisher.send(frame);
      await pause(PAUSE_MS * at_once);
    }
    while (delivered < expected) await pause(5);
    return (await cpuSecondsOf(bus) - before) * 1e6 / expected;
  };
  await deliver(1);
  const figures = { single_cpu_us: await deliver(1), burst_cpu_us: await deliver(BURST) };
  publisher.close();
  for (const end of ends) end();
  await pause(300);
  return figures;
}

async function run(values: OptionValues): Promise<ScenarioResult> {
  const load: Load = {
    receivers: positive(values, "receivers"),
    messages: positive(values, "messages"),
    bytes: positive(values, "bytes"),
  };
  const rounds: Record<string, Figures[]> = {};
  await using bus = await startBus(`${ROOT}/bench/reach/reach.toml`);
  for (let round = 0; round < positive(values, "rounds"); round++) {
    for (const [kind, open] of Object.entries(KINDS)) {
      console.error(`${kind} ...`);
      (rounds[kind] ??= []).push(await measure(bus, open, `reach-${kind}-${round}`, load));
    }
  }
  const [many, unmatched] = [positive(values, "patterns"), positive(values, "unmatched")];
  const beside: Record<string, number[]> = {};
  for (let round = 0; round < positive(values, "rounds"); round++) {
    for (const patterns of [FEW_PATTERNS, many]) {
      console.error(`${patterns} patterns ...`);
      (beside[patterns] ??= []).push(await measureUnmatched(bus, patterns, unmatched));
    }
  }
  const of = (kind: string, key: keyof Figures) =>
    median((rounds[kind] ?? []).map((figures) => figures[key]));
  const rows = Object.keys(KINDS).map((kind) => [
    kind,
    ...(["single_cpu_us", "burst_cpu_us"] as const).flatMap((key) => [
      of(kind, key).toFixed(2),
      `${(of("websocket", key) / of(kind, key)).toFixed(2)}x`,
    ]),
  ]);
  const heads = [
    "receivers",
    "CPU a delivery, µs",
    "deliveries a CPU s",
    "in bursts, µs",
    "a CPU s",
  ];
  const few_us = median(beside[FEW_PATTERNS] ?? []);
  const pattern_rows = Object.entries(beside).map(([patterns, found]) => [
    patterns,
    median(found).toFixed(2),
    `${(median(found) / few_us).toFixed(2)}x`,
  ]);
  const pattern_heads = ["patterns that do not match", "CPU a message, µs", "of few"];
  const deltas = await deltaTable(bus, positive(values, "rounds"), positive(values, "holders"));
  const tables = [renderRows(heads, rows), renderRows(pattern_heads, pattern_rows), deltas.table];
  return {
    report: { options: load, rounds, beside, deltas: deltas.rounds },
    table: tables.join("\n\n"),
  };
}

/** The scenario of `deno task bench reach`. */
export const REACH: Scenario = {
  name: "reach",
  help: HELP,
  options: {
    rounds: text("3"),
    receivers: text("300"),
    messages: text("200"),
    bytes: text("256"),
    patterns: text("100000"),
    unmatched: text("20000"),
    holders: text("1000"),
  },
  run,
};
