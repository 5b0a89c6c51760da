/** The index of live locks: what is due, who has left, its bounds. */
import assert from "node:assert/strict";
import { LiveLocks } from "./live_locks.ts";
import type { Lock } from "./lock.ts";

const at = (room_id: string) => ({ tenant_id: "acme", room_id });
const held = (connection_id: string, more: Partial<Lock> = {}): Lock => ({
  user_id: "u1",
  connection_id,
  since_ms: 100,
  until_ms: 1_000,
  fence: 7,
  ...more,
});
const due = (locks: LiveLocks, now_ms: number) =>
  [...locks.due(now_ms)].map(({ at, cause }) => `${at.room_id} ${cause}`);

Deno.test("a lock is due when its lease is over or its holder has left, until it is gone", () => {
  const locks = new LiveLocks(10);
  locks.see(at("a"), held("c1"));
  locks.see(at("b"), held("c2", { until_ms: 2_000 }));
  assert.deepEqual(due(locks, 999), []);
  assert.deepEqual(due(locks, 1_000), ["a expired"]);
  assert.equal(locks.leave(at("b"), "c1", 1_000), false, "it is not the holder");
  assert.equal(locks.leave(at("a"), "c2", 1_000), false, "it is not that room's");
  assert.equal(locks.leave(at("b"), "c2", 1_000), true);
  assert.deepEqual(due(locks, 1_000), ["a expired", "b holder-left"]);
  locks.see(at("b"), held("c2", { until_ms: 2_000 }));
  assert.deepEqual(due(locks, 500), ["b holder-left"], "the document still has it");
  locks.see(at("a"), undefined);
  locks.see(at("b"), undefined);
  assert.deepEqual(due(locks, 5_000), []);
});

Deno.test("a leave counts for a lock that is seen later, but not for one that is younger", () => {
  const locks = new LiveLocks(10);
  locks.leave(at("a"), "c1", 150);
  locks.leave(at("b"), "c1", 150);
  locks.see(at("a"), held("c1"));
  locks.see(at("b"), held("c1", { since_ms: 151 }));
  locks.see(at("c"), held("c1"));
  assert.deepEqual(due(locks, 200), ["a holder-left"]);
  locks.see(at("a"), held("c1", { since_ms: 160 }));
  assert.deepEqual(due(locks, 200), [], "it came back and extended its lease");
});

Deno.test("locks of more rooms than it holds are left to their use", () => {
  const locks = new LiveLocks(2);
  for (const room of ["a", "b", "c"]) locks.see(at(room), held("c1"));
  assert.equal(locks.size, 2);
  assert.deepEqual(due(locks, 1_000), ["a expired", "b expired"]);
  locks.see(at("a"), held("c1", { until_ms: 5_000 }));
  assert.deepEqual(due(locks, 1_000), ["b expired"], "one that it holds is kept up to date");
});

Deno.test("leaves are forgotten after a minute, and the oldest when they are too many", () => {
  const locks = new LiveLocks(10);
  locks.leave(at("a"), "c1", 200);
  locks.leave(at("b"), "c1", 60_200);
  locks.see(at("a"), held("c1", { until_ms: 90_000 }));
  assert.deepEqual(due(locks, 60_200), []);
  for (let index = 0; index < 16_384; index++) locks.leave(at("c"), `c${index}`, 60_201);
  locks.see(at("b"), held("c1", { until_ms: 90_000 }));
  assert.deepEqual(due(locks, 60_201), []);
  locks.see(at("c"), held("c7", { until_ms: 90_000 }));
  assert.deepEqual(due(locks, 60_201), ["c holder-left"]);
});
