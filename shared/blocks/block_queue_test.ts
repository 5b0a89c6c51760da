/** Blocks queued for a store: one tenant's bytes and refusals do not affect the others. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { atEnd } from "../testing/at_end.ts";
import { until } from "../testing/until.ts";
import type { BlockStore } from "../spine/contract/block_store.ts";
import { QUIET } from "../testing/logs.ts";
import { openEmbedded } from "../spine/embedded/embedded.ts";
import { BlockQueue, type WaitingBlock } from "./block_queue.ts";

const log = QUIET;
const block = (tenant_id: string, size_bytes: number): WaitingBlock => ({
  id: crypto.randomUUID(),
  tenant_id,
  payload: new Uint8Array(size_bytes).fill(tenant_id.length),
});

/** A queue for a real store, and its dropped blocks. */
async function withQueue(
  run: (test: {
    queue: BlockQueue<WaitingBlock>;
    put: (block: WaitingBlock) => Promise<void>;
    store: BlockStore;
    stored: (tenant_id: string) => Promise<number[]>;
    lost: { tenant_id: string; reason: string | undefined }[];
  }) => Promise<void>,
  bytes_max = 1e9,
): Promise<void> {
  const spine = openEmbedded({ log, now: Date.now });
  const store = await spine.blocks("ledger", { max_bytes: 1e9, max_age_seconds: 3_600 });
  const lost: { tenant_id: string; reason: string | undefined }[] = [];
  const queue = new BlockQueue<WaitingBlock>({
    bytes_max,
    lost: ({ tenant_id }, error) =>
      lost.push({ tenant_id, reason: error instanceof ArqonError ? error.reason : undefined }),
  });
  const own = { node_id: "s1", ttl_seconds: 3_600, max_bytes: 1e9 };
  await using _end = atEnd(() => spine.drain());
  await run({
    queue,
    lost,
    store,
    put: (one) => store.append({ ...own, ...one }),
    stored: async (tenant_id) =>
      (await store.read({ tenant_id, limit: 1_000 })).blocks.map(({ payload }) => payload.length),
  });
}

Deno.test("message-too-large: a block that the store never accepts is dropped, and later ones are stored", async () => {
  await withQueue(async ({ queue, put, stored, lost }) => {
    queue.push(block("big", 600_000));
    queue.push(block("big", 7));
    for (let at = 0; at < 20; at++) queue.push(block("small", 10 + at));
    assert.equal(await queue.store(put), undefined);
    assert.deepEqual(await stored("big"), [7]);
    assert.equal((await stored("small")).length, 20);
    assert.deepEqual(lost, [{ tenant_id: "big", reason: "message-too-large" }]);
    assert.deepEqual([queue.bytes, queue.is_empty], [0, true]);
  });
});

Deno.test("a tenant whose blocks are temporarily refused delays no other, and loses nothing", async () => {
  await withQueue(async ({ queue, put, stored, lost }) => {
    const away = new ArqonError("spine-unavailable", "the tenant's stream is away");
    // More than are stored concurrently.
    for (let at = 0; at < 40; at++) queue.push(block("held", 1 + at));
    for (let at = 0; at < 40; at++) queue.push(block("fine", 1 + at));
    const refuseHeld = (one: WaitingBlock) =>
      one.tenant_id === "held" ? Promise.reject(away) : put(one);
    assert.equal(await queue.store(refuseHeld), away);
    assert.equal((await stored("fine")).length, 40);
    assert.equal(await queue.store(put), undefined);
    assert.equal((await stored("held")).length, 40);
    assert.deepEqual([lost, queue.bytes], [[], 0]);
  });
});

Deno.test("what the store refuses to remove of a deleted tenant is removed before its successor's is stored", async () => {
  await withQueue(async ({ queue, put, stored, store }) => {
    queue.push(block("gone", 1));
    await queue.store(put);
    const away = new ArqonError("spine-unavailable", "away");
    let refusals = 2;
    const open = () => refusals-- > 0 ? Promise.reject(away) : Promise.resolve(store);
    await assert.rejects(queue.forget("gone", "s1", open));
    queue.push(block("gone", 2));
    await until("the successor's is stored", async () => {
      await queue.store(put);
      return queue.is_idle;
    });
    assert.deepEqual([await stored("gone"), refusals], [[2], -1]);
  });
});

Deno.test("nine temporarily refused tenants delay the tenth by one pass at most", async () => {
  await withQueue(async ({ queue, put, stored }) => {
    const away = new ArqonError("spine-unavailable", "away");
    for (let at = 0; at < 9; at++) queue.push(block(`held-${at}`, 10));
    queue.push(block("fine", 10));
    const refuseHeld = (one: WaitingBlock) =>
      one.tenant_id === "fine" ? put(one) : Promise.reject(away);
    await queue.store(refuseHeld);
    await queue.store(refuseHeld);
    assert.deepEqual(await stored("fine"), [10]);
  });
});

Deno.test("with too many bytes a tenant with many loses its oldest block, not a tenant with few", async () => {
  await withQueue(async ({ queue, put, stored, lost }) => {
    queue.push(block("few", 300));
    for (let at = 0; at < 100; at++) queue.push(block("many", 1_000 + at));
    assert.ok(queue.bytes <= 10_000, String(queue.bytes));
    assert.ok(lost.length > 90 && lost.every(({ tenant_id }) => tenant_id === "many"));
    await queue.store(put);
    assert.deepEqual(await stored("few"), [300]);
    assert.equal((await stored("many")).at(-1), 1_099);
  }, 10_000);
});

Deno.test("with any refusals and lost answers each block is stored once, and a tenant's in order", async () => {
  await withQueue(async ({ queue, put, stored, lost }) => {
    const away = new ArqonError("spine-unavailable", "no answer");
    for (let at = 0; at < 20; at++) queue.push(block("one", 1 + at));
    for (let at = 0; at < 20; at++) queue.push(block("two", 1 + at));
    let tries = 0;
    const failSome = async (one: WaitingBlock) => {
      const failure = tries++ % 3;
      if (failure === 0) throw away;
      await put(one);
      if (failure === 1) throw away;
    };
    while (!queue.is_empty) await queue.store(failSome);
    const all = Array.from({ length: 20 }, (_, at) => 1 + at);
    assert.deepEqual([await stored("one"), await stored("two"), lost], [all, all, []]);
  });
});

Deno.test("a block that is being stored is not dropped: a later one is", async () => {
  await withQueue(async ({ queue, put, stored, lost }) => {
    queue.push(block("many", 6_000));
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    const storing = queue.store((one) => answered.then(() => put(one)));
    for (let at = 0; at < 10; at++) queue.push(block("many", 1_000 + at));
    for (let at = 0; at < 10; at++) queue.push(block("few", 300 + at));
    assert.ok(queue.bytes <= 10_000, String(queue.bytes));
    answer();
    await storing;
    const there = [...await stored("many"), ...await stored("few")];
    assert.equal((await stored("many"))[0], 6_000);
    assert.equal(there.length + lost.length, 21);
    assert.deepEqual([queue.bytes, queue.is_empty], [0, true]);
  }, 10_000);
});
