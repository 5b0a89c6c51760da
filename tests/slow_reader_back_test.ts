/**
 * A client that stops reading and goes on later, in rooms that do not cut it off: what it finds, in which order, and
 * that it is told what is missing. Readers over HTTP that stall, and a client that sends and reads nothing, are beside
 * it.
 */
import assert from "node:assert/strict";
import { encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import type { PlainEnvelope, Uint64 } from "@arqon/proto";
import { connect } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { standsStill, until } from "../shared/testing/until.ts";
import { BINARY, rawFrame, RawPeer } from "../shield/socket/testing/conformance_peer.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { startPausingProxy } from "./harness/pausing_proxy.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { EventReader } from "./peers/event_reader.ts";
import { openBinary, openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[limits]
#constant limits.slow_reader_bytes = 1_048_576
bytes_per_second = 1_000_000_000
[[rooms]]
room = "drop-*"
slow_reader = "drop-oldest"
[[rooms]]
room = "latest-*"
slow_reader = "latest"
[[rooms]]
room = "log-drop-*"
durable = true
slow_reader = "drop-oldest"
[[rooms]]
room = "log-latest-*"
durable = true
slow_reader = "latest"
`;

const BODY_BYTES = 60_000;
const KEYS = 5;

/** More than the kernel and two proxied sockets take. */
const MESSAGES_MAX = 5_000;

const ENOUGH = 20;
const STEP = 20;

/** What came of a message: its number, key, offset; a GAP has none. */
interface Seen {
  readonly gap: boolean;
  readonly number: number;
  readonly key: string;
  readonly offset: number;
}

/** The last messages that were sent have one of each key. */
function isWhole(seen: readonly Seen[], sent: number): boolean {
  const newest = seen.filter(({ number }) => number > sent - KEYS);
  return new Set(newest.map(({ key }) => key)).size === KEYS;
}

function seenBinary({ event, signal, headers, offset }: PlainEnvelope): Seen {
  if (signal !== undefined) {
    assert.deepEqual([signal.kind, signal.reason], ["GAP", "slow-consumer"]);
  }
  const gap = signal !== undefined;
  return { gap, number: Number(event?.type), key: headers["x-key"] ?? "", offset: Number(offset) };
}

/** Reads until the newest message of each key has come, BATCH or not. */
async function readBinary(client: RawClient, sent: number): Promise<Seen[]> {
  const seen: Seen[] = [];
  while (!isWhole(seen, sent)) {
    const frame = await client.frame();
    if (frame.kind === "msg") seen.push(seenBinary(frame.envelope));
    if (frame.kind === "batch") seen.push(...frame.envelopes.map(seenBinary));
  }
  return seen;
}

async function total(bus: TestBus, action: string): Promise<number> {
  const text = await (await fetch(`${bus.ops_url}/metrics`)).text();
  return Number(text.match(`shield_slow_reader_total\\{action="${action}"\\} (\\d+)`)?.[1] ?? 0);
}

/** Publishes numbered messages of `KEYS` keys while the client does not read; how many. */
async function publishUntil(bus: TestBus, room_id: string, action: string): Promise<number> {
  using publisher = await openBinary(bus.url, bus.token);
  const before = await total(bus, action);
  let sent = 0;
  // One that has its own key waits while those around it are replaced.
  const has_own = room_id.startsWith("log-latest-");
  const data = new Uint8Array(BODY_BYTES);
  const publish = () => {
    const event = { type: String(++sent), data };
    const key = has_own && sent % 7 === 0 ? `own-${sent}` : String(sent % KEYS);
    const headers = { "x-key": key };
    publisher.send(encodePub(writeEnvelope({ room_id, event, headers, request_id: sent })));
  };
  while (await total(bus, action) < before + ENOUGH) {
    assert(sent < MESSAGES_MAX, `${sent} messages, and nothing was ${action}`);
    for (let step = 0; step < STEP; step++) publish();
    for (let step = 0; step < STEP; step++) {
      const answer = await publisher.frame();
      assert(answer.kind === "ack");
      assert.deepEqual([answer.ack.code, answer.ack.message], [0, ""]);
    }
  }
  return sent;
}

async function pauseAndRead(bus: TestBus, room_id: string, action: string) {
  await using proxy = startPausingProxy(Number(new URL(bus.url).port));
  const url = bus.url.replace(/:\d+\//, `:${proxy.port}/`);
  using client = await openBinary(url, bus.token);
  client.send(encodeSub({ room_id, request_id: 1, batch: true }));
  assert.equal((await client.frame()).kind, "ack");
  proxy.pause();
  const sent = await publishUntil(bus, room_id, action);
  proxy.resume();
  return { sent, seen: await readBinary(client, sent) };
}

/** Whatever is missing is behind a GAP, and nothing is said to be missing that is not. */
function assertGapsTell(seen: readonly Seen[]): void {
  let last = 0;
  let told = false;
  for (const { gap, number } of seen) {
    if (gap) told = true;
    else {
      assert.equal(number > last + 1, told, `${number} after ${last}`);
      last = number;
      told = false;
    }
  }
}

async function dropOldest(bus: TestBus, room_id: string): Promise<void> {
  const { sent, seen } = await pauseAndRead(bus, room_id, "dropped");
  assertGapsTell(seen);
  assert.ok(seen.some(({ gap }) => gap));
  assert.ok(seen.filter(({ gap }) => !gap).length <= sent - ENOUGH);
}

async function durable(bus: TestBus, room_id: string, action: string): Promise<void> {
  const { sent, seen } = await pauseAndRead(bus, room_id, action);
  const offsets = seen.filter(({ gap }) => !gap).map(({ offset }) => offset);
  assert.ok(offsets.every((offset, at) => offset > (offsets[at - 1] ?? 0)), "offsets grow");
  assertGapsTell(seen);
  // What was left out is still in the log: a client that wants it asks for it.
  using client = await openText(bus.url, bus.token);
  client.send({ op: "cmd", room: room_id, name: "history.get", data: { limit: 1 }, id: 1 });
  const { code, result } = await client.json();
  assert.deepEqual([code, result.messages[0]?.type], [0, "1"]);
  assert.ok(offsets.length < sent);
}

async function latest(bus: TestBus): Promise<void> {
  const { sent, seen } = await pauseAndRead(bus, "latest-1", "conflated");
  assert.ok(seen.length <= sent - ENOUGH);
  assert.ok(seen.every(({ gap }) => !gap), "what a newer one replaces is not missing");
  for (let key = 0; key < KEYS; key++) {
    const numbers = seen.filter((one) => one.key === String(key)).map(({ number }) => number);
    assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b), "in order by key");
    const newest = sent - (sent - key) % KEYS;
    assert.equal(numbers.at(-1), newest, "the newest of each key comes");
  }
}

/** The loop sees the GAP, goes on behind it, and the history has what is missing. */
async function sdk(bus: TestBus): Promise<void> {
  await using proxy = startPausingProxy(Number(new URL(bus.url).port));
  const url = bus.url.replace(/:\d+\//, `:${proxy.port}/`);
  await using connection = await connect({ url, token: bus.token });
  const room = connection.room("log-drop-sdk");
  const messages = room.subscribe();
  await messages.ready;
  proxy.pause();
  const sent = await publishUntil(bus, "log-drop-sdk", "dropped");
  proxy.resume();
  let before: Uint64 = 0;
  let missing: { readonly after: Uint64; readonly before: Uint64 } | undefined;
  let gap_after: Uint64 | undefined;
  for await (const { signal, offset, type } of messages) {
    if (signal !== undefined) {
      assert.deepEqual([signal.kind, signal.reason], ["GAP", "slow-consumer"]);
      gap_after = before;
      continue;
    }
    if (gap_after !== undefined) missing ??= { after: gap_after, before: offset };
    before = offset;
    if (Number(type) === sent) break;
  }
  assert.ok(missing !== undefined, "a GAP, and messages behind it");
  const page = await history(room, { after: missing.after, limit: 1 });
  const first = page.messages[0]?.offset ?? 0;
  assert.ok(first > missing.after && first < missing.before, "what it missed can be had");
}

Deno.test("who stops reading and goes on finds what his room's class says", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  await t.step("drop-oldest", () => dropOldest(bus, "drop-1"));
  await t.step("drop-oldest in a durable room", () => durable(bus, "log-drop-1", "dropped"));
  await t.step("latest", () => latest(bus));
  await t.step("latest in a durable room", () => durable(bus, "log-latest-1", "conflated"));
  await t.step("drop-oldest in a durable room, by the SDK", () => sdk(bus));
});

// Readers over HTTP that are there and read nothing, behind a proxy that has stalled: of events of a room, and of a
// connection without WebSocket. What waits for them is bounded, whoever else reads hears everything, and the metrics
// say their outcome.

const UNSENT_BYTES = 524_288, ROOM_BYTES = 65_536;

/** What is published at least for those who do not read: far more than may wait for them. */
const FLOOD_BYTES = 8_000_000;

const MESSAGE_BYTES = 40_000;

const STALLED = `
[server]
host = "127.0.0.1"
# A reader that stalls is to end by what waits for it, and not by a PING.
heartbeat_ms = 60_000
[ops]
host = "127.0.0.1"
[limits]
unsent_bytes = ${UNSENT_BYTES}
#constant limits.slow_reader_bytes = ${ROOM_BYTES}
bytes_per_second = 1_000_000_000
[[rooms]]
room = "latest-*"
slow_reader = "latest"
[[rooms]]
room = "oldest-*"
slow_reader = "drop-oldest"
`;

/** The sum of the series that begin so. */
async function metric(bus: TestBus, series: string): Promise<number> {
  const text = await (await fetch(`${bus.ops_url}/metrics`)).text();
  return text.split("\n").filter((line) => line.startsWith(series))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

const acted = (bus: TestBus, action: string) =>
  metric(bus, `shield_slow_reader_total{action="${action}"`);

/** Opens a stream and reads so much of it that the text has been there. */
async function open(port: number, path: string, token: string, text: RegExp) {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  const head = `GET ${path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n`;
  await socket.write(new TextEncoder().encode(`${head}Authorization: Bearer ${token}\r\n\r\n`));
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(1_024);
  let read = "";
  while (!text.test(read)) {
    const size = await socket.read(buffer);
    if (size === null) throw new Error(`the stream ended with ${read}`);
    read += decoder.decode(buffer.subarray(0, size), { stream: true });
  }
  return { socket, found: text.exec(read) ?? [] };
}

type Stall = (bus: TestBus, port: number, room: string) => Promise<Deno.TcpConn>;

const STALLS: Readonly<Record<string, Stall>> = {
  "events of a room": async (bus, port, room) => {
    const token = await bus.tokenFor({ user: "slow" });
    return (await open(port, `/v1/rooms/${room}/events`, token, /event: subscribed/)).socket;
  },
  "a connection": async (bus, port, room) => {
    const token = await bus.tokenFor({ user: "slow" });
    const { socket, found } = await open(port, "/v1/connections", token, /"path":"([^"]+)"/);
    const sub = encodeSub({ room_id: room, request_id: 1 });
    const { status } = await fetch(bus.http_url + found[1], {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, sub.length, ...sub),
    });
    assert.equal(status, 204);
    return socket;
  },
};

/** Publishes until `enough`, which is asked now and then; says how many messages that took. */
async function flood(bus: TestBus, room: string, enough: () => Promise<boolean>): Promise<number> {
  using publisher = await openBinary(bus.url, await bus.tokenFor({ role: "service" }));
  const event = { type: "t", data: new Uint8Array(MESSAGE_BYTES) };
  const message = encodePub(writeEnvelope({ room_id: room, event, request_id: 1 }));
  let sent = 0;
  while (sent * MESSAGE_BYTES < FLOOD_BYTES || !await enough()) {
    assert.ok(sent * MESSAGE_BYTES < 40 * FLOOD_BYTES, `${sent} messages, and still not enough`);
    for (let step = 0; step < STEP; step++) publisher.send(message);
    for (let step = 0; step < STEP; step++, sent++) {
      const answer = await publisher.frame();
      assert(answer.kind === "ack" && answer.ack.code === 0);
    }
  }
  return sent;
}

/** Hears a room to the end, and says how many messages have come. */
async function hearing(bus: TestBus, room: string) {
  const url = `${bus.http_url}/v1/rooms/${room}/events`;
  const reader = await EventReader.open(url, { token: await bus.tokenFor({ user: "other" }) });
  await reader.until("subscribed");
  let count = 0;
  const over = (async () => {
    for (let event; (event = await reader.next()) !== undefined;) {
      if (event.name === "message") count++;
    }
  })().catch(() => {});
  return {
    count: () => count,
    async [Symbol.asyncDispose]() {
      reader[Symbol.dispose]();
      await over;
    },
  };
}

/** One that stalls in a room of a class, beside one that reads. `action` is what becomes of it. */
async function oneStalls(bus: TestBus, stall: Stall, room: string, action: string): Promise<void> {
  await using proxy = startPausingProxy(Number(new URL(bus.http_url).port));
  const streams = () => metric(bus, "shield_event_streams");
  await until("the one before has gone", async () => await streams() === 0);
  await using other = await hearing(bus, room);
  const subscriptions = await metric(bus, "shield_subscriptions");
  const before = await acted(bus, action);
  using _socket = await stall(bus, proxy.port, room);
  await until("it hears the room", async () => (
    await metric(bus, "shield_subscriptions") === subscriptions + 1
  ));
  proxy.pause();
  const sent = await flood(bus, room, async () => await acted(bus, action) > before);
  assert.ok(await metric(bus, "shield_unsent_bytes") <= 2 * UNSENT_BYTES);
  await until(() => `${other.count()} of ${sent}`, () => other.count() === sent);
  if (action !== "disconnected") return;
  await until("its stream has ended", async () => await streams() === 1);
}

Deno.test("readers over HTTP that stall", async (t) => {
  await using bus = await startLocalBus(STALLED);
  for (const [name, stall] of Object.entries(STALLS)) {
    await t.step(`${name}: it is ended`, () => oneStalls(bus, stall, "plain", "disconnected"));
    const replaced = () => oneStalls(bus, stall, "latest-1", "conflated");
    await t.step(`${name}: what is old is replaced`, replaced);
    const left_out = () => oneStalls(bus, stall, "oldest-1", "dropped");
    await t.step(`${name}: what is old is left out`, left_out);
  }
});

// A client that sends to a room that it hears itself, and reads nothing meanwhile: where reading can stop, it waits
// at its own end and gets everything afterwards; it is not closed as a slow reader.

/** Twice what may wait for one connection, and beyond what the kernel holds of loopback. */
const MESSAGES = 400;

const SENT_BYTES = 100_000;

Deno.test("who is behind with reading is not read (own)", async () => {
  await using bus = await startLocalBus('[server]\nwebsocket = "own"\n');
  const headers = [`Authorization: Bearer ${bus.token}`, "Sec-WebSocket-Protocol: arqon.v1"];
  using peer = await RawPeer.connect(bus.url.replace(/^ws/, "http"), headers);
  assert.match(peer.head, /^HTTP\/1\.1 101 /);
  await peer.write(rawFrame(BINARY, encodeSub({ room_id: "echo" })));
  const event = { type: "t", data: new Uint8Array(SENT_BYTES), content_type: "", schema_id: "" };
  const message = rawFrame(BINARY, encodePub(writeEnvelope({ room_id: "echo", event })));
  let written = 0;
  const writing = (async () => {
    for (; written < MESSAGES; written++) await peer.write(message);
  })();
  await standsStill(() => written);
  assert(written < MESSAGES, "everything was taken");
  let heard = 0;
  while (heard < MESSAGES) {
    const frame = await peer.frame();
    assert.equal(frame?.opcode, BINARY, "it was closed");
    if (frame?.body[0] === Opcode.MSG) heard++;
    else assert.equal(frame?.body[0], Opcode.WELCOME);
  }
  await writing;
});
