/**
 * One queue and its real worker: order, a full ring, a worker that dies. The number of a tenant's jobs at a worker: few
 * until they are known to be short.
 */
import assert from "node:assert/strict";
import { type Job, Lane, type LaneFault, PolicyWorker, UnderWay } from "./pool_lane.ts";
import { meteredGuest } from "../testing/guests.ts";
import { KeyHolds } from "../state/key_holds.ts";
import { type StateRef, StateStore } from "../state/state_store.ts";
import { message } from "../testing/pool.ts";

const NO_ROOM = { tenant_entries: 1, tenant_bytes: 1, entries: 1, bytes: 1 };

function keyHolds(): KeyHolds {
  const store = new StateStore(NO_ROOM);
  return new KeyHolds({ store, now: () => 0, onFreed: () => {}, onWaited: () => {} });
}

const refOf = (place: string): StateRef => ({ tenant_id: "acme", place, ttl_ms: 1_000 });

/** A lane on real workers, small rings, and the outcome of its jobs. */
async function startLane(holds = keyHolds()) {
  const compiled = await WebAssembly.compile(meteredGuest({ body: "i32.const 0" }));
  const modules = new Map([[1, { compiled, instance_units: 1 }]]);
  const settled = new Map<number, "reply" | LaneFault>();
  const ids = new Map<Job, number>();
  const crashes: string[] = [];
  const workers: PolicyWorker[] = [];
  let changed = Promise.withResolvers<void>();
  const settle = (job: Job, as: "reply" | LaneFault) => {
    settled.set(ids.get(job)!, as);
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const lane = new Lane({
    start(own) {
      const limits = { ring_bytes: 65_536, fuel_limit: 10_000, chain_fuel_limit: 20_000 };
      const now = () => performance.now();
      const worker = new PolicyWorker({ ...own, ...limits, instances: 4, now });
      workers.push(worker);
      return worker;
    },
    queue_messages: 1_000,
    mayGo: () => true,
    holds,
    admit: () => [{ module: 1, name: "p", mode: "enforce", asks: false }],
    refuse: settle,
    onReply: (job) => settle(job, "reply"),
    onCrash(_module, detail) {
      crashes.push(detail);
      lane.replace();
    },
  }, modules);
  const push = (id: number, size_bytes = 5, key?: string) => {
    const state = key === undefined
      ? undefined
      : { keys: [refOf(key)], slots: new Map(), first: key };
    const request = message([], { payload: new Uint8Array(size_bytes) });
    const fresh = { verdict: undefined, done: false, chain: [], skipped: [], number: 0 };
    const times = { began_ms: 0, deadline_ms: Infinity };
    take(id, { request, receiver: { onVerdict() {} }, ...fresh, ...times, state });
  };
  const take = (id: number, job: Job) => {
    ids.set(job, id);
    lane.push(job);
  };
  const all = async (count: number) => {
    while (settled.size < count) await changed.promise;
    return [...settled];
  };
  return { lane, workers, crashes, push, take, all };
}

Deno.test("a job that does not fit into the ring waits and keeps its order", async () => {
  const { lane, push, all } = await startLane();
  for (let id = 1; id <= 100; id++) push(id, 20_000);
  const answers = await all(100);
  assert.deepEqual(answers, Array.from({ length: 100 }, (_, index) => [index + 1, "reply"]));
  assert.equal(lane.size, 0);
  lane.end();
});

Deno.test("a job that can never fit into the ring is refused", async () => {
  const { lane, push, all } = await startLane();
  push(1, 40_000);
  push(2);
  assert.deepEqual(await all(2), [[1, "queue-full"], [2, "reply"]]);
  lane.end();
});

Deno.test("the death of a worker is reported, and its successor has the modules", async () => {
  const { lane, workers, crashes, push, all } = await startLane();
  await lane.ready;
  // Not a request: reading it ends the thread, like an internal error.
  workers[0]!.send([new Uint8Array(4)]);
  push(1);
  assert.deepEqual(await all(1), [[1, "wedge"]]);
  assert.equal(crashes.length, 1);
  assert.equal(workers.length, 2);
  push(2);
  assert.deepEqual((await all(2))[1], [2, "reply"]);
  lane.end();
});

Deno.test("a lane that ends refuses waiting jobs", async () => {
  const { lane, push, all } = await startLane();
  for (let id = 1; id <= 30; id++) push(id);
  lane.end();
  const answers = await all(30);
  assert.ok(answers.every(([, answer]) => answer === "wedge"));
  assert.equal(lane.size, 0);
});

Deno.test("jobs that wait for keys and move to one lane do not wait for later ones", async () => {
  const holds = keyHolds();
  const other = holds.lane();
  const taken = [{ slots: [refOf("x"), refOf("y")] }];
  other.take(taken);
  const left = await startLane(holds);
  const right = await startLane(holds);
  const slow = await startLane(holds);
  left.push(1, 5, "x");
  left.push(2, 5, "y");
  right.push(3, 5, "y");
  const moved = [left, right].flatMap(({ lane }) => lane.takeBack("acme"));
  for (const [at, job] of moved.entries()) slow.take(at + 1, job);
  other.replied(taken, [], 0);
  slow.lane.pump();
  assert.equal(slow.lane.underWay("acme"), 3);
  assert.deepEqual((await slow.all(3)).map(([id]) => id), [1, 2, 3]);
  for (const { lane } of [left, right, slow]) lane.end();
});

const job = (tenant_id: string, size_bytes = 1) => ({
  request: { tenant_id, payload: new Uint8Array(size_bytes) },
});

/** Adds until there is no room; returns the numbers. */
function fill(window: UnderWay<ReturnType<typeof job>>, tenant_id: string): number[] {
  const numbers: number[] = [];
  while (!window.is_full && window.hasRoom(tenant_id, job(tenant_id))) {
    numbers.push(window.add(job(tenant_id)));
  }
  return numbers;
}

Deno.test("an unknown tenant has 8 places, a quick one 256, and a slow one 8 again", () => {
  const window = new UnderWay<ReturnType<typeof job>>(1_000);
  const [first] = fill(window, "a");
  assert.equal(window.count("a"), 8);
  window.take(first!);
  window.learn("a", false);
  fill(window, "a");
  assert.equal(window.count("a"), 16);
  for (let time = 0; time < 10; time++) window.learn("a", false);
  const numbers = fill(window, "a");
  assert.equal(window.count("a"), 256);
  window.learn("a", true);
  for (const number of numbers) window.take(number);
  assert.equal(window.count("a"), 16);
  assert.equal(window.hasRoom("a", job("a")), false);
  assert.equal(window.hasRoom("b", job("b")), true, "each tenant has its own");
});

Deno.test("all tenants together have a limit in jobs and in bytes, and so does a small queue", () => {
  const window = new UnderWay<ReturnType<typeof job>>(1_000);
  for (let tenant = 0; tenant < 200; tenant++) fill(window, `t${tenant}`);
  assert.deepEqual([window.size, window.is_full], [1_024, true]);
  assert.equal(window.clear().length, 1_024);
  assert.deepEqual([window.size, window.count("t0")], [0, 0]);
  window.add(job("a", 33_554_432));
  assert.equal(window.hasRoom("b", job("b")), false);
  const small = new UnderWay<ReturnType<typeof job>>(3);
  fill(small, "a");
  assert.equal(small.count("a"), 3);
});
