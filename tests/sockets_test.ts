/**
 * A running bus with each implementation of client sockets: clients see the same, except for the close code of a
 * message that is far too long. Also disconnected clients. `shield/socket/testing/conformance.ts` covers the sockets
 * alone, `shield/connection/reply_order_test.ts` the order of ERRs.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import {
  BINARY,
  PING,
  PONG,
  rawFrame,
  RawPeer,
  TEXT,
} from "../shield/socket/testing/conformance_peer.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { openText } from "./peers/raw_client.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";
import { sampleAt } from "./harness/server_state.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CLOSE_BYTES = 400_000;

const configOf = (websocket: string) => `
[server]
websocket = "${websocket}"
heartbeat_ms = 1_000
drain_ms = 300
[limits]
#constant limits.close_frame_bytes = ${CLOSE_BYTES}
`;

/** Different spellings of the same offer by clients and proxies; the first supported one is confirmed. */
async function readsLists(bus: TestBus): Promise<void> {
  const { token } = bus;
  const offers: [offer: string[], confirmed: string | undefined][] = [
    [[`arqon.v1,arqon.token.${token}`], "arqon.v1"],
    [[`arqon.token.${token},arqon.v1.json`], "arqon.v1.json"],
    [[`arqon.v1.json,arqon.v1,arqon.token.${token}`], "arqon.v1.json"],
    [[`arqon.v1,arqon.v1.json,arqon.token.${token}`], "arqon.v1"],
    [[`,\tarqon.v1\t,,arqon.token.${token},`], "arqon.v1"],
    [[`arqon.token.${token}`, "mqtt", "arqon.v1.json"], "arqon.v1.json"],
    [[`arqon.token.${token}`], undefined],
  ];
  for (const [lines, confirmed] of offers) {
    const headers = lines.map((line) => `sec-websocket-protocol:${line}`);
    using peer = await RawPeer.connect(`${bus.http_url}/v1/socket`, headers);
    assert.match(peer.head, /^HTTP\/1\.1 101 /, peer.head);
    const protocols = [...peer.head.matchAll(/^sec-websocket-protocol: (.*)$/gim)].map(([, is]) =>
      is
    );
    assert.deepEqual(protocols, confirmed === undefined ? [] : [confirmed]);
    assert.equal((await peer.frame())?.opcode, confirmed === "arqon.v1.json" ? TEXT : BINARY);
  }
  const odd = { token, headers: ['Sec-WebSocket-Protocol: "arqon.v1"'] };
  assert.deepEqual(await refusedUpgrade(bus.http_url, odd), ["400", "unsupported-subprotocol"]);
}

async function bounds(bus: TestBus): Promise<void> {
  const client = await openText(bus.url, bus.token);
  client.send("x".repeat(300_000));
  const { op, code, reason } = await client.json();
  assert.deepEqual({ op, code, reason }, { op: "err", code: 413, reason: "too-large" });
  client.send("x".repeat(CLOSE_BYTES + 1));
  assert.equal((await client.closed()).code, 4413);
}

/** Answers WebSocket's pings in the middle of a message that never ends: every socket considers it alive. */
async function outlasts(bus: TestBus): Promise<void> {
  const headers = [`Authorization: Bearer ${bus.token}`, "Sec-WebSocket-Protocol: arqon.v1.json"];
  using peer = await RawPeer.connect(`${bus.http_url}/v1/socket`, headers);
  const alive = await openText(bus.url, bus.token);
  alive.socket.addEventListener("message", ({ data }) => {
    if (JSON.parse(data).op === "ping") alive.send({ op: "pong", data: "" });
  });
  // A client that has answered once must always answer.
  await peer.write(rawFrame(TEXT, new TextEncoder().encode('{"op":"pong","data":""}')));
  await peer.write(rawFrame(TEXT, new TextEncoder().encode('{"op":"p'), false));
  const frames: { op: string; reason?: string }[] = [];
  for (let frame = await peer.frame(); frame !== undefined; frame = await peer.frame()) {
    if (frame.opcode === PING) await peer.write(rawFrame(PONG, frame.body));
    else if (frame.opcode === TEXT) frames.push(JSON.parse(new TextDecoder().decode(frame.body)));
    else {
      assert.deepEqual([...frame.body.subarray(0, 2)], [4_408 >> 8, 4_408 & 255]);
      break;
    }
  }
  assert.equal(frames.at(0)?.op, "welcome");
  assert(frames.some(({ op }) => op === "ping"));
  assert.equal(frames.at(-1)?.reason, "heartbeat-lost");
  alive.send({ op: "ping", data: "still here" });
  while ((await alive.json()).data !== "still here");
  alive[Symbol.dispose]();
}

for (const websocket of ["native", "own"]) {
  Deno.test(`clients of ${websocket} sockets`, async (t) => {
    await using bus = await startLocalBus(configOf(websocket));
    await t.step("may write the list of subprotocols in any way", () => readsLists(bus));
    await t.step(
      "get ERR 413 below the bound, and are closed above it",
      () => bounds(bus),
    );
    await t.step(
      "clients that have answered a PING and are in the middle of a message end with 4408",
      () => outlasts(bus),
    );
  });
}

// A client that closes its connection while its request waits releases its slot for requests in flight at once, with
// every kind of sockets; and the number of requests that continue to wait is limited.

const PLACES = 3;

