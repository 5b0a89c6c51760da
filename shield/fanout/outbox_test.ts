/**
 * The outbox in front of real sockets: a native server socket whose peer is a WebSocket that reads, or a bare TCP
 * connection that stops reading. `tests/limits_test.ts` tests the close of slow consumers.
 */
import assert from "node:assert/strict";
import { turn as laterTurn } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import { Outbox, Pump } from "./outbox.ts";
import type { Frame } from "./frame_bytes.ts";
import { createStats } from "../stats/stats.ts";
import { encodeBatch, Opcode } from "@arqon/proto";
import { upgradeServer } from "../testing/sockets.ts";

const HANDSHAKE = [
  "GET / HTTP/1.1",
  "Host: shield",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "",
  "",
].join("\r\n");

/** An outbox whose peer reads everything. */
async function withReader(port: number, next: () => Promise<WebSocket>, unsent_bytes_max = 1e9) {
  const upgraded = next();
  const client = new WebSocket(`ws://127.0.0.1:${port}/`);
  client.binaryType = "arraybuffer";
  const received: (string | Uint8Array)[] = [];
  client.onmessage = ({ data }) => {
    received.push(typeof data === "string" ? data : new Uint8Array(data));
  };
  const closed = new Promise<CloseEvent>((resolve) => client.onclose = resolve);
  const socket = await upgraded;
  return { ...outboxOn(socket, unsent_bytes_max), client, received, closed };
}

/** An outbox whose peer has finished the handshake and reads only when `tcp` is read. */
async function withStalled(port: number, next: () => Promise<WebSocket>, unsent_bytes_max: number) {
  const upgraded = next();
  const tcp = await Deno.connect({ hostname: "127.0.0.1", port });
  await tcp.write(new TextEncoder().encode(HANDSHAKE));
  const socket = await upgraded;
  const closed = new Promise<void>((resolve) => socket.onclose = () => resolve());
  socket.onerror = () => {};
  return { ...outboxOn(socket, unsent_bytes_max), tcp, closed };
}

function outboxOn(socket: WebSocket, unsent_bytes_max: number) {
  const stats = createStats();
  const pump = new Pump();
  const overflows: number[] = [];
  const onOverflow = () => void overflows.push(stats.unsent_bytes);
  const bounds = { text: false, unsent_bytes_max, room_bytes_max: 20_000, onBroken: assert.fail };
  const outbox = new Outbox({ socket, pump, tenant_id: "acme", stats, ...bounds, onOverflow });
  return { socket, outbox, pump, stats, overflows };
}

/** A frame with a recognizable content; the kinds alternate. */
function frame(index: number, size_bytes: number): Frame {
  if (index % 2 === 1) return `${index} `.padEnd(size_bytes, "t");
  const bytes = new Uint8Array(size_bytes);
  new DataView(bytes.buffer).setUint32(0, index);
  return bytes;
}

function indexOf(received: string | Uint8Array): number {
  if (typeof received === "string") return parseInt(received);
  return new DataView(received.buffer, received.byteOffset).getUint32(0);
}

Deno.test("frames arrive whole and in order, for any backlog", async () => {
  await using server = upgradeServer();
  const { outbox, stats, client, received, closed } = await withReader(server.port, server.next);
  const count = 2_000;
  let most_bytes = 0;
  for (let index = 0; index < count; index++) {
    outbox.send(frame(index, 1 + 1_000 + index % 7));
    most_bytes = Math.max(most_bytes, stats.unsent_bytes);
  }
  assert.ok(most_bytes > 1_000_000, `only ${most_bytes} bytes were queued`);
  await until("all frames", () => received.length === count);
  assert.deepEqual(received.map(indexOf), Array.from({ length: count }, (_, index) => index));
  for (const [index, { length }] of received.entries()) assert.equal(length, 1_001 + index % 7);
  assert.equal(stats.unsent_bytes, 0);
  client.close();
  await closed;
});

