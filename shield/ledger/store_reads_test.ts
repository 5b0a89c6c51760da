/** How many requests read stored ledgers at a time, and the outcome of the others. */
import assert from "node:assert/strict";
import { refusedWith } from "../../shared/spine/testing/conformance.ts";
import { StoreReads } from "./former_ledgers.ts";

/** A timeout that no request reaches, in ms. */
const LONG_MS = 600_000;

Deno.test("a limited number of requests read at a time; the others follow in order", async () => {
  const reads = new StoreReads({ store_reads: 2, store_wait_ms: LONG_MS });
  const leave = [await reads.enter(), await reads.enter()];
  const begun: string[] = [];
  const next = ["a", "b", "c"].map(async (name) => {
    const own = await reads.enter();
    begun.push(name);
    return own;
  });
  assert.deepEqual([reads.under_way, reads.waiting, begun], [2, 3, []]);
  leave[0]!();
  const first = await next[0]!;
  assert.deepEqual([reads.under_way, reads.waiting, begun], [2, 2, ["a"]]);
  leave[1]!();
  first();
  const last = await Promise.all(next.slice(1));
  assert.deepEqual([reads.under_way, reads.waiting, begun], [2, 0, ["a", "b", "c"]]);
  for (const one of last) one();
  assert.deepEqual([reads.under_way, reads.refused], [0, 0]);
});

Deno.test("too-many-pending: a request that waits too long, or behind too many, is refused and leaves no trace", async () => {
  const reads = new StoreReads({ store_reads: 1, store_wait_ms: 1 });
  const leave = await reads.enter();
  await assert.rejects(reads.enter(), refusedWith("too-many-pending"));
  assert.deepEqual([reads.under_way, reads.waiting, reads.refused], [1, 0, 1]);
  leave();
  (await reads.enter())();
  assert.equal(reads.under_way, 0);

  const patient = new StoreReads({ store_reads: 1, store_wait_ms: LONG_MS });
  const first = await patient.enter();
  const waiting = Array.from({ length: 64 }, () => patient.enter());
  await assert.rejects(patient.enter(), refusedWith("too-many-pending"));
  first();
  for (const one of waiting) (await one)();
  assert.deepEqual([patient.under_way, patient.waiting, patient.refused], [0, 0, 1]);
});
