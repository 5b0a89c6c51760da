// Pages, retries, epochs and start positions, on a room in this process; `kept_test.ts` has the real bus.
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/sdk";
import { checkEpoch, EpochChanged, hasStart, historyPages, patient } from "./history.ts";
import { startPlace } from "./history.ts";
import { StoredRoom } from "../testing/stored_room.ts";

const io = { monotonic_ms: () => 0, signal: new AbortController().signal };

async function offsetsOf(
  room: StoredRoom,
  query: Parameters<typeof historyPages>[1],
): Promise<number[]> {
  const pages = await Array.fromAsync(historyPages(room, query));
  return pages.flatMap(({ messages }) => messages.map(({ offset }) => Number(offset)));
}

Deno.test("pages give every message between the bounds once and in order, up to the total", async () => {
  const offsets = fc.uniqueArray(fc.integer({ min: 1, max: 5_000 }), { maxLength: 2_000 });
  const bound = fc.option(fc.integer({ min: 0, max: 5_000 }), { nil: undefined });
  const total = fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 2_000 }));
  await fc.assert(fc.asyncProperty(
    offsets,
    fc.record({ after: bound, before: bound, reverse: fc.boolean(), total }),
    async (stored, { after, before, reverse, total }) => {
      const room = new StoredRoom(stored.sort((a, b) => a - b));
      const bounds = {
        ...(after === undefined ? {} : { after }),
        ...(before === undefined ? {} : { before }),
      };
      const fit = room.offsets.filter((at) => at > (after ?? 0) && (!before || at < before));
      if (reverse) fit.reverse();
      const got = await offsetsOf(room, { ...bounds, reverse, total });
      assert.deepEqual(got, fit.slice(0, total));
    },
  ));
});

Deno.test("a read that fails for now is repeated; a refusal is not", async () => {
  const room = new StoredRoom([1]);
  const failures = [
    new ArqonError("connection-lost", "x"),
    new ArqonError("log-unavailable", "x"),
    new ArqonError("answer-timeout", "x"),
  ];
  room.before = () => {
    const failure = failures.pop();
    if (failure !== undefined) throw failure;
  };
  const { messages } = await patient(room, io).history({});
  assert.equal(messages.length, 1);
  assert.equal(room.queries.length, 4);
  room.before = () => {
    throw new ArqonError("not-durable", "orders");
  };
  await assert.rejects(patient(room, io).history({}), /not durable/i);
  assert.equal(room.queries.length, 5);
  room.before = () => {
    throw new ArqonError("policy-rejected", "not now", { code: 503 });
  };
  await assert.rejects(patient(room, io).history({}), /not now/i);
  assert.equal(room.queries.length, 6);
});

Deno.test("patience ends after 30 s, and with the stop signal", async () => {
  const room = new StoredRoom([1]);
  let now_ms = 0;
  room.before = () => {
    now_ms += 10_000;
    throw new ArqonError("spine-unavailable", "x");
  };
  const source = patient(room, { ...io, monotonic_ms: () => now_ms });
  await assert.rejects(source.history({}), { reason: "spine-unavailable" });
  assert.equal(room.queries.length, 3);
  const stop = new AbortController();
  const waiting = patient(room, { monotonic_ms: () => 0, signal: stop.signal }).history({});
  stop.abort(new Error("stopped"));
  await assert.rejects(waiting, /stopped/);
});

Deno.test("a room that is recreated between two pages is never mistaken for the old one", async () => {
  const room = new StoredRoom(Array.from({ length: 1_200 }, (_, index) => index + 1));
  room.before = () => {
    if (room.queries.length === 2) room.epoch = "e2";
  };
  await assert.rejects(offsetsOf(room, { total: Infinity }), (error) => {
    assert.ok(error instanceof EpochChanged);
    assert.equal(error.epoch, "e2");
    return true;
  });
  await assert.rejects(offsetsOf(room, { total: 1, epoch: "e1" }), EpochChanged);
  checkEpoch("orders", "e2", undefined);
  checkEpoch("orders", "e2", "e2");
  assert.throws(() => checkEpoch("orders", "e2", "e1"), /its epoch is e2, not e1/);
});

