/** The index of live locks: expired ones, holders that left, bounds. */
import assert from "node:assert/strict";
import { LiveLocks } from "./live_locks.ts";
import type { Lock } from "./lock.ts";

const HOUR_MS = 3_600_000;
const at = (room_id: string) => ({ tenant_id: "acme", room_id });
const held = (connection_id: string, more: Partial<Lock> = {}): Lock => ({
  user_id: "u1",
  connection_id,
  since_ms: 100,
  until_ms: 1_000,
  fence: 7,
  ...more,
});

/** An index of at most this many locks, and its clocks, which the test moves. */
class Index {
  wall_ms = 0;
  monotonic_ms = 5;
  readonly locks: LiveLocks;

  constructor(rooms_max = 10) {
    const clocks = { now: () => this.wall_ms, monotonic_ms: () => this.monotonic_ms };
    this.locks = new LiveLocks(clocks, rooms_max);
  }

  /** Advances the time to this point. */
  reach(wall_ms: number): void {
    this.monotonic_ms += wall_ms - this.wall_ms;
    this.wall_ms = wall_ms;
  }

  due(wall_ms = this.wall_ms): string[] {
    this.reach(wall_ms);
    return [...this.locks.due()].map(({ at, cause }) => `${at.room_id} ${cause}`);
  }
}

Deno.test("a lock is due when its lease has expired or its holder has left, until it is removed", () => {
  const index = new Index();
  const { locks } = index;
  locks.see(at("a"), held("c1"));
  locks.see(at("b"), held("c2", { until_ms: 2_000 }));
  assert.deepEqual(index.due(999), []);
  assert.deepEqual(index.due(1_000), ["a expired"]);
  assert.equal(locks.leave(at("b"), "c1"), false, "it is not the holder");
  assert.equal(locks.leave(at("a"), "c2"), false, "it is not that room's");
  assert.equal(locks.leave(at("b"), "c2"), true);
  assert.deepEqual(index.due(), ["a expired", "b holder-left"]);
  locks.see(at("a"), undefined);
  locks.see(at("b"), held("c2", { until_ms: 2_000 }));
  assert.deepEqual(index.due(), ["b holder-left"], "the document still has it");
  locks.see(at("b"), undefined);
  assert.deepEqual(index.due(5_000), []);
});

Deno.test("a leave counts for a lock that is seen later, but not for one that is younger", () => {
  const index = new Index();
  const { locks } = index;
  index.reach(150);
  locks.leave(at("a"), "c1");
  locks.leave(at("b"), "c1");
  locks.see(at("a"), held("c1"));
  index.reach(160);
  locks.see(at("b"), held("c1", { since_ms: 151 }));
  locks.see(at("c"), held("c1"));
  assert.deepEqual(index.due(200), ["a holder-left"]);
  locks.see(at("a"), held("c1", { since_ms: 160 }));
  assert.deepEqual(index.due(), [], "it came back and extended its lease");
});

for (const [by, step_ms] of [["back", -HOUR_MS], ["forward", HOUR_MS]] as const) {
  Deno.test(`a client that left before the clock was set ${by} by an hour keeps the lock it takes after that`, () => {
    const index = new Index();
    const { locks } = index;
    index.reach(2 * HOUR_MS);
    locks.leave(at("a"), "c1");
    index.wall_ms += step_ms;
    index.reach(index.wall_ms + 1_000);
    const times = { since_ms: index.wall_ms, until_ms: index.wall_ms + 30_000 };
    locks.see(at("a"), held("c1", times));
    assert.deepEqual(index.due(), []);
    index.wall_ms += step_ms;
    locks.see(at("a"), held("c1", times));
    const current = (_at: unknown, lock: Lock) => ({ ...lock, until_ms: Infinity });
    assert.deepEqual([...locks.due(current)], [], "nor is he gone when it is set again");
  });
}

Deno.test("locks of more rooms than it holds are left to their use", () => {
  const index = new Index(2);
  const { locks } = index;
  for (const room of ["a", "b", "c"]) locks.see(at(room), held("c1"));
  assert.equal(locks.size, 2);
  assert.deepEqual(index.due(1_000), ["a expired", "b expired"]);
  locks.see(at("a"), held("c1", { until_ms: 5_000 }));
  assert.deepEqual(index.due(), ["b expired"], "one that it holds is kept up to date");
});

Deno.test("leaves are forgotten after a minute, and the oldest when they are too many", () => {
  const index = new Index();
  const { locks } = index;
  index.reach(200);
  locks.leave(at("a"), "c1");
  index.reach(60_200);
  locks.leave(at("b"), "c1");
  locks.see(at("a"), held("c1", { until_ms: 90_000 }));
  assert.deepEqual(index.due(), []);
  index.reach(60_201);
  for (let number = 0; number < 16_384; number++) locks.leave(at("c"), `c${number}`);
  locks.see(at("b"), held("c1", { until_ms: 90_000 }));
  assert.deepEqual(index.due(), []);
  locks.see(at("c"), held("c7", { until_ms: 90_000 }));
  assert.deepEqual(index.due(), ["c holder-left"]);
});
