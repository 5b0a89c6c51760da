/** The admission decision, compared with its promises, with random inputs. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type AdmissionLimits,
  createAdmissionState,
  drainTime,
  enter,
  leave,
  retryAfter,
  whyClosed,
} from "./admission_gate.ts";

const IDLE = { memory_bytes: 0 };

function limitsOf(change: Partial<AdmissionLimits> = {}): AdmissionLimits {
  return {
    handshakes_per_second: 1_000,
    handshake_burst: 100,
    concurrent_handshakes: 1_000_000,
    memory_bytes: 1_000_000,
    ...change,
  };
}

/** Numbers in [0, 1) that look random and are the same each time. */
function drawer(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A reconnect storm whose rejected clients obey. When each was admitted, and how often it was rejected. */
function storm(limits: AdmissionLimits, clients: number, seed: number) {
  const state = createAdmissionState(limits, 0);
  const draw = drawer(seed);
  const due = Array.from(
    { length: clients },
    () => ({ at_ms: Math.floor(draw() * 250), tries: 0 }),
  );
  const calendar = new Map<number, typeof due>();
  const plan = (client: typeof due[number]) => {
    const day = calendar.get(client.at_ms);
    if (day === undefined) calendar.set(client.at_ms, [client]);
    else day.push(client);
  };
  due.forEach(plan);
  let last_ms = 0;
  let left = clients;
  for (let now_ms = 0; left > 0; now_ms++) {
    assert.ok(now_ms < 600_000, "a client is never admitted");
    for (const client of calendar.get(now_ms) ?? []) {
      client.tries += 1;
      const refused = enter(state, limits, IDLE, now_ms, draw());
      if (refused === undefined) {
        leave(state);
        left -= 1;
        last_ms = now_ms;
      } else {
        client.at_ms = now_ms + refused.retry_after_ms;
        plan(client);
      }
    }
    calendar.delete(now_ms);
  }
  return { last_ms, attempts: due.reduce((sum, { tries }) => sum + tries, 0) };
}

Deno.test("obedient clients are admitted after little more than their number divided by the rate", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 500, max: 5_000 }),
      fc.integer({ min: 200, max: 3_000 }),
      fc.nat(),
      (clients, rate, seed) => {
        const limits = limitsOf({ handshakes_per_second: rate, handshake_burst: rate / 4 | 0 });
        const { last_ms, attempts } = storm(limits, clients, seed);
        assert.ok(last_ms < 2_000 + 2 * clients / rate * 1_000, `${last_ms} ms`);
        assert.ok(attempts < 3 * clients, `${attempts} attempts of ${clients}`);
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("in no interval are more clients admitted than burst and rate allow", () => {
  fc.assert(fc.property(
    fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 400 }),
    fc.integer({ min: 1, max: 2_000 }),
    fc.integer({ min: 1, max: 500 }),
    (pauses, handshakes_per_second, handshake_burst) => {
      const limits = limitsOf({ handshakes_per_second, handshake_burst });
      const state = createAdmissionState(limits, 0);
      let now_ms = 0;
      const let_in: number[] = [];
      for (const pause of pauses) {
        now_ms += pause;
        if (enter(state, limits, IDLE, now_ms, 0.5) === undefined) let_in.push(now_ms);
      }
      for (const [index, from] of let_in.entries()) {
        const to = let_in.at(-1) ?? from;
        const allowed = handshake_burst + (to - from) * handshakes_per_second / 1_000;
        assert.ok(let_in.length - index <= allowed + 1);
      }
    },
  ));
});

Deno.test("every wait is whole, positive, bounded and within a quarter of the queue", () => {
  fc.assert(fc.property(
    fc.double({ min: 0, max: 1e9, noNaN: true }),
    fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    (drain_ms, random) => {
      const wait_ms = retryAfter(drain_ms, random);
      const bounded = Math.min(30_000, Math.max(250, drain_ms));
      assert.ok(Number.isInteger(wait_ms) && wait_ms > 0);
      assert.ok(wait_ms >= Math.floor(bounded * 0.75) && wait_ms <= Math.ceil(bounded * 1.25));
    },
  ));
});

