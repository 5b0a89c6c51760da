// The output for one room, from a simulated loop and history: nothing twice, and every loss is reported.
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Message } from "@arqon/sdk";
import { RoomReader } from "./room_reader.ts";
import type { Start } from "./history.ts";
import { diskIo } from "../testing/disk_io.ts";
import { gap, storedMessage, StoredRoom } from "../testing/stored_room.ts";

interface Printed {
  readonly stdout: string;
  readonly stderr: string;
  readonly left: number;
}

/** Reads a loop to its end. */
async function read(
  room: StoredRoom,
  loop: readonly Message[],
  start: Start | undefined,
  { json = false, count = Infinity } = {},
): Promise<Printed> {
  const io = diskIo("/");
  const run = { left: count, stop() {} };
  const place = { offset: room.offsets.at(-1) ?? 0, epoch: room.epoch };
  const subscription = {
    ...place,
    position: place,
    async *[Symbol.asyncIterator]() {
      yield* loop;
    },
  };
  await new RoomReader({ io, room, subscription, json, start, run }).run();
  return { stdout: io.stdout.text(), stderr: io.stderr.text(), left: run.left };
}

const named = (offset: number): Start => ({ offset, epoch: "e1", is_named: true });
const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);
const lines = (offsets: readonly number[]) => offsets.map((offset) => `${offset}\n`).join("");
const live = (offsets: readonly number[]) => offsets.map((offset) => storedMessage(offset));

Deno.test("the iteration's messages after a recovery are printed as they arrive", async () => {
  const { stdout, stderr } = await read(new StoredRoom([1, 2, 3]), live([2, 3, 7]), named(1));
  assert.deepEqual([stdout, stderr], ["2\n3\n7\n", ""]);
});

Deno.test("too much to recover: the history brings it, and nothing of the loop is printed twice", async () => {
  const room = new StoredRoom(range(1, 1_234));
  const loop = [gap("too-many"), ...live(range(1_200, 1_240))];
  const { stdout, stderr } = await read(room, loop, named(4));
  assert.equal(stdout, lines(range(5, 1_240)));
  assert.equal(stderr, "");
});

Deno.test("trimmed messages are reported, and the rest is printed", async () => {
  const room = new StoredRoom([50, 60]);
  const loop = [gap("history-trimmed"), ...live([60, 70])];
  const { stdout, stderr } = await read(room, loop, named(7));
  assert.equal(stdout, "50\n60\n70\n");
  assert.equal(stderr, "arq: orders: messages after 7 are gone; beginning at 50\n");
  const unproven = await read(new StoredRoom([50]), [gap("too-many")], named(7));
  assert.equal(unproven.stderr, "arq: orders: messages after 7 may be gone; beginning at 50\n");
  const empty = await read(new StoredRoom([]), [gap("history-trimmed")], named(7));
  assert.equal(
    empty.stderr,
    "arq: orders: messages after 7 are gone; continuing with the next one\n",
  );
});

Deno.test("a reader of all stored messages gets no loss report for earlier trims", async () => {
  for (const offset of [0, 49]) {
    const start = { offset, epoch: "e1", is_named: false };
    const { stdout, stderr } = await read(new StoredRoom([50]), [gap("history-trimmed")], start);
    assert.deepEqual([stdout, stderr], ["50\n", ""]);
  }
});

Deno.test("with --json each line, also that of a loss, has the position to continue from", async () => {
  const room = new StoredRoom([50]);
  const { stdout } = await read(room, [gap("history-trimmed")], named(7), { json: true });
  const [loss, message] = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(
    [loss.signal.kind, loss.signal.reason, loss.offset, loss.epoch],
    ["GAP", "history-trimmed", 7, "e1"],
  );
  assert.deepEqual([message.offset, message.epoch, message.data], [50, "e1", 50]);
});