Deno.test("a room that continues in another incarnation is read on, if the read part is known there", async () => {
  for (const reverse of [false, true]) {
    for (const is_known of [true, false]) {
      const room = new StoredRoom(Array.from({ length: 1_200 }, (_, index) => index + 1));
      room.before = () => {
        if (room.queries.length === 2) room.epoch = "e2";
      };
      const requests: unknown[] = [];
      const isKnown = (place: unknown) => Promise.resolve(requests.push(place) > 0 && is_known);
      const reading = offsetsOf(room, { total: Infinity, reverse, isKnown });
      if (is_known) assert.equal((await reading).length, 1_200);
      else await assert.rejects(reading, EpochChanged);
      // The highest one read.
      assert.deepEqual(requests, [{ offset: reverse ? 1_200 : 500, epoch: "e1" }]);
    }
  }
});

Deno.test("smaller pages are requested from a bus that returns fewer messages", async () => {
  const room = new StoredRoom(Array.from({ length: 30 }, (_, index) => index + 1));
  room.before = ({ limit = 0 }) => {
    const detail = `limit: ${limit}; at most 7 (limits.history_messages)`;
    if (limit > 7) throw new ArqonError("invalid-field", detail);
  };
  assert.deepEqual(await offsetsOf(room, { total: Infinity }), room.offsets);
  assert.deepEqual(await offsetsOf(room, { total: 8 }), room.offsets.slice(0, 8));
  room.before = () => {
    throw new ArqonError("invalid-field", "limit: 1; at most 0 (limits.history_messages)");
  };
  await assert.rejects(offsetsOf(room, { total: Infinity }), { reason: "invalid-field" });
});

/** The messages printed from a position on. */
const after = (room: StoredRoom, offset: number) => room.offsets.filter((at) => at > offset);

Deno.test("--from is the place itself, with the room's epoch", async () => {
  const room = new StoredRoom([3, 5, 9]);
  const place = { offset: 5, epoch: "e1", is_named: true };
  assert.deepEqual(await startPlace(room, { from: 5 }, 0), place);
  const named = { ...place, epoch: "e0", is_epoch_named: true };
  assert.deepEqual(await startPlace(room, { from: 5, epoch: "e0" }, 0), named, "the SUB tells");
  const all = await startPlace(room, { from: 0 }, 0);
  assert.deepEqual(all, { offset: 0, epoch: "e1", is_named: false });
});

Deno.test("--last begins before the n newest, --since before the first that is young enough", async () => {
  const offsets = fc.uniqueArray(fc.integer({ min: 1, max: 9_000 }), { maxLength: 1_500 });
  await fc.assert(fc.asyncProperty(
    offsets,
    fc.integer({ min: 1, max: 1_600 }),
    fc.integer({ min: 1, max: 10 }),
    async (stored, last, since) => {
      const room = new StoredRoom(stored.sort((a, b) => a - b));
      const newest = await startPlace(room, { last }, 0);
      assert.deepEqual(after(room, newest.offset), room.offsets.slice(-last));
      // A stored message's time in ms is its offset.
      const young = await startPlace(room, { since }, 10_000);
      const oldest_ms = 10_000 - since * 1_000;
      const expected = room.offsets.filter((at) => at >= oldest_ms);
      assert.deepEqual(after(room, young.offset), expected);
      assert.deepEqual([newest.is_named, young.is_named], [false, false]);
    },
  ));
});

Deno.test("only --from, --since and --last make a start", () => {
  assert.deepEqual(
    [{}, { epoch: "x" }, { from: 0 }, { since: 1 }, { last: 1 }].map(hasStart),
    [false, false, true, true, true],
  );
});
