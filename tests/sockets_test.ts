/**
 * A running bus with each implementation of client sockets: what clients see is the same, but for
 * the close code of a message that is far too long. The sockets alone: `shield/socket/testing/conformance.ts`.
 */
import assert from "node:assert/strict";
import {
  BINARY,
  CONTINUATION,
  PING,
  PONG,
  rawFrame,
  RawPeer,
  TEXT,
} from "../shield/socket/testing/conformance_peer.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openBinary, openText, RawClient } from "./peers/raw_client.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";

const CLOSE_BYTES = 400_000;

const configOf = (websocket: string) => `
[server]
websocket = "${websocket}"
heartbeat_ms = 1_000
require_pong = true
drain_ms = 300
[limits]
close_frame_bytes = ${CLOSE_BYTES}
`;

async function speaks(bus: TestBus): Promise<void> {
  const text = await openText(bus.url, bus.token);
  const binary = await openBinary(bus.url, bus.token);
  text.send({ op: "sub", room: "lobby", id: 1 });
  assert.equal((await notPing(text)).code, 0);
  text.send({ op: "pub", room: "lobby", type: "chat", data: "hello", id: 2 });
  const answers = [await notPing(text), await notPing(text)];
  assert.deepEqual(answers.map(({ op }) => op).sort(), ["ack", "msg"]);
  for (const client of [text, binary]) client[Symbol.dispose]();
  const headers = { authorization: `Bearer ${bus.token}`, "content-type": "application/json" };
  const body = '{"type":"t","data":1}';
  const url = `${bus.http_url}/v1/rooms/lobby/messages`;
  const posted = await fetch(url, { method: "POST", headers, body });
  assert.equal(posted.ok, true, await posted.text());
}

async function refuses(bus: TestBus): Promise<void> {
  assert.deepEqual(await refusedUpgrade(bus.http_url, { token: "x" }), ["401", "token-malformed"]);
  const token = await bus.tokenFor({ ttl_seconds: -100 });
  assert.deepEqual(await refusedUpgrade(bus.http_url, { token }), ["401", "token-expired"]);
  using peer = await RawPeer.connect(`${bus.http_url}/v1/socket`);
  assert.match(peer.head, /^HTTP\/1\.1 401 [^]*^connection: close\r?$/im);
  const check = await fetch(`${bus.http_url}/v1/auth/check`);
  assert.deepEqual([check.status, (await check.json()).reason], [401, "token-missing"]);
  assert.equal(check.headers.get("www-authenticate")?.startsWith("Bearer"), true);
}

/** How clients and proxies write one and the same offer; the first that we speak is confirmed. */
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
    const said = [...peer.head.matchAll(/^sec-websocket-protocol: (.*)$/gim)].map(([, is]) => is);
    assert.deepEqual(said, confirmed === undefined ? [] : [confirmed]);
    assert.equal((await peer.frame())?.opcode, confirmed === "arqon.v1.json" ? TEXT : BINARY);
  }
  const odd = { token, headers: ['Sec-WebSocket-Protocol: "arqon.v1"'] };
  assert.deepEqual(await refusedUpgrade(bus.http_url, odd), ["400", "unsupported-subprotocol"]);
}

async function bounds(bus: TestBus, websocket: string): Promise<void> {
  const client = await openText(bus.url, bus.token);
  client.send("x".repeat(300_000));
  const { op, code, reason } = await notPing(client);
  assert.deepEqual({ op, code, reason }, { op: "err", code: 413, reason: "too-large" });
  client.send("x".repeat(CLOSE_BYTES + 1));
  assert.equal((await client.closed()).code, websocket === "ws" ? 1009 : 4413);
}

/** Answers WebSocket's pings in the middle of a message that never ends: alive to every socket. */
async function outlasts(bus: TestBus): Promise<void> {
  const headers = [`Authorization: Bearer ${bus.token}`, "Sec-WebSocket-Protocol: arqon.v1.json"];
  using peer = await RawPeer.connect(`${bus.http_url}/v1/socket`, headers);
  const alive = await openText(bus.url, bus.token);
  alive.socket.addEventListener("message", ({ data }) => {
    if (JSON.parse(data).op === "ping") alive.send({ op: "pong", data: "" });
  });
  await peer.write(rawFrame(TEXT, new TextEncoder().encode('{"op":"p'), false));
  const told: { op: string; reason?: string }[] = [];
  for (let frame = await peer.frame(); frame !== undefined; frame = await peer.frame()) {
    if (frame.opcode === PING) await peer.write(rawFrame(PONG, frame.body));
    else if (frame.opcode === TEXT) told.push(JSON.parse(new TextDecoder().decode(frame.body)));
    else {
      assert.deepEqual([...frame.body.subarray(0, 2)], [4_408 >> 8, 4_408 & 255]);
      break;
    }
  }
  assert.equal(told.at(0)?.op, "welcome");
  assert(told.some(({ op }) => op === "ping"));
  assert.equal(told.at(-1)?.reason, "heartbeat-lost");
  alive.send({ op: "ping", data: "still here" });
  while ((await alive.json()).data !== "still here");
  alive[Symbol.dispose]();
}

/** The next frame that is no PING. */
async function notPing(client: RawClient) {
  for (;;) {
    const frame = await client.json();
    if (frame.op !== "ping") return frame;
  }
}

/** A fragmented message is one message. */
async function assembles(bus: TestBus): Promise<void> {
  const headers = [`Authorization: Bearer ${bus.token}`];
  using peer = await RawPeer.connect(`${bus.http_url}/v1/socket`, headers);
  assert.equal((await peer.frame())?.opcode, BINARY);
  await peer.write(rawFrame(BINARY, new Uint8Array([0x07, 1]), false));
  await peer.write(rawFrame(CONTINUATION, new Uint8Array([2, 3])));
  assert.deepEqual((await peer.frame())?.body, new Uint8Array([0x08, 1, 2, 3]));
}

for (const websocket of ["native", "ws", "own"]) {
  Deno.test(`clients of ${websocket} sockets`, async (t) => {
    await using bus = await startLocalBus(configOf(websocket));
    await t.step("speak both forms, and HTTP beside them", () => speaks(bus));
    await t.step("are refused with status and reason", () => refuses(bus));
    await t.step("may write the list of subprotocols in any way", () => readsLists(bus));
    await t.step(
      "get ERR 413 below the bound, and are closed above it",
      () => bounds(bus, websocket),
    );
    await t.step("may send a message in fragments", () => assembles(bus));
    await t.step(
      "who must answer PING and are in the middle of a message end with 4408",
      () => outlasts(bus),
    );
    await t.step("are told to reconnect when the process stops", async () => {
      const client = await openText(bus.url, bus.token);
      assert.equal((await bus.stop()).code, 0, bus.log());
      assert.equal((await client.closed()).code, 1012);
    });
  });
}