Deno.test("messages that a slow reader dropped are read from the history", async () => {
  const room = new StoredRoom(range(1, 30));
  const dropped = gap("20 messages dropped here");
  const loop = [...live(range(1, 5)), dropped, ...live(range(26, 30))];
  const { stdout, stderr } = await read(room, loop, named(0));
  assert.deepEqual([stdout, stderr], [lines(range(1, 30)), ""]);
});

Deno.test("a recreated room is reported and read from its beginning", async () => {
  const room = new StoredRoom([2, 4]);
  room.epoch = "e2";
  const loop = [storedMessage(9), gap("epoch-changed"), storedMessage(4, "e2")];
  const { stdout, stderr } = await read(room, loop, named(8));
  assert.equal(stdout, "9\n2\n4\n");
  const what = "the room was recreated; earlier messages after 9 are lost";
  assert.equal(stderr, `arq: orders: ${what}; beginning at 2\n`);
});

Deno.test("a named epoch refuses a recreated room, and accepts one that continues", async () => {
  const room = new StoredRoom([2, 4]);
  room.epoch = "e2";
  const start = { ...named(8), is_epoch_named: true } as const;
  await assert.rejects(
    read(room, [gap("epoch-changed")], start),
    /room orders was recreated: its epoch is e2, not e1/,
  );
  const { stdout, stderr } = await read(
    room,
    [storedMessage(9, "e2"), storedMessage(9, "e2")],
    start,
  );
  assert.deepEqual([stdout, stderr], ["9\n", ""]);
  const later = new StoredRoom([4, 9, 10]);
  later.epoch = "e2";
  const on = await read(later, [storedMessage(9, "e2"), gap("slow-consumer")], start);
  assert.deepEqual([on.stdout, on.stderr], ["9\n10\n", ""], "the epoch that it has now");
});

Deno.test("an offset ahead of the room is an error at the start only", async () => {
  const room = new StoredRoom([3]);
  await assert.rejects(
    read(room, [gap("offset-ahead")], named(8)),
    /room orders is not at offset 8 yet/,
  );
  const loop = [storedMessage(9), gap("offset-ahead"), storedMessage(4)];
  const { stdout, stderr } = await read(room, loop, named(8));
  assert.equal(stdout, "9\n4\n");
  assert.match(stderr, /messages after 9 may be gone/);
});

Deno.test("--count ends it in the middle of the history too", async () => {
  const room = new StoredRoom(range(1, 2_000));
  const result = await read(room, [gap("too-many")], named(1), { count: 700 });
  assert.deepEqual([result.stdout, result.left], [lines(range(2, 701)), 0]);
  assert.equal(room.queries.length, 2);
});

Deno.test("without a start position a GAP is only reported", async () => {
  const room = new StoredRoom([1, 2]);
  const { stdout, stderr } = await read(room, [gap("too-many"), storedMessage(9)], undefined);
  assert.deepEqual([stdout, stderr], ["9\n", "arq: GAP in orders: too-many\n"]);
  assert.equal(room.queries.length, 0);
});

Deno.test("however a loop is cut and filled, each message is printed once and in order", async () => {
  const kept = fc.uniqueArray(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 200 });
  await fc.assert(fc.asyncProperty(
    kept,
    fc.array(fc.nat({ max: 199 }), { maxLength: 6 }),
    fc.nat({ max: 199 }),
    async (stored, cuts, from) => {
      const room = new StoredRoom(stored.sort((a, b) => a - b));
      // Each cut loses the messages up to the next one; the loop continues anywhere after it.
      const loop = cuts.sort((a, b) => a - b).flatMap((at) => [
        ...live(room.offsets.slice(at, at + 3)),
        gap("too-many"),
      ]);
      const place = room.offsets[from % room.offsets.length] ?? 0;
      const { stdout, stderr } = await read(room, [gap("too-many"), ...loop], named(place));
      assert.equal(stdout, lines(room.offsets.filter((offset) => offset > place)));
      assert.equal(stderr, "");
    },
  ));
});
