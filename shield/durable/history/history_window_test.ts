/** The messages of a page of history, compared with a model of a room's retention. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { HistoryRange } from "./history_query.ts";
import { type HistoryRoom, readHistory, TrimMemory } from "./history_window.ts";
import { openEmbedded } from "../../../shared/spine/embedded/embedded.ts";
import { QUIET } from "../../../shared/testing/logs.ts";
import { temporaryFolder } from "../../../shared/testing/temporary_folder.ts";
import { ModelLog } from "../testing/model_log.ts";

const ALL: HistoryRange = { after: 0, before: 0, limit: 100, reverse: false };

function roomOf(log: ModelLog, change: Partial<HistoryRoom> = {}): HistoryRoom {
  return {
    log,
    room_id: "a",
    history_size: 10,
    history_ttl_seconds: 60,
    page_bytes: 1_000_000,
    trims: new TrimMemory(),
    onRead: () => undefined,
    ...change,
  };
}

function filled(count: number): { log: ModelLog; offsets: number[] } {
  const log = new ModelLog();
  const offsets: number[] = [];
  for (let n = 0; n < count; n++) {
    offsets.push(log.put("a", new Uint8Array([n])));
    log.put("b", new Uint8Array([n]));
  }
  return { log, offsets };
}

async function read(room: HistoryRoom, change: Partial<HistoryRange> = {}) {
  const { entries, more, offset } = await readHistory(room, { ...ALL, ...change });
  return { offsets: entries.map((entry) => entry.offset), more, offset };
}

const sizes = fc.array(
  fc.record({ room: fc.constantFrom("a", "a", "b"), bytes: fc.nat(40), wait_s: fc.nat(20) }),
  { maxLength: 40 },
);
/** Without a limit as often as with one: most ranges with both are empty. */
const bound = fc.oneof(fc.constant(0), fc.nat(45));
const ranges = fc.record({
  after: bound,
  before: bound,
  limit: fc.integer({ min: 1, max: 15 }),
  reverse: fc.boolean(),
});

Deno.test("a page has the requested messages that the class retains, and reports whether there is more", async () => {
  const seen = { full: 0, cut: 0, empty: 0 };
  await fc.assert(
    fc.asyncProperty(
      sizes,
      fc.array(ranges, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 120 }),
      fc.constantFrom(1, 60, 1_000_000),
      async (puts, reads, history_size, history_ttl_seconds, page_bytes) => {
        const log = new ModelLog();
        const all: { offset: number; time_ms: number }[] = [];
        for (const { room, bytes, wait_s } of puts) {
          log.now_ms += wait_s * 1_000;
          const offset = log.put(room, new Uint8Array(bytes));
          if (room === "a") all.push({ offset, time_ms: log.now_ms });
        }
        const room = roomOf(log, { history_size, history_ttl_seconds, page_bytes });
        const oldest_ms = log.now_ms - history_ttl_seconds * 1_000;
        const kept = all.slice(-history_size).filter(({ time_ms }) => time_ms >= oldest_ms);
        for (const range of reads) {
          const { after, before, limit, reverse } = range;
          const right = kept.map(({ offset }) => offset)
            .filter((offset) => offset > after && (before === 0 || offset < before));
          if (reverse) right.reverse();
          const page = await read(room, range);
          const count = page.offsets.length;
          assert.deepEqual(page.offsets, right.slice(0, count));
          assert.equal(page.more, count < right.length);
          assert.equal(page.offset, all.at(-1)?.offset ?? 0);
          assert.ok(count <= limit && (count > 0 || right.length === 0));
          if (page_bytes === 1_000_000) assert.equal(count, Math.min(limit, right.length));
          seen[count === 0 ? "empty" : page.more ? "cut" : "full"]++;
        }
      },
    ),
    { numRuns: 2_000 },
  );
  assert.ok(Math.min(...Object.values(seen)) > 100, JSON.stringify(seen));
});

Deno.test("a room whose log has far more than its class retains is trimmed once, not at each page", async () => {
  const { log, offsets } = filled(500);
  const room = roomOf(log, { history_size: 100 });
  let after = 0;
  const got: number[] = [];
  for (let page = 0; page < 10; page++) {
    const { offsets: some, more } = await read(room, { after, limit: 10 });
    got.push(...some);
    assert.equal(more, page < 9);
    after = some.at(-1) ?? 0;
  }
  assert.deepEqual(got, offsets.slice(400));
  assert.equal(log.trimmed, 1);
  log.put("a", new Uint8Array([1]));
  assert.deepEqual((await read(room, { limit: 1 })).offsets, offsets.slice(401, 402));
  assert.equal(log.trimmed, 2, "one was added since");
});

Deno.test("expired messages are skipped without being read", async () => {
  const { log } = filled(5_000);
  log.now_ms += 61_000;
  const young = [1, 2, 3].map((n) => log.put("a", new Uint8Array([n])));
  const room = roomOf(log, { history_size: 100_000 });
  const before = log.requests;
  assert.deepEqual(await read(room, { limit: 2 }), {
    offsets: young.slice(0, 2),
    more: true,
    offset: young[2],
  });
  assert.ok(log.requests - before < 30, `${log.requests - before} questions`);
});

Deno.test("a stale replica is asked again, and refused if it stays stale", async () => {
  const { log, offsets } = filled(5);
  const room = roomOf(log);
  log.behind = 1;
  for (const reverse of [false, true]) {
    await assert.rejects(read(room, { reverse }), { reason: "log-unavailable" });
  }
  let left = 2;
  const catching = roomOf(log, {
    onRead: () => {
      if (left-- === 0) log.behind = 0;
    },
  });
  assert.deepEqual((await read(catching)).offsets, offsets);
});

Deno.test("a log that was recreated between two requests is asked again", async () => {
  const { log, offsets } = filled(5);
  let turn = 0;
  const room = roomOf(log, {
    onRead: () => {
      if (++turn === 2) log.stream = "LOG_acme_2";
    },
  });
  const page = await readHistory(room, ALL);
  assert.equal(page.stream, "LOG_acme_2");
  assert.deepEqual(page.entries.map(({ offset }) => offset), offsets);
});

Deno.test("messages stored while the clock was ahead hide no others after a restart", async () => {
  await using folder = await temporaryFolder();
  const retention = { history_size: 10, history_ttl_seconds: 60, replicas: undefined };
  const shown: string[] = [];
  for (const ahead_ms of [0, 86_400_000, 0]) {
    const now = () => Date.now() + ahead_ms;
    const spine = openEmbedded({ now, log: QUIET, data_dir: folder.path });
    const log = await spine.log("acme", retention);
    const payload = new TextEncoder().encode(String(ahead_ms));
    await log.append("a", payload);
    for (const reverse of [false, true]) {
      const room = { ...roomOf(new ModelLog()), log };
      const { entries } = await readHistory(room, { ...ALL, reverse });
      shown.push(entries.map((entry) => new TextDecoder().decode(entry.payload)).join());
    }
    await spine.drain();
  }
  const all = "0,86400000,0";
  assert.deepEqual(shown, ["0", "0", "86400000", "86400000", all, all]);
});

Deno.test("a range that ends before it begins is empty, and still has the room's position", async () => {
  const { log, offsets } = filled(5);
  for (const reverse of [false, true]) {
    const page = await read(roomOf(log), { after: 5, before: 5, reverse });
    assert.deepEqual(page, { offsets: [], more: false, offset: offsets.at(-1) });
  }
  assert.deepEqual(await read(roomOf(log, { room_id: "never" })), {
    offsets: [],
    more: false,
    offset: 0,
  });
});
