/** The cached messages of rooms: a share each, more while subscribers return, and one budget for all. */
import assert from "node:assert/strict";
import { Registry } from "../../../shared/metrics/metrics.ts";
import { DurableStats } from "./stats.ts";
import { TailCache } from "./tail_cache.ts";
import { seeded } from "../../../shared/testing/seeded.ts";
import { SimClock } from "../testing/sim_log.ts";
import { Timeline } from "../messages/timeline.ts";

const LIMITS = {
  log_cache_bytes: 268_435_456,
  recovery_messages: 10_000,
  recovery_bytes: 16_777_216,
};

function testCache(limits: Partial<typeof LIMITS> = {}) {
  const clock = new SimClock(seeded(1));
  const stats = new DurableStats(new Registry());
  const cache = new TailCache({ limits: { ...LIMITS, ...limits }, clock, stats });
  return { clock, stats, cache };
}

function add(cache: TailCache, list: Timeline, count: number, bytes = 10): void {
  for (let added = 0; added < count; added++) {
    const offset = list.last + 1;
    const message = { offset, time_ms: 0, envelope: new Uint8Array(bytes), origin: "" };
    assert.equal(list.offer(message, offset - 1), "appended");
    cache.changed(list);
  }
}

Deno.test("a room keeps its share; more while subscribers return, and for a while afterwards", async () => {
  const { cache, clock } = testCache();
  const list = new Timeline(0);
  cache.open(list, "acme");
  add(cache, list, 5_000);
  assert.equal(list.count, 1_000);
  cache.used(list);
  add(cache, list, 5_000);
  assert.equal(list.count, 6_000);
  await clock.advance(6_000);
  cache.used(list);
  await clock.advance(9_000);
  add(cache, list, 5_000);
  assert.equal(list.count, 10_000, "never more than one SUB can recover");
  await clock.advance(2_000);
  assert.equal(list.count, 1_000);
});

Deno.test("bytes bound a room's share, but never its newest message", () => {
  const { cache } = testCache();
  const list = new Timeline(0);
  cache.open(list, "acme");
  add(cache, list, 20, 100_000);
  assert.equal(list.count, 10);
  add(cache, list, 1, 3_000_000);
  assert.deepEqual([list.count, list.newest?.offset], [1, 21]);
});

Deno.test("over the budget the least recently used rooms keep only their newest message", () => {
  const { cache, stats } = testCache({ log_cache_bytes: 1_000_000 });
  const lists = Array.from({ length: 10 }, () => new Timeline(0));
  for (const list of lists) cache.open(list, "acme");
  assert.equal(stats.open_rooms, 10);
  for (const list of lists) add(cache, list, 300);
  assert.deepEqual(lists.map(({ count }) => count), Array(10).fill(300));
  cache.used(lists[0] ?? assert.fail());
  add(cache, lists[9] ?? assert.fail(), 700);
  assert.ok(cache.bytes <= 1_000_000);
  assert.equal(lists[0]?.count, 300, "it was used");
  assert.deepEqual([lists[1]?.count, lists[9]?.count], [1, 1_000]);
  for (const list of lists) assert.equal(list.newest?.offset, list.last);
});

Deno.test("a tenant with many rooms over the budget loses its own messages, and no other tenant's", () => {
  const { cache } = testCache({ log_cache_bytes: 1_000_000 });
  const calm = new Timeline(0);
  cache.open(calm, "calm");
  add(cache, calm, 300);
  const greedy = Array.from({ length: 20 }, () => new Timeline(0));
  for (const list of greedy) {
    cache.open(list, "greedy");
    add(cache, list, 500);
  }
  assert.equal(calm.count, 300, "though it is the least recently used");
  assert.ok(cache.bytes <= 1_000_000 && greedy[0]!.count === 1 && greedy[19]!.count === 500);
  for (const list of [...greedy, calm]) cache.close(list);
  assert.equal(cache.bytes, 0);
});

Deno.test("a budget smaller than the newest messages alone keeps them", () => {
  const { cache } = testCache({ log_cache_bytes: 65_536 });
  const lists = Array.from({ length: 500 }, () => new Timeline(0));
  for (const list of lists) {
    cache.open(list, "acme");
    add(cache, list, 3, 100);
  }
  assert.ok(lists.every(({ count, newest }) => count >= 1 && newest?.offset === 3));
  assert.equal(cache.bytes, lists.reduce((sum, { count }) => sum + count * (256 + 200), 0));
});

Deno.test("a closed room uses no budget, and leaves no timer behind", async () => {
  const { cache, clock, stats } = testCache();
  const list = new Timeline(0);
  cache.open(list, "acme");
  cache.open(list, "acme");
  add(cache, list, 10);
  cache.used(list);
  cache.close(list);
  cache.close(list);
  cache.changed(list);
  cache.used(list);
  assert.deepEqual([cache.bytes, stats.open_rooms], [0, 0]);
  await clock.advance(20_000);
  assert.equal(list.count, 10);
});
