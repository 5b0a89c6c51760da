/** Admission of a process: its refusals, its counts, and how often it reads the memory. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { Registry } from "prom-client";
import { sampleOf } from "../../shared/testing/sample_of.ts";
import { configFrom } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import { createAdmission } from "./admission_gate.ts";

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
