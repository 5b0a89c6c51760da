/** Bytes of tenants: the listing, growth since then, and several Brains that learn of each other late. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { KvKey, KvSize } from "../../../shared/spine/contract/spine.ts";
import { ENTRY_BYTES } from "../../../shared/spine/bucket_shares.ts";
import { TenantBytes, type TenantBytesOptions } from "./tenant_bytes.ts";

const LIMIT = 1_000_000;

/** A bucket of rooms, and a clock that the test moves. */
function stand(more: Partial<TenantBytesOptions> = {}) {
  const stored = new Map<string, number>();
  const state = { now_ms: 0, listings: 0, listing_ms: 0 };
  const list = (prefix: KvKey): Promise<KvSize[]> => {
    state.listings++;
    state.now_ms += state.listing_ms;
    const sizes = Array.from(stored, ([key, size_bytes]) => ({ key: key.split("."), size_bytes }));
    return Promise.resolve(
      sizes.filter(({ key }) => prefix.every((token, at) => token === key[at])),
    );
  };
  const options = {
    room_bytes_per_tenant: LIMIT,
    bucketBytes: () => undefined,
    list,
    brains: () => 1,
    monotonic: () => state.now_ms,
    ...more,
  };
  return { stored, state, brain: () => new TenantBytes(options) };
}

Deno.test("a tenant has what it may and no byte more, and others have theirs", async () => {
  const { stored, state, brain } = stand();
  stored.set("acme.a", 400_000 - ENTRY_BYTES).set("other.a", 10);
  const bytes = brain();
  await bytes.recount();
  assert.deepEqual(bytes.used, { total_bytes: 400_010 + ENTRY_BYTES, largest_bytes: 400_000 });
  assert.equal(await bytes.take("acme", 600_000), true);
  stored.set("acme.b", 600_000 - ENTRY_BYTES);
  state.now_ms += 1_000;
  assert.equal(await bytes.take("acme", 1), false);
  assert.equal(await bytes.take("other", 900_000), true);
  assert.equal(await bytes.take("acme", -5), true);
  assert.equal(await bytes.take("acme", 5), true);
  assert.match(bytes.refusal().message, /may not take more than 1000000 bytes/);
});

Deno.test("others' removals are noticed, but not checked all the time", async () => {
  const { stored, state, brain } = stand();
  stored.set("acme.a", LIMIT);
  const bytes = brain();
  await bytes.recount();
  state.listing_ms = 300;
  assert.equal(await bytes.take("acme", 10), false);
  stored.delete("acme.a");
  assert.equal(await bytes.take("acme", 10), false);
  assert.equal(state.listings, 2);
  state.now_ms += 3_000;
  assert.equal(await bytes.take("acme", 10), true);
  assert.equal(state.listings, 3);
});

Deno.test("of a bucket that is bounded one tenant has a quarter", async () => {
  const { brain } = stand({ bucketBytes: () => 400_000 });
  const bytes = brain();
  assert.equal(bytes.limit_bytes, 100_000);
  assert.equal(await bytes.take("acme", 100_001), false);
  assert.equal(await bytes.take("acme", 100_000), true);
});

Deno.test("a listing that fails changes nothing, and is tried again", async () => {
  let fails = false;
  const kept: KvSize[] = [{ key: ["acme", "a"], size_bytes: LIMIT - ENTRY_BYTES }];
  let now_ms = 0;
  const { brain } = stand({
    list: () => fails ? Promise.reject(new Error("gone")) : Promise.resolve(kept),
    monotonic: () => now_ms,
  });
  const bytes = brain();
  await bytes.recount();
  fails = true;
  await assert.rejects(bytes.recount(), /gone/);
  await assert.rejects(bytes.take("acme", 1), /gone/);
  assert.equal(bytes.used.total_bytes, LIMIT);
  fails = false;
  kept.length = 0;
  now_ms += 1_000;
  assert.equal(await bytes.take("acme", 1), true);
});

Deno.test("several Brains together never allow a tenant twice its limit", async () => {
  const step = fc.record({
    brain: fc.nat(2),
    size_bytes: fc.integer({ min: 1, max: 300_000 }),
    passes_ms: fc.constantFrom(0, 1_000),
  });
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const { stored, state, brain } = stand({ brains: () => 3 });
    const brains = [brain(), brain(), brain()];
    for (const [n, { brain: at, size_bytes, passes_ms }] of steps.entries()) {
      state.now_ms += passes_ms;
      if (!await brains[at]?.take("acme", size_bytes + ENTRY_BYTES)) continue;
      stored.set(`acme.r${n}`, size_bytes);
      const sum = [...stored.values()].reduce((all, one) => all + one + ENTRY_BYTES, 0);
      assert.ok(sum <= 2 * LIMIT, `${sum} bytes`);
    }
  }));
});
