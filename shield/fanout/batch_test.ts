/** Messages of one turn in one frame, over real sockets to a client that reads, and one that does not. */
import assert from "node:assert/strict";
import { decodeServerFrame, encodeAck, encodeMsg, writeEnvelope } from "@arqon/proto";
import { until } from "../../shared/testing/until.ts";
import type { RoomMessage } from "./backlog.ts";
import { Outbox, Pump, type Run, TurnEnd } from "./outbox.ts";
import { createStats } from "../stats/stats.ts";
import { upgradeServer } from "../testing/sockets.ts";

const BATCH_BYTES = 65_536;
const BOUNDS = {
  onBroken: assert.fail,
  text: false,
  unsent_bytes_max: 4_000_000,
  room_bytes_max: 10_000,
};

function msg(number: number, size_bytes = 10): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(size_bytes);
  const event = { type: String(number), data };
  return encodeMsg(writeEnvelope({ room_id: "r", event }));
}

/** What a client sees: numbers of messages, those of a batch as a list; ACKs as "ack 7". */
function shown(frame: Uint8Array): string | number | number[] {
  const decoded = decodeServerFrame(frame);
  if (decoded.kind === "ack") return `ack ${decoded.ack.request_id}`;
  if (decoded.kind === "msg") return Number(decoded.envelope.event?.type);
  assert.equal(decoded.kind, "batch");
  if (decoded.kind !== "batch") return "";
  return decoded.envelopes.map(({ event }) => Number(event?.type));
}

/** An outbox on a real socket, with the frames that its client gets. */
async function connected(pump = new Pump()) {
  const server = upgradeServer();
  const upgraded = server.next();
  const client = new WebSocket(`ws://127.0.0.1:${server.port}/`);
  client.binaryType = "arraybuffer";
  const frames: Uint8Array[] = [];
  client.onmessage = ({ data }) => void frames.push(new Uint8Array(data));
  const closed = new Promise<void>((resolve) => client.onclose = () => resolve());
  const socket = await upgraded;
  const stats = createStats();
  const onOverflow = () => assert.fail("an overflow");
  const outbox = new Outbox({ socket, pump, tenant_id: "acme", stats, ...BOUNDS, onOverflow });
  return {
    outbox,
    stats,
    frames,
    async [Symbol.asyncDispose]() {
      client.close();
      await closed;
      await server[Symbol.asyncDispose]();
    },
  };
}

Deno.test("messages of one turn share a frame, a single one stays a MSG, and ACKs keep their order", async () => {
  await using test = await connected();
  const { outbox, frames, stats } = test;
  outbox.useBatches();
  for (const number of [1, 2, 3]) outbox.send(msg(number));
  outbox.send(encodeAck({ request_id: 7 }));
  for (const number of [4, 5]) outbox.send(msg(number));
  await until("the first turn", () => frames.length === 3);
  outbox.send(msg(6));
  await until("the second turn", () => frames.length === 4);
  assert.deepEqual(frames.map(shown), [[1, 2, 3], "ack 7", [4, 5], 6]);
  assert.deepEqual([stats.batches, stats.batched_messages], [2, 5]);
});

Deno.test("a connection without batches gets a frame for each message, at once", async () => {
  await using test = await connected();
  const { outbox, frames, stats } = test;
  for (const number of [1, 2, 3]) outbox.send(msg(number));
  await until("all", () => frames.length === 3);
  assert.deepEqual(frames.map(shown), [1, 2, 3]);
  assert.equal(stats.batches, 0);
});

Deno.test("a batch has at most 64 KiB, a larger message its own frame; order and count are kept", async () => {
  await using test = await connected();
  const { outbox, frames } = test;
  outbox.useBatches();
  const sizes = Array.from({ length: 3_000 }, (_, at) => at % 500 === 250 ? 100_000 : at % 1_000);
  for (const [number, size] of sizes.entries()) outbox.send(msg(number, size));
  const numbers = () => frames.map(shown).flat();
  await until("all", () => numbers().length === sizes.length);
  assert.deepEqual(numbers(), sizes.map((_, number) => number));
  const batches = frames.filter((frame) => decodeServerFrame(frame).kind === "batch");
  assert.ok(batches.length > 10 && frames.length < sizes.length / 5, `${frames.length} frames`);
  for (const { length } of batches) assert.ok(length <= BATCH_BYTES + 3 * 1_000, `${length} bytes`);
});

Deno.test("deferred frames are batched, too, after earlier frames", async () => {
  await using test = await connected();
  const { outbox, frames } = test;
  outbox.useBatches();
  outbox.send(msg(0));
  let made = 0;
  outbox.sendLater(() => made < 2_000 ? msg(++made, 100) : undefined);
  const numbers = () => frames.map(shown).flat();
  await until("all", () => numbers().length === 2_001);
  assert.deepEqual(numbers(), Array.from({ length: 2_001 }, (_, number) => number));
  assert.ok(frames.length < 200, `${frames.length} frames`);
});

Deno.test("a flush sends the turn's messages before the close; an end forgets them", async () => {
  await using flushed = await connected();
  flushed.outbox.useBatches();
  for (const number of [1, 2]) flushed.outbox.send(msg(number));
  flushed.outbox.flush();
  await until("a batch", () => flushed.frames.length === 1);
  assert.deepEqual(flushed.frames.map(shown), [[1, 2]]);
  await using ended = await connected();
  ended.outbox.useBatches();
  for (const number of [1, 2]) ended.outbox.send(msg(number));
  ended.outbox.end();
  await Promise.resolve();
  assert.deepEqual([ended.stats.batches, ended.frames.length], [0, 0]);
});

Deno.test("messages of one turn for a fast reader are never conflated", async () => {
  await using test = await connected();
  const { outbox, frames, stats } = test;
  outbox.useBatches();
  const message: RoomMessage = {
    room_id: "r",
    pattern: "*",
    slow_reader: "latest",
    durable: false,
    position: 0,
    key: () => assert.fail("nobody is slow"),
    gap: () => assert.fail("nobody is slow"),
  };
  for (let number = 0; number < 100; number++) outbox.send(msg(number), message);
  await until("a batch", () => frames.length === 1);
  assert.equal((shown(frames[0]!) as number[]).length, 100);
  assert.equal(stats.slow_reader.conflated, 0);
});

Deno.test("connections with the same messages in a turn share one encoding, also beside others with fewer or more", async () => {
  const turn_end = new TurnEnd();
  const one = msg(1);
  const two = msg(2);
  const three = msg(3);
  const runs: (Run | undefined)[] = [undefined, undefined, undefined, undefined];
  // One message after another, each to its receivers.
  const deliver = (frame: Uint8Array, ...receivers: number[]) => {
    for (const at of receivers) runs[at] = turn_end.extend(runs[at], frame);
  };
  deliver(one, 0, 1, 2);
  deliver(two, 1, 3);
  deliver(three, 0, 1, 2, 3);
  const [first, second, third, fourth] = runs.map((run) => run?.toFrame());
  assert.equal(third, first);
  assert.equal(runs[0]?.toFrame(), first);
  const shape = (frame: Uint8Array = one) => shown(frame);
  assert.deepEqual([shape(first), shape(second), shape(fourth)], [[1, 3], [1, 2, 3], [2, 3]]);
  assert.deepEqual(runs.map((run) => run?.length), [2, 3, 2, 2]);
  assert.equal(runs[1]?.bytes, one.length + two.length + three.length);
  assert.equal(turn_end.extend(undefined, one).toFrame(), one, "one message stays a MSG");
  await Promise.resolve();
});
