/** The store of keyed state must not keep a value longer than its time, mix tenants, or exceed its limits. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ENTRY_BYTES, type StateLimits, StateStore } from "./state_store.ts";

const OF_TENANT = { tenant_entries: 1_000, tenant_bytes: 1_000_000 };
const ROOMY: StateLimits = { ...OF_TENANT, entries: 10_000, bytes: 10_000_000 };
const ref = (place: string, tenant_id = "acme", ttl_ms = 1_000) => ({ tenant_id, place, ttl_ms });
const bytes = (...values: number[]) => new Uint8Array(values);

Deno.test("a value exists until its time after the last write is over, and not longer", () => {
  const store = new StateStore(ROOMY);
  store.set(ref("a"), bytes(1), 0);
  assert.deepEqual(store.get(ref("a"), 999), bytes(1));
  store.set(ref("a"), bytes(2), 999);
  assert.deepEqual(store.get(ref("a"), 1_998), bytes(2));
  assert.equal(store.get(ref("a"), 1_999), undefined);
  assert.deepEqual([store.entries, store.bytes], [0, 0]);
});

Deno.test("a tenant without room loses its own value with the oldest write", () => {
  const store = new StateStore({ ...ROOMY, tenant_entries: 2 });
  store.set(ref("other", "other"), bytes(9), 0);
  for (const [at, place] of ["a", "b", "a", "c"].entries()) store.set(ref(place), bytes(at), at);
  assert.equal(store.get(ref("b"), 4), undefined);
  assert.deepEqual(store.get(ref("a"), 4), bytes(2));
  assert.deepEqual(store.get(ref("other", "other"), 4), bytes(9));
  assert.equal(store.dropped, 1);
});

Deno.test("an expired value that is dropped for room does not count as dropped early", () => {
  const store = new StateStore({ ...ROOMY, tenant_entries: 2 });
  store.set(ref("a"), bytes(1), 0);
  store.set(ref("b"), bytes(2), 500);
  store.set(ref("c"), bytes(3), 1_000);
  assert.deepEqual([store.entries, store.dropped], [2, 0]);
  store.set(ref("d"), bytes(4), 1_001);
  assert.deepEqual([store.entries, store.dropped], [2, 1]);
});

Deno.test("a store without room drops a value of the largest tenant", () => {
  const store = new StateStore({ ...ROOMY, entries: 4 });
  for (const place of ["a", "b", "c"]) store.set(ref(place, "greedy"), bytes(1), 0);
  store.set(ref("x", "quiet"), bytes(2), 1);
  store.set(ref("y", "quiet"), bytes(3), 2);
  assert.equal(store.get(ref("a", "greedy"), 3), undefined);
  assert.deepEqual(store.get(ref("x", "quiet"), 3), bytes(2));
  assert.deepEqual(store.get(ref("y", "quiet"), 3), bytes(3));
});

Deno.test("sweeps remove everything that has expired, also from a store with many values", () => {
  const store = new StateStore({ ...ROOMY, tenant_entries: 20_000, entries: 40_000 });
  for (let at = 0; at < 10_000; at++) store.set(ref(`k${at}`, `t${at % 7}`), bytes(1), 0);
  store.set(ref("young"), bytes(2), 500);
  for (let sweep = 0; sweep < 4; sweep++) store.sweep(1_000);
  assert.equal(store.entries, 1);
  assert.equal(store.bytes, ENTRY_BYTES + "young".length + 1);
  assert.equal(store.dropped, 0);
});

Deno.test("whatever is written, read and swept: limits hold, sums are right, and values are the last written", () => {
  const limits = { tenant_entries: 4, tenant_bytes: 900, entries: 7, bytes: 1_500 };
  const step = fc.record({
    tenant: fc.constantFrom("a", "b", "c"),
    place: fc.constantFrom("p", "q", "r", "s", "t", "u"),
    size: fc.option(fc.nat(300), { nil: null }),
    wait_ms: fc.nat(400),
    sweeps: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
    const store = new StateStore(limits);
    const model = new Map<string, { value: Uint8Array | null; until_ms: number }>();
    let now_ms = 0;
    for (const [at, { tenant, place, size, wait_ms, sweeps }] of steps.entries()) {
      now_ms += wait_ms;
      if (sweeps) store.sweep(now_ms);
      const value = size === null ? null : new Uint8Array(size).fill(at);
      store.set(ref(place, tenant), value, now_ms);
      model.set(`${tenant} ${place}`, { value, until_ms: now_ms + 1_000 });
      let entries = 0;
      let sum = 0;
      for (const [name, { value, until_ms }] of model) {
        const [tenant = "", place = ""] = name.split(" ");
        const there = store.get(ref(place, tenant), now_ms);
        if (there === undefined) continue;
        assert.ok(value !== null && until_ms > now_ms, "it was deleted, or has expired");
        assert.deepEqual(there, value);
        entries++;
        sum += ENTRY_BYTES + place.length + there.length;
      }
      assert.ok(store.entries <= limits.entries && store.bytes <= limits.bytes);
      assert.deepEqual([store.entries >= entries, store.bytes >= sum], [true, true]);
    }
    store.sweep(now_ms + 1_000);
    assert.deepEqual([store.entries, store.bytes], [0, 0]);
  }));
});
