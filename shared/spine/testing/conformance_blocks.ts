/** Conformance cases of the stores of blocks; see `conformance.ts`. */
import assert from "node:assert/strict";
import { until } from "../../testing/until.ts";
import { type Bus, bytes, type Case, refusedWith, text } from "./conformance.ts";
import { BLOCK_BYTES_MAX, FOLD_WRITERS } from "../contract/block_store.ts";
import type { BlockRead, BlockStore } from "../contract/block_store.ts";

const KEPT = { max_bytes: 16_777_216, max_age_seconds: 3_600 };
const ROOMY = { ttl_seconds: 3_600, max_bytes: 8_388_608 };

const openBoth = ({ spine, other }: Bus): Promise<[BlockStore, BlockStore]> =>
  Promise.all([spine.blocks("journal", KEPT), other.blocks("journal", KEPT)]);

/** The texts of a tenant's blocks with their nodes, page by page. */
async function texts(
  store: BlockStore,
  read: Omit<BlockRead, "limit">,
  limit = 2,
): Promise<string[]> {
  const found: string[] = [];
  for (let after = read.after;;) {
    const page = await store.read({ ...read, limit, ...(after === undefined ? {} : { after }) });
    found.push(...page.blocks.map(({ node_id, payload }) => `${node_id} ${text(payload)}`));
    const last = page.blocks.at(-1);
    if (page.is_end || last === undefined) return found;
    after = last.cursor;
  }
}

async function storesInOrder(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const tenant_id = bus.name;
  assert.deepEqual(await mine.read({ tenant_id, limit: 10 }), { blocks: [], is_end: true });
  for (const [at, store] of [mine, theirs, mine, theirs, mine].entries()) {
    const node_id = store === mine ? "shield-1" : "shield-2";
    await store.append({ ...ROOMY, tenant_id, node_id, payload: bytes(String(at)) });
  }
  const all = mine === theirs
    ? ["shield-1 0", "shield-1 1", "shield-1 2", "shield-1 3", "shield-1 4"]
    : ["shield-1 0", "shield-2 1", "shield-1 2", "shield-2 3", "shield-1 4"];
  for (const store of [mine, theirs]) assert.deepEqual(await texts(store, { tenant_id }), all);
  const { blocks: [, second] } = await mine.read({ tenant_id, limit: 2 });
  assert(second !== undefined && Math.abs(second.time_ms - Date.now()) < 60_000);
  assert.deepEqual(await texts(theirs, { tenant_id, after: second.cursor }), all.slice(2));
  assert.deepEqual(await texts(theirs, { tenant_id, from_ms: 0 }), all);
  for (
    const from_ms of [Date.now() + 86_400_000, 9.3e12, 2.6e14, 8.7e15, Number.MAX_SAFE_INTEGER]
  ) {
    assert.deepEqual(await texts(theirs, { tenant_id, from_ms }), [], String(from_ms));
  }
}

async function keepsTenantsApart(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const one = `${bus.name}-one`;
  const two = `${bus.name}-two`;
  const node_id = "shield-1";
  await mine.append({ ...ROOMY, tenant_id: one, node_id, payload: bytes("1") });
  await mine.append({ ...ROOMY, tenant_id: two, node_id, payload: bytes("2") });
  assert.deepEqual(await texts(theirs, { tenant_id: one }), ["shield-1 1"]);
  await theirs.purge(one);
  assert.deepEqual(await texts(mine, { tenant_id: one }), []);
  assert.deepEqual(await texts(mine, { tenant_id: two }), ["shield-1 2"]);
  const { whole_ms: _, ...status } = await mine.status(one);
  assert.deepEqual(status, { blocks: 0, bytes: 0, first_ms: undefined, last_ms: undefined });
  const { blocks, bytes: size_bytes, first_ms, last_ms } = await mine.status(two);
  assert.equal(blocks, 1);
  assert(size_bytes > 0 && size_bytes < 1_000, String(size_bytes));
  assert(first_ms !== undefined && first_ms === last_ms);
}

