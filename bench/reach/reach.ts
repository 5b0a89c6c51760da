/**
 * The scenario `reach`: what it costs the bus to reach clients otherwise than by binary WebSocket. The same messages
 * go to as many receivers of each kind in turn, on one bus; CPU time a delivery counts. And what a message costs that
 * no pattern matches, while there are so many patterns of connections of the same tenant.
 */
import { encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import { ROOT, scenario } from "../measure/scenario.ts";
import { connectSocket } from "../measure/socket.ts";
import { median, medianOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { type BusProcess, startBus } from "../measure/targets.ts";
import { deltaTable } from "./reach_deltas.ts";
import { cpuSecondsOf, inBatches, openReceiver, pause } from "./receivers.ts";

const PAUSE_MS = 10;
const BURST = 10;
/** How a message begins for a reader of events. */
const EVENT_START = new TextEncoder().encode('data: {"op":"msg"');
/** How many different filters there are; each lets every message through. */
const FILTERS = 20;
/** How many patterns many of them are compared with. */
const FEW_PATTERNS = 10;
/** Patterns of one connection, and operations that wait for their answer at a time. */
const PER_CONNECTION = 1_000;
const ASKED_AT_ONCE = 200;

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

const KINDS: Readonly<Record<string, Open>> = {
  websocket: (bus, room_id, onMessage) =>
    openReceiver(bus, encodeSub({ room_id, request_id: 1 }), onMessage),
  filtered: (bus, room_id, onMessage, index) => {
    const filter = `type == "bench" && size(data) > ${index % FILTERS}`;
    return openReceiver(bus, encodeSub({ room_id, request_id: 1, filter }), onMessage);
  },
  sse: openEvents,
};

async function openEvents(
  bus: BusProcess,
  room: string,
  onMessage: () => void,
): Promise<() => void> {
  const { hostname, port } = new URL(bus.url);
  const socket = await Deno.connect({ hostname, port: Number(port) });
  const head = `GET /v1/rooms/${room}/events HTTP/1.1\r\nHost: ${hostname}\r\n` +
    `Authorization: Bearer ${bus.token}\r\n\r\n`;
  await socket.write(new TextEncoder().encode(head));
  const bytes = new Uint8Array(65_536);
  const subscribed = new TextEncoder().encode("event: subscribed");
  const [message, opened] = [finder(EVENT_START), finder(subscribed)];
  let is_open = false;
  const read = async (): Promise<boolean> => {
    const count = await socket.read(bytes).catch(() => null);
    if (count === null) return false;
    const part = bytes.subarray(0, count);
    if (!is_open) is_open = opened(part) > 0;
    for (let found = message(part); found > 0; found--) onMessage();
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
function finder(pattern: Uint8Array): (part: Uint8Array) => number {
  let matched = 0;
  return (part) => {
    let found = 0;
    for (const byte of part) {
      if (byte !== pattern[matched]) matched = 0;
      if (byte === pattern[matched]) matched++;
      if (matched < pattern.length) continue;
      matched = 0;
      found++;
    }
    return found;
  };
}

async function measure(bus: BusProcess, open: Open, room: string, load: Load): Promise<Figures> {
  let delivered = 0;
  const ends = await inBatches(
    load.receivers,
    (index) => open(bus, room, () => delivered++, index),
  );
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

/** A connection that asks, and waits for the answers of some at a time. */
async function connectAsker(bus: BusProcess) {
  const socket = await connectSocket(bus.url, ["arqon.v1", `arqon.token.${bus.token}`]);
  let wanted = 0;
  let resolve = () => {};
  socket.onmessage = (data) => {
    if (data[0] === Opcode.ACK && --wanted === 0) resolve();
  };
  return {
    close: () => socket.close(),
    async ask(count: number, frameOf: (index: number) => Uint8Array): Promise<void> {
      for (let at = 0; at < count; at += ASKED_AT_ONCE) {
        const end = Math.min(count, at + ASKED_AT_ONCE);
        const done = Promise.withResolvers<void>();
        [wanted, resolve] = [end - at, done.resolve];
        for (let index = at; index < end; index++) socket.send(frameOf(index));
        await done.promise;
      }
    },
  };
}

/** CPU time of the bus for one message that none of so many patterns matches, in µs. */
async function measureUnmatched(bus: BusProcess, patterns: number, messages: number) {
  const listeners = [];
  for (let at = 0; at < patterns; at += PER_CONNECTION) {
    const listener = await connectAsker(bus);
    listeners.push(listener);
    await listener.ask(
      Math.min(PER_CONNECTION, patterns - at),
      (index) => encodeSub({ room_id: `other-${at + index}-*`, request_id: 1 }),
    );
  }
  const publisher = await connectAsker(bus);
  const event = { type: "bench", data: new Uint8Array(64), content_type: "", schema_id: "" };
  const frame = encodePub(writeEnvelope({ room_id: "silent", request_id: 1, event }));
  await publisher.ask(Math.ceil(messages / 4), () => frame);
  const before = await cpuSecondsOf(bus);
  await publisher.ask(messages, () => frame);
  const cpu_us = (await cpuSecondsOf(bus) - before) * 1e6 / messages;
  for (const one of [publisher, ...listeners]) one.close();
  return { patterns, cpu_us };
}

function renderKinds(rounds: Readonly<Record<string, readonly Figures[]>>): string {
  const of = (kind: string, key: keyof Figures) => medianOf(rounds[kind] ?? [], key);
  const ratio = (key: keyof Figures) => (kind: string) =>
    `${(of("websocket", key) / of(kind, key)).toFixed(2)}x`;
  return renderTable(Object.keys(rounds), [
    ["receivers", (kind) => kind],
    ["CPU a delivery, µs", (kind) => of(kind, "single_cpu_us"), 2],
    ["deliveries a CPU s", ratio("single_cpu_us")],
    ["in bursts, µs", (kind) => of(kind, "burst_cpu_us"), 2],
    ["a CPU s", ratio("burst_cpu_us")],
  ]);
}

/** The scenario of `deno task bench reach`. */
export const REACH = scenario(
  "reach",
  `receivers of server-sent events, and with twenty filters, beside those of binary WebSocket;
messages that no pattern matches, beside few patterns and beside many; and a transit feed as deltas,
where the feeds are (../shared/data).`,
  {
    rounds: [3, "each kind in turn, so many times; medians count"],
    receivers: [300, "of each kind"],
    messages: [200, "to all of them, one every 10 ms, and as many in bursts of ten"],
    bytes: [256, "size of a body, which is JSON"],
    patterns: [100_000, "that do not match, beside ten"],
    unmatched: [20_000, "messages that they do not match"],
    holders: [1_000, "receivers of the transit feed, with deltas and without in turn"],
  },
  async ({ rounds: count, patterns: many, unmatched, holders, ...load }) => {
    const rounds: Record<string, Figures[]> = {};
    await using bus = await startBus(`${ROOT}/bench/reach/reach.toml`);
    for (let round = 0; round < count; round++) {
      for (const [kind, open] of Object.entries(KINDS)) {
        console.error(`${kind} ...`);
        (rounds[kind] ??= []).push(await measure(bus, open, `reach-${kind}-${round}`, load));
      }
    }
    const beside: Awaited<ReturnType<typeof measureUnmatched>>[] = [];
    for (let round = 0; round < count; round++) {
      for (const patterns of [FEW_PATTERNS, many]) {
        console.error(`${patterns} patterns ...`);
        beside.push(await measureUnmatched(bus, patterns, unmatched));
      }
    }
    const us = (patterns: number) =>
      median(beside.filter((one) => one.patterns === patterns).map(({ cpu_us }) => cpu_us));
    const unmatched_table = renderTable([FEW_PATTERNS, many], [
      ["patterns that do not match", (patterns) => String(patterns)],
      ["CPU a message, µs", us, 2],
      ["of few", (patterns) => `${(us(patterns) / us(FEW_PATTERNS)).toFixed(2)}x`],
    ]);
    const deltas = await deltaTable(bus, count, holders);
    return {
      report: { options: load, rounds, beside, deltas: deltas.rounds },
      table: [renderKinds(rounds), unmatched_table, deltas.table].join("\n\n"),
    };
  },
);
