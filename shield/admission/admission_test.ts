/**
 * The admission decision, compared with its promises, with random inputs. Admission of a process: its refusals, its
 * counts, and how often it reads the memory.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type AdmissionLimits,
  createAdmission,
  createAdmissionState,
  drainTime,
  enter,
  leave,
  retryAfter,
  whyClosed,
} from "./capability.ts";
import { ArqonError } from "@arqon/proto";
import { Registry } from "prom-client";
import { sampleOf } from "../../shared/testing/sample_of.ts";
import { configFrom } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";

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

const GIB = 1_073_741_824;

function door(limits: Partial<Config["limits"]> = {}) {
  const registry = new Registry();
  const process = { now_ms: 1_000, memory_bytes: 0, reads: 0 };
  let drawn = 0;
  const admission = createAdmission({
    limits: { ...configFrom({}).limits, ...limits },
    registry,
    monotonic_ms: () => process.now_ms,
    random: (size) => new Uint8Array(size).fill((drawn += 37) & 255),
    memory_bytes() {
      process.reads += 1;
      return process.memory_bytes;
    },
  });
  const sample = (name: string) => sampleOf(registry, name);
  return { admission, process, sample };
}

function refusal(call: () => unknown): ArqonError {
  try {
    call();
  } catch (error) {
    assert.ok(error instanceof ArqonError, String(error));
    return error;
  }
  throw new Error("it was admitted");
}

Deno.test("by default many clients of one address reach admission before the limits of its listener", () => {
  const { limits } = configFrom({});
  assert.ok(limits.concurrent_handshakes < limits.strangers_per_address);
  assert.ok(limits.strangers_per_address < limits.strangers);
});

Deno.test("a client rejected by the listener has a place in the queue, too", async () => {
  const { admission, sample } = door();
  const waits = Array.from({ length: 3_000 }, () => refusal(() => admission.refuse()));
  assert.deepEqual([waits[0]?.code, waits[0]?.reason], [503, "admission"]);
  assert.ok((waits.at(-1)?.retry_after_ms ?? 0) > 2 * (waits[0]?.retry_after_ms ?? 0));
  assert.equal(await sample('shield_admission_refusals_total{reason="strangers"}'), 3_000);
  assert.ok(refusal(() => admission.requireOpen()).retry_after_ms > 0);
});

Deno.test("a handshake keeps its slot until its scope ends, and its duration counts if accepted", async () => {
  const { admission, process, sample } = door({ concurrent_handshakes: 1 });
  {
    using handshake = admission.enter();
    assert.equal(await sample("shield_handshakes_under_way"), 1);
    const refused = refusal(() => admission.enter());
    assert.deepEqual([refused.code, refused.reason], [503, "admission"]);
    assert.match(refused.message, /too many handshakes are pending/);
    assert.ok(refused.retry_after_ms > 0);
    process.now_ms += 7;
    handshake.accepted();
    handshake[Symbol.dispose]();
  }
  assert.equal(await sample("shield_handshakes_under_way"), 0);
  assert.equal(await sample("shield_handshake_duration_seconds_count"), 1);
  assert.equal(await sample('shield_admission_refusals_total{reason="concurrency"}'), 1);
  process.now_ms += 60_000;
  using _next = admission.enter();
});

Deno.test("handshakes_per_second is crossed: 503 with individual waits, and a query for the reason gets the same", async () => {
  const { admission, process, sample } = door({ handshakes_per_second: 10, handshake_burst: 3 });
  admission.requireOpen();
  for (let count = 0; count < 3; count++) admission.enter()[Symbol.dispose]();
  const waits = Array.from({ length: 20 }, () => refusal(() => admission.enter()).retry_after_ms);
  assert.ok(new Set(waits).size > 10, waits.join());
  const asked = refusal(() => admission.requireOpen());
  assert.deepEqual([asked.code, asked.reason], [503, "admission"]);
  assert.equal(await sample('shield_admission_refusals_total{reason="rate"}'), 20);
  assert.ok(await sample("shield_admission_queue_seconds") > 2);
  process.now_ms += 3_000;
  admission.requireOpen();
  admission.enter()[Symbol.dispose]();
});

Deno.test("memory_bytes is crossed: no client is admitted until it is free again, and it is not read each time", async () => {
  const { admission, process, sample } = door({ memory_bytes: GIB, handshake_burst: 10_000 });
  for (let count = 0; count < 1_000; count++) admission.enter()[Symbol.dispose]();
  assert.equal(process.reads, 1);
  process.memory_bytes = GIB * 0.9;
  process.now_ms += 100;
  assert.match(refusal(() => admission.enter()).message, /its memory is nearly used up/);
  assert.match(refusal(() => admission.requireOpen()).message, /its memory is nearly used up/);
  assert.equal(await sample('shield_admission_refusals_total{reason="memory"}'), 1);
  process.memory_bytes = GIB / 2;
  process.now_ms += 100;
  admission.enter()[Symbol.dispose]();
});