async function boundsATenant(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const tenant_id = bus.name;
  const neighbour = `${bus.name}-neighbour`;
  const append = (to: string, node_id: string, at: number) =>
    (node_id === "a" ? mine : theirs).append({
      tenant_id: to,
      node_id,
      ttl_seconds: 3_600,
      max_bytes: 65_536,
      payload: new Uint8Array(3_968 + at).fill(at),
    });
  await append(neighbour, "a", 0);
  for (let at = 0; at < 60; at++) await append(tenant_id, at % 3 === 0 ? "b" : "a", at);
  const { blocks } = await theirs.read({ tenant_id, limit: 100 });
  const newest = blocks.at(-1);
  assert.equal(newest?.payload[0], 59);
  assert(blocks.length >= 11 && blocks.length <= 20, `${blocks.length} blocks are there`);
  assert.deepEqual(
    blocks.map(({ payload }) => payload[0]),
    blocks.map((_, at) => 60 - blocks.length + at),
  );
  const status = await mine.status(tenant_id);
  assert.equal(status.blocks, blocks.length);
  assert(Math.abs(status.bytes - blocks.length * 4_096) < 8_192, String(status.bytes));
  const { first_ms = 0, whole_ms } = status;
  // A block of the same millisecond may have been removed: then the store is whole from the next millisecond on.
  assert(whole_ms !== undefined && whole_ms <= first_ms + 1, `${whole_ms} of ${first_ms}`);
  const room = await theirs.room();
  assert(room.bytes >= status.bytes && room.bytes <= room.max_bytes, JSON.stringify(room));
  assert(room.newest_ms >= (status.last_ms ?? Infinity), JSON.stringify(room));
  assert.equal((await mine.status(neighbour)).blocks, 1);
}

async function forgetsByAge(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const tenant_id = bus.name;
  const node_id = "shield-1";
  await mine.append({ ...ROOMY, tenant_id, node_id, ttl_seconds: 1, payload: bytes("short") });
  await mine.append({ ...ROOMY, tenant_id, node_id, payload: bytes("long") });
  await until(
    "the block is removed",
    async () => (await texts(theirs, { tenant_id })).length === 1,
  );
  assert.deepEqual(await texts(theirs, { tenant_id }), ["shield-1 long"]);
}

async function takesManyAtOnce(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const tenant_id = bus.name;
  const payloads = Array.from({ length: 40 }, (_, at) => bytes(`block ${at}`));
  await Promise.all(payloads.map((payload, at) => {
    const appended = (at % 2 === 0 ? mine : theirs)
      .append({ ...ROOMY, tenant_id, node_id: `shield-${at % 2}`, payload });
    payload.fill(0);
    return appended;
  }));
  const found = await texts(mine, { tenant_id }, 7);
  const wanted = payloads.map((_, at) => `shield-${at % 2} block ${at}`);
  assert.deepEqual(found.toSorted(), wanted.toSorted());
  const payload = new Uint8Array(BLOCK_BYTES_MAX + 1);
  await assert.rejects(
    mine.append({ ...ROOMY, tenant_id, node_id: "shield-1", payload }),
    refusedWith("message-too-large"),
  );
}

async function keepsStoresApart({ spine, other, name: tenant_id }: Bus): Promise<void> {
  const journal = await spine.blocks("journal", KEPT);
  const usage = await spine.blocks("usage", KEPT);
  const ledger = await spine.blocks("ledger", KEPT);
  const node_id = "shield-1";
  await journal.append({ ...ROOMY, tenant_id, node_id, payload: bytes("decisions") });
  await usage.append({ ...ROOMY, tenant_id, node_id, payload: bytes("counts") });
  await ledger.append({ ...ROOMY, tenant_id, node_id, payload: bytes("deliveries") });
  const theirs = await other.blocks("usage", KEPT);
  assert.deepEqual(await texts(theirs, { tenant_id }), ["shield-1 counts"]);
  await theirs.purge(tenant_id);
  assert.deepEqual(await texts(usage, { tenant_id }), []);
  assert.deepEqual(await texts(journal, { tenant_id }), ["shield-1 decisions"]);
  assert.deepEqual(await texts(ledger, { tenant_id }), ["shield-1 deliveries"]);
}

