/**
 * A client that stops reading and continues later, in rooms that do not disconnect it: what it receives, in which
 * order, and the notices of missing messages; and a client that sends and reads nothing. The reader `slow` of
 * `tests/model` covers `latest`, `sse_test.ts` covers readers over HTTP.
 */
import assert from "node:assert/strict";
import { encodePub, encodeSub, Opcode, writeEnvelope } from "@arqon/proto";
import type { PlainEnvelope, Uint64 } from "@arqon/proto";
import { connect } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { standsStill } from "../shared/testing/until.ts";
import { BINARY, rawFrame, RawPeer } from "../shield/socket/testing/conformance_peer.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { startPausingProxy } from "./harness/pausing_proxy.ts";
import { openBinary, type RawClient } from "./peers/raw_client.ts";
import { samplesOf } from "./harness/server_state.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[limits]
#constant limits.slow_reader_bytes = 1_048_576
bytes_per_second = 1_000_000_000
[[rooms]]
room = "drop-*"
slow_reader = "drop-oldest"
${durableRooms("log-drop-*", 'slow_reader = "drop-oldest"')}
`;

const BODY_BYTES = 60_000;

/** More than the kernel and two proxied sockets buffer. */
const MESSAGES_MAX = 5_000;

const ENOUGH = 20;
const STEP = 20;

/** A received message's number; a GAP has none. */
interface Seen {
  readonly gap: boolean;
  readonly number: number;
}

function seenBinary({ event, signal }: PlainEnvelope): Seen {
  if (signal !== undefined) {
    assert.deepEqual([signal.kind, signal.reason], ["GAP", "slow-consumer"]);
  }
  return { gap: signal !== undefined, number: Number(event?.type) };
}

/** Reads until the latest message has arrived, in a BATCH or not. */
async function readBinary(client: RawClient, sent: number): Promise<Seen[]> {
  const seen: Seen[] = [];
  while (!seen.some(({ number }) => number === sent)) {
    const frame = await client.frame();
    if (frame.kind === "msg") seen.push(seenBinary(frame.envelope));
    if (frame.kind === "batch") seen.push(...frame.envelopes.map(seenBinary));
  }
  return seen;
}

const dropped = async (bus: TestBus): Promise<number> =>
  (await samplesOf(bus.ops_url)).get('shield_slow_reader_total{action="dropped"}') ?? 0;

/** Publishes numbered messages while the client does not read; returns their number. */
async function publishUntil(bus: TestBus, room_id: string): Promise<number> {
  using publisher = await openBinary(bus.url, bus.token);
  const before = await dropped(bus);
  let sent = 0;
  const data = new Uint8Array(BODY_BYTES);
  const publish = () => {
    const event = { type: String(++sent), data };
    publisher.send(encodePub(writeEnvelope({ room_id, event, request_id: sent })));
  };
  while (await dropped(bus) < before + ENOUGH) {
    assert(sent < MESSAGES_MAX, `${sent} messages, and nothing was dropped`);
    for (let step = 0; step < STEP; step++) publish();
    for (let step = 0; step < STEP; step++) {
      const answer = await publisher.frame();
      assert(answer.kind === "ack");
      assert.deepEqual([answer.ack.code, answer.ack.message], [0, ""]);
    }
  }
  return sent;
}

async function pauseAndRead(bus: TestBus, room_id: string) {
  await using proxy = startPausingProxy(Number(new URL(bus.url).port));
  const url = bus.url.replace(/:\d+\//, `:${proxy.port}/`);
  using client = await openBinary(url, bus.token);
  client.send(encodeSub({ room_id, request_id: 1, batch: true }));
  assert.equal((await client.frame()).kind, "ack");
  proxy.pause();
  const sent = await publishUntil(bus, room_id);
  proxy.resume();
  return { sent, seen: await readBinary(client, sent) };
}

/** Whatever is missing follows a GAP, and no GAP reports anything that is not missing. */
function assertGapsTell(seen: readonly Seen[]): void {
  let last = 0;
  let has_gap = false;
  for (const { gap, number } of seen) {
    if (gap) has_gap = true;
    else {
      assert.equal(number > last + 1, has_gap, `${number} after ${last}`);
      last = number;
      has_gap = false;
    }
  }
}

async function dropOldest(bus: TestBus, room_id: string): Promise<void> {
  const { sent, seen } = await pauseAndRead(bus, room_id);
  assertGapsTell(seen);
  assert.ok(seen.some(({ gap }) => gap));
  assert.ok(seen.filter(({ gap }) => !gap).length <= sent - ENOUGH);
}

/** The iteration returns the GAP and continues after it, and the history has what is missing. */
async function sdk(bus: TestBus): Promise<void> {
  await using proxy = startPausingProxy(Number(new URL(bus.url).port));
  const url = bus.url.replace(/:\d+\//, `:${proxy.port}/`);
  await using connection = await connect({ url, token: bus.token });
  const room = connection.room("log-drop-sdk");
  const messages = room.subscribe();
  await messages.ready;
  proxy.pause();
  const sent = await publishUntil(bus, "log-drop-sdk");
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

Deno.test("a client that stops reading and continues gets what the room's class specifies", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  await t.step("drop-oldest", () => dropOldest(bus, "drop-1"));
  await t.step("drop-oldest in a durable room, by the SDK", () => sdk(bus));
});

// A client that publishes to a room that it is subscribed to, and reads nothing meanwhile: with back-pressure, it waits
// at its own end and gets everything afterwards; it is not closed as a slow reader.

/** Twice the limit of one connection's queue, and more than the kernel's loopback buffers. */
const MESSAGES = 400;

const SENT_BYTES = 100_000;

Deno.test("a client that does not read is not read (own)", async () => {
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
  let received = 0;
  while (received < MESSAGES) {
    const frame = await peer.frame();
    assert.equal(frame?.opcode, BINARY, "it was closed");
    if (frame?.body[0] === Opcode.MSG) received++;
    else assert.equal(frame?.body[0], Opcode.WELCOME);
  }
  await writing;
});