Deno.test("a flush sends everything before the close that follows", async () => {
  await using server = upgradeServer();
  const { socket, outbox, stats, received, closed } = await withReader(server.port, server.next);
  for (let index = 0; index < 1_000; index++) outbox.send(frame(index, 1_000));
  assert.ok(stats.unsent_bytes > 0);
  outbox.flush();
  assert.equal(stats.unsent_bytes, 0);
  outbox.send("too late");
  socket.close(1012, "restart");
  assert.equal((await closed).code, 1012);
  assert.deepEqual(received.map(indexOf), Array.from({ length: 1_000 }, (_, index) => index));
});

Deno.test("the backlog of a client that does not read is bounded, and its overflow is reported once", async () => {
  await using server = upgradeServer();
  const bound = 300_000;
  const { socket, outbox, stats, overflows, tcp, closed } = await withStalled(
    server.port,
    server.next,
    bound,
  );
  let sent = 0;
  const fill = () => {
    for (let frames = 0; frames < 50 && overflows.length === 0; frames++) {
      outbox.send(frame(sent++, 1_000));
      assert.ok(stats.unsent_bytes + socket.bufferedAmount <= bound + 1_000);
    }
    return overflows.length > 0;
  };
  // The kernel takes some megabytes before it pushes back.
  await until("an overflow", fill);
  assert.deepEqual(overflows, [0], "the backlog is dropped before the overflow is reported");
  for (let more = 0; more < 10; more++) outbox.send(frame(sent++, 1_000));
  assert.equal(outbox.pump(), true);
  assert.deepEqual([overflows.length, stats.unsent_bytes], [1, 0]);
  tcp.close();
  await closed;
});

Deno.test("a client that reads again gets its backlog from the pump", async () => {
  await using server = upgradeServer();
  const { socket, outbox, stats, overflows, tcp, closed } = await withStalled(
    server.port,
    server.next,
    1e9,
  );
  await until("a backlog", () => {
    for (let frames = 0; frames < 100; frames++) outbox.send(frame(0, 1_000));
    return stats.unsent_bytes > 1_000_000;
  });
  const reading = (async () => {
    const chunk = new Uint8Array(65_536);
    for (let size = 0; size !== null;) size = await tcp.read(chunk) as number;
  })().catch(() => {});
  await until("an empty queue", () => stats.unsent_bytes === 0 && socket.bufferedAmount === 0);
  assert.deepEqual(overflows, []);
  tcp.close();
  await Promise.all([reading, closed]);
});

Deno.test("each send passes on what fits, so that a backlog never waits only for the timer", async () => {
  await using server = upgradeServer();
  const pair = await withReader(server.port, server.next);
  const { socket, outbox, pump, stats, client, received, closed } = pair;
  for (let index = 0; index < 200; index++) outbox.send(frame(index, 1_000));
  pump.remove(outbox);
  await until("room in the native buffer", () => socket.bufferedAmount === 0);
  const before_bytes = stats.unsent_bytes;
  outbox.send(frame(200, 1_000));
  assert.ok(stats.unsent_bytes <= before_bytes + 1_000 - 65_000, `${stats.unsent_bytes} wait`);
  await until("all frames", () => received.length === 201);
  assert.deepEqual(received.map(indexOf), Array.from({ length: 201 }, (_, index) => index));
  client.close();
  await closed;
});

Deno.test("the limit includes the native buffer, and counts text in bytes", async () => {
  await using server = upgradeServer();
  const { outbox, stats, overflows, client, closed } = await withReader(
    server.port,
    server.next,
    100_000,
  );
  outbox.send(new Uint8Array(70_000));
  outbox.send("x".repeat(29_000));
  assert.deepEqual([overflows.length, stats.unsent_bytes], [0, 29_000]);
  outbox.send("漢".repeat(400));
  assert.deepEqual([overflows.length, stats.unsent_bytes], [1, 0]);
  client.close();
  await closed;
});

Deno.test("a socket that closes with a backlog makes nothing throw, nor does the pump", async () => {
  await using server = upgradeServer();
  const { socket, outbox, stats, client, closed } = await withReader(server.port, server.next);
  const ended = new Promise<void>((resolve) =>
    socket.addEventListener("close", () => resolve(), { once: true })
  );
  for (let index = 0; index < 500; index++) outbox.send(frame(index, 1_000));
  client.close();
  await Promise.all([closed, ended]);
  for (let index = 0; index < 500; index++) outbox.send(frame(index, 1_000));
  outbox.flush();
  assert.equal(stats.unsent_bytes, 0);
});