async function storesAnIdOnce(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const tenant_id = bus.name;
  const node_id = "shield-1";
  const named = (id: string, label: string) => ({
    ...ROOMY,
    tenant_id,
    node_id,
    id,
    payload: bytes(label),
  });
  await mine.append(named("one", "first"));
  await mine.append(named("one", "first again"));
  await mine.append(named("two", "second"));
  await mine.append({ ...ROOMY, tenant_id, node_id, payload: bytes("nameless") });
  await mine.append({ ...ROOMY, tenant_id, node_id, payload: bytes("nameless") });
  const all = ["first", "second", "nameless", "nameless"].map((label) => `${node_id} ${label}`);
  assert.deepEqual(await texts(theirs, { tenant_id }), all);
}

async function storesWhereItIsExpected(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const tenant_id = bus.name;
  const node_id = FOLD_WRITERS.hour;
  const put = (store: BlockStore, label: string, expected: number) =>
    store.append({ ...ROOMY, tenant_id, node_id, payload: bytes(label), expected });
  assert.equal(await mine.newest(tenant_id, node_id), undefined);
  await mine.append({ ...ROOMY, tenant_id, node_id: "shield-1", payload: bytes("its own") });
  // Of two concurrent appends one is stored and the other one rejects.
  const both = await Promise.allSettled([put(mine, "one", 0), put(theirs, "one", 0)]);
  assert.deepEqual(both.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
  const newest = await theirs.newest(tenant_id, node_id);
  assert.equal(text(newest!.payload), "one");
  assert.equal(newest!.node_id, node_id);
  await assert.rejects(put(theirs, "late", 0), refusedWith("version-conflict"));
  await put(theirs, "two", newest!.cursor);
  await assert.rejects(put(mine, "late", newest!.cursor), refusedWith("version-conflict"));
  const all = ["shield-1 its own", `${node_id} one`, `${node_id} two`];
  assert.deepEqual(await texts(mine, { tenant_id }), all);
  await theirs.purge(tenant_id);
  assert.equal(await mine.newest(tenant_id, node_id), undefined);
  await put(mine, "anew", 0);
  assert.deepEqual(await texts(mine, { tenant_id }), [`${node_id} anew`]);
}

async function removesUpToACursor(bus: Bus): Promise<void> {
  const [mine, theirs] = await openBoth(bus);
  const tenant_id = bus.name;
  const neighbour = `${bus.name}-neighbour`;
  for (const at of [0, 1, 2, 3, 4, 5]) {
    const node_id = `shield-${at % 2}`;
    await mine.append({ ...ROOMY, tenant_id, node_id, payload: bytes(String(at)) });
    await mine.append({ ...ROOMY, tenant_id: neighbour, node_id, payload: bytes(String(at)) });
  }
  const { blocks } = await theirs.read({ tenant_id, limit: 10 });
  await theirs.remove(tenant_id, "shield-0", blocks[4]!.cursor);
  await theirs.remove(tenant_id, "shield-9", blocks[4]!.cursor);
  const left = ["shield-1 1", "shield-1 3", "shield-0 4", "shield-1 5"];
  assert.deepEqual(await texts(mine, { tenant_id }), left);
  assert.equal((await texts(mine, { tenant_id: neighbour })).length, 6);
  const status = await theirs.status(tenant_id);
  assert.equal(status.blocks, 4);
  assert(status.bytes > 0 && status.bytes < 1_200, String(status.bytes));
  const known = await theirs.tenants();
  assert([tenant_id, neighbour].every((one) => known.includes(one)), String(known));
  await mine.purge(neighbour);
  assert(!(await theirs.tenants()).includes(neighbour));
}

/** What the stores of blocks of every engine do. */
export const BLOCK_CASES: readonly Case[] = [
  { behaviour: "a store has its blocks in order, from any cursor or time", run: storesInOrder },
  { behaviour: "tenants' blocks are apart", run: keepsTenantsApart },
  { behaviour: "a tenant's blocks have a bound, above which the oldest go", run: boundsATenant },
  { behaviour: "blocks go by their own age", run: forgetsByAge },
  { behaviour: "a store takes many blocks at once, none twice", run: takesManyAtOnce },
  { behaviour: "a block that is named and comes again is stored once", run: storesAnIdOnce },
  {
    behaviour: "a block is stored only behind the one that its writer expects",
    run: storesWhereItIsExpected,
  },
  { behaviour: "a node's blocks are removed up to a cursor", run: removesUpToACursor },
  { behaviour: "the stores of blocks are apart", run: keepsStoresApart },
];