const waitingOn = (websocket: string) => `
[server]
websocket = "${websocket}"
[limits]
#constant limits.pending_operations = ${PLACES}
#constant limits.command_timeout_ms = 60_000
[streams]
#constant streams.long_poll_ms = 60_000
${durableRooms("log-*")}
`;

const pending = ({ ops_url }: TestBus) => sampleAt(ops_url, "shield_pending_operations");

interface Asked {
  readonly stop: AbortController;
  readonly ended: Promise<number>;
}

/** Sends a request on a separate connection, which ends when it is stopped. */
function asking(bus: TestBus, path: string, token: string): Asked {
  const stop = new AbortController();
  const ended = fetch(`${bus.http_url}/v1/${path}`, {
    headers: { authorization: `Bearer ${token}` },
    signal: stop.signal,
  }).then(({ status }) => status, () => 0);
  return { stop, ended };
}

/** An event stream on a separate connection, after its header. */
async function openEvents({ http_url, token }: TestBus, path: string): Promise<Deno.TcpConn> {
  const { hostname, port } = new URL(http_url);
  const connection = await Deno.connect({ hostname, port: Number(port) });
  const head = `GET ${path} HTTP/1.1\r\nhost: bus\r\nauthorization: Bearer ${token}\r\n\r\n`;
  await connection.write(new TextEncoder().encode(head));
  const buffer = new Uint8Array(4_096);
  const count = await connection.read(buffer) ?? 0;
  assert.match(new TextDecoder().decode(buffer.subarray(0, count)), /^HTTP\/1\.1 200 /);
  return connection;
}

for (const websocket of ["own", "native"]) {
  Deno.test(`a disconnected client frees its place at once: ${websocket}`, async () => {
    await using bus = await startLocalBus(waitingOn(websocket));
    const headers = {
      authorization: `Bearer ${bus.token}`,
      "content-type": "application/json",
    };
    const made = await fetch(`${bus.http_url}/v1/streams/log-1`, { method: "PUT", headers });
    assert.equal(made.status, 201, await made.text());
    const next = made.headers.get("stream-next-offset");
    const poll = `streams/log-1?offset=${next}&live=long-poll`;
    for (let round = 0; round < 3; round++) {
      const all = Array.from({ length: PLACES }, () => asking(bus, poll, bus.token));
      await until("all wait", async () => await pending(bus) === PLACES);
      assert.equal(await asking(bus, poll, bus.token).ended, 429);
      for (const { stop } of all) stop.abort();
      await until("their places are free", async () => await pending(bus) === 0);
    }
    const live = await openEvents(bus, `/v1/streams/log-1?offset=${next}&live=sse`);
    live.close();
    await until("the event stream has ended", async () => await pending(bus) === 0);
    const events = await openEvents(bus, "/v1/rooms/log-1/events");
    const connections = () => sampleAt(bus.ops_url, 'shield_connections{state="open"}');
    await until("an event stream is a connection", async () => await connections() === 1);
    events.close();
    await until("it has left", async () => await connections() === 0);
    const version = "rooms/lobby/state?after_version=1000000";
    const waiting = Array.from({ length: PLACES }, () => asking(bus, version, bus.token));
    await until("all wait for a version", async () => await pending(bus) === PLACES);
    for (const { stop } of waiting) stop.abort();
    await until("their places are free, too", async () => await pending(bus) === 0);
    // The number of requests that wait for the Brain is limited: new ones keep their slots.
    const more = Array.from({ length: PLACES }, () => asking(bus, version, bus.token));
    await until("others wait", async () => await pending(bus) === PLACES);
    for (const { stop, ended } of more) {
      stop.abort();
      assert.equal(await ended, 0);
    }
    assert.equal(await asking(bus, version, bus.token).ended, 429);
    const other = await bus.tokenFor({ user: "other" });
    const reader = asking(bus, poll, other);
    await until("another user is let in", async () => await pending(bus) > PLACES);
    reader.stop.abort();
  });
}

Deno.test("a request after a long-poll on one connection is answered when that is", async () => {
  await using bus = await startLocalBus(waitingOn("own"));
  const authorization = `Bearer ${bus.token}`;
  const headers = { authorization, "content-type": "application/json" };
  const url = `${bus.http_url}/v1/streams/log-1`;
  const made = await fetch(url, { method: "PUT", headers });
  await made.body?.cancel();
  const { hostname, port } = new URL(url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const request = (path: string) =>
    `GET ${path} HTTP/1.1\r\nhost: bus\r\nauthorization: ${authorization}\r\n\r\n`;
  const next = made.headers.get("stream-next-offset");
  const polled = request(`/v1/streams/log-1?offset=${next}&live=long-poll`);
  const encoder = new TextEncoder();
  await connection.write(encoder.encode(polled));
  await until("it waits", async () => await pending(bus) === 1);
  await connection.write(encoder.encode(request("/v1/streams/log-1?offset=-1")));
  const posted = await fetch(url, { method: "POST", headers, body: '{"n":1}' });
  await posted.body?.cancel();
  assert.ok(posted.ok);
  let text = "";
  const buffer = new Uint8Array(65_536);
  while (text.split('{"n":1}').length < 3) {
    const count = await connection.read(buffer) ?? assert.fail(`it ended: ${text}`);
    text += new TextDecoder().decode(buffer.subarray(0, count));
  }
  assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, 2);
});