Deno.test("later rejections get later retry times, and two get different ones", () => {
  const limits = limitsOf({ handshake_burst: 1 });
  const state = createAdmissionState(limits, 0);
  const draw = drawer(7);
  assert.equal(enter(state, limits, IDLE, 0, draw()), undefined);
  const waits = Array.from({ length: 4_000 }, () => enter(state, limits, IDLE, 0, draw()));
  const ms = waits.map((refused) => refused?.retry_after_ms ?? 0);
  const mean = (from: number) => ms.slice(from, from + 1_000).reduce((a, b) => a + b) / 1_000;
  assert.ok(mean(0) < mean(1_000) && mean(1_000) < mean(2_000) && mean(2_000) < mean(3_000));
  assert.ok(new Set(ms).size > 1_000, `${new Set(ms).size} distinct`);
  // 4,000 in 9/10 of 1,000 a second.
  assert.equal(Math.round(drainTime(state, 0)), 4_444);
  assert.equal(drainTime(state, 10_000), 0);
});

Deno.test("a handshake beyond concurrent_handshakes is refused until one has ended", () => {
  const limits = limitsOf({ concurrent_handshakes: 2 });
  const state = createAdmissionState(limits, 0);
  assert.equal(enter(state, limits, IDLE, 0, 0), undefined);
  assert.equal(enter(state, limits, IDLE, 0, 0), undefined);
  assert.equal(enter(state, limits, IDLE, 0, 0)?.why, "concurrency");
  assert.equal(whyClosed(state, limits, IDLE, 60_000, 0)?.why, "concurrency");
  leave(state);
  assert.equal(enter(state, limits, IDLE, 0, 0), undefined);
});

Deno.test("from 80 % of memory_bytes on no client is admitted", () => {
  const limits = limitsOf({ memory_bytes: 1_000 });
  const state = createAdmissionState(limits, 0);
  assert.equal(enter(state, limits, { memory_bytes: 799 }, 0, 0), undefined);
  const refused = enter(state, limits, { memory_bytes: 800 }, 0, 0);
  assert.equal(refused?.why, "memory");
  assert.ok((refused?.retry_after_ms ?? 0) >= 3_750);
  assert.equal(whyClosed(state, limits, { memory_bytes: 800 }, 0, 0)?.why, "memory");
});

Deno.test("a query for the reason takes no place in the queue, and has no answer if nobody was rejected", () => {
  const limits = limitsOf({ handshake_burst: 1 });
  const state = createAdmissionState(limits, 0);
  assert.equal(whyClosed(state, limits, IDLE, 0, 0.5), undefined);
  enter(state, limits, IDLE, 0, 0.5);
  for (let count = 0; count < 900; count++) enter(state, limits, IDLE, 0, 0.5);
  const queue_ms = drainTime(state, 0);
  for (let count = 0; count < 100; count++) {
    assert.equal(whyClosed(state, limits, IDLE, 0, 0.5)?.retry_after_ms, Math.round(queue_ms));
  }
  assert.equal(drainTime(state, 0), queue_ms);
  assert.equal(whyClosed(state, limits, IDLE, queue_ms, 0.5), undefined);
});

Deno.test("changed limits apply to the next upgrade, also with pending clients", () => {
  const limits = { ...limitsOf() };
  const state = createAdmissionState(limits, 0);
  assert.equal(enter(state, limits, IDLE, 0, 0), undefined);
  limits.concurrent_handshakes = 1;
  assert.equal(enter(state, limits, IDLE, 0, 0)?.why, "concurrency");
  limits.concurrent_handshakes = 10;
  limits.handshake_burst = 1;
  assert.equal(enter(state, limits, IDLE, 0, 0), undefined);
  assert.equal(enter(state, limits, IDLE, 0, 0)?.why, "rate");
});
