/**
 * Readers over HTTP that are there and read nothing, behind a proxy that has stalled: of events of a room, and of a
 * connection without WebSocket. What waits for them is bounded, whoever else reads hears everything, and the
 * metrics say what became of them.
 */
import assert from "node:assert/strict";
import { encodeSub } from "@arqon/proto";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { startPausingProxy } from "./harness/pausing_proxy.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const UNSENT_BYTES = 524_288, ROOM_BYTES = 65_536;
/** What is published at least for those who do not read: far more than may wait for them. */
const FLOOD_BYTES = 16_000_000;
const MESSAGE_BYTES = 40_000;

const CONFIG = `
[server]
host = "127.0.0.1"
# A reader that stalls is to end by what waits for it, and not by a PING.
heartbeat_ms = 60_000
[ops]
host = "127.0.0.1"
[limits]
unsent_bytes = ${UNSENT_BYTES}
slow_reader_bytes = ${ROOM_BYTES}
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
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  const data = "x".repeat(MESSAGE_BYTES);
  let sent = 0;
  while (sent * MESSAGE_BYTES < FLOOD_BYTES || !await enough()) {
    assert.ok(sent * MESSAGE_BYTES < 20 * FLOOD_BYTES, `${sent} messages, and still not enough`);
    for (let step = 0; step < 25; step++, sent++) {
      await peer.done("POST", `rooms/${room}/messages`, { type: "t", data });
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
  await using bus = await startLocalBus(CONFIG);
  for (const [name, stall] of Object.entries(STALLS)) {
    await t.step(`${name}: it is ended`, () => oneStalls(bus, stall, "plain", "disconnected"));
    const replaced = () => oneStalls(bus, stall, "latest-1", "conflated");
    await t.step(`${name}: what is old is replaced`, replaced);
    const left_out = () => oneStalls(bus, stall, "oldest-1", "dropped");
    await t.step(`${name}: what is old is left out`, left_out);
  }
});