Deno.test("deferred frames are sent one by one when the queue is empty, and never fill the backlog", async () => {
  await using server = upgradeServer();
  const pair = await withReader(server.port, server.next, 200_000);
  const { socket, outbox, stats, overflows, client, received, closed } = pair;
  const count = 2_000;
  let made = 0;
  outbox.sendLater(() => made < count ? frame(made++, 1_000) : undefined);
  assert.ok(made < count && socket.bufferedAmount > 0, "no more than the native buffer takes");
  assert.equal(stats.unsent_bytes, 0);
  const at = made;
  outbox.send("now");
  await until("all frames", () => received.length === count + 1);
  const place = received.indexOf("now");
  assert.ok(place >= at && place < at + 200, `after passed-on frames: ${at}, ${place}`);
  received.splice(place, 1);
  assert.deepEqual(received.map(indexOf), Array.from({ length: count }, (_, index) => index));
  assert.deepEqual(overflows, []);
  client.close();
  await closed;
});

Deno.test("an ended outbox requests no more frames", async () => {
  await using server = upgradeServer();
  const { outbox, client, closed } = await withReader(server.port, server.next);
  let requests = 0;
  outbox.sendLater(() => requests++ < 5 ? "x".repeat(100_000) : undefined);
  const before = requests;
  outbox.end();
  assert.equal(outbox.pump(), true);
  outbox.sendLater(() => assert.fail("it has ended"));
  assert.equal(requests, before);
  client.close();
  await closed;
});

Deno.test("many clients of a tenant that read again get their backlogs in slices", async () => {
  const pump = new Pump();
  const stats = createStats();
  let held_bytes = 0;
  let in_turn = 0;
  let most = 0;
  let sent = 0;
  const socket = {
    get bufferedAmount() {
      return held_bytes;
    },
    send() {
      sent++;
      most = Math.max(most, ++in_turn);
    },
  };
  const bounds = {
    text: false,
    unsent_bytes_max: 1e6,
    room_bytes_max: 20_000,
    onBroken: assert.fail,
  };
  const onOverflow = () => assert.fail("an overflow");
  for (let client = 0; client < 400; client++) {
    const outbox = new Outbox({ socket, pump, tenant_id: "acme", stats, ...bounds, onOverflow });
    held_bytes = 0;
    outbox.send(new Uint8Array(70_000));
    held_bytes = 70_000;
    outbox.send(new Uint8Array(70_000));
  }
  let turn = setImmediate(look);
  function look() {
    in_turn = 0;
    turn = setImmediate(look);
  }
  await laterTurn();
  [held_bytes, most, sent] = [0, 0, 0];
  await until("all have received the rest", () => sent === 400);
  clearImmediate(turn);
  assert(most <= 32, `${most} in one turn`);
});

Deno.test("a socket that throws ends its own connection, and others of the turn get their frames", async () => {
  const pump = new Pump();
  const stats = createStats();
  const broken: unknown[] = [];
  const received: Frame[] = [];
  const bounds = { text: false, unsent_bytes_max: 1e6, room_bytes_max: 20_000 };
  const outboxOf = (send: (frame: Frame) => void) =>
    new Outbox({
      pump,
      tenant_id: "acme",
      stats,
      ...bounds,
      socket: { send, bufferedAmount: 0 },
      onOverflow: assert.fail,
      onBroken: (error) => void broken.push(error),
    });
  const refuses = () => {
    throw new TypeError("this socket takes nothing");
  };
  const message = Uint8Array.of(Opcode.MSG, 1);
  for (const uses_batches of [false, true]) {
    const all = [outboxOf(refuses), outboxOf((frame) => void received.push(frame))];
    if (uses_batches) { for (const outbox of all) outbox.useBatches(); }
    for (let times = 0; times < 2; times++) {
      for (const outbox of all) outbox.send(message);
    }
    await laterTurn();
  }
  assert.deepEqual(received, [
    message,
    message,
    encodeBatch([message.subarray(1), message.subarray(1)]),
  ]);
  assert.deepEqual(broken.map(String), Array(2).fill("TypeError: this socket takes nothing"));
});
