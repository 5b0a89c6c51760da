/**
 * Decisions in the queue, with a clock and a store that tests control: decisions that fit are stored once, the others
 * are a gap that the next block reports, and an unreachable store only loses decisions.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { StorageFull } from "../../shared/spine/contract/write_errors.ts";
import { ClosedBlock } from "../../shared/journal/block.ts";
import { ended } from "../../shared/journal/testing/blocks.ts";
import { isHole, type JournalEntry, type JournalLine } from "../../shared/journal/record.ts";
import type { BlockAppend, BlockStore } from "../../shared/spine/contract/block_store.ts";
import { until } from "../../shared/testing/until.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { JournalQueue, JournalTotals, type QueueOptions } from "./queue.ts";
import { decidedBy } from "../../shared/journal/testing/records.ts";
import { decision } from "./testing/journal.ts";

const KEEPING = { ttl_seconds: 60, max_bytes: 1_000_000 };
const KEY = new Uint8Array(32);
const NOW_MS = 1_767_323_045_000;

const entry = (user: string, change: Partial<JournalEntry> = {}): JournalEntry => ({
  ...decision({ user }),
  ...change,
});

/** A store that keeps blocks; while `fails` is set it rejects with that error. */
function testQueue({ append, ...more }: Partial<QueueOptions & Pick<BlockStore, "append">> = {}) {
  const stored: BlockAppend[] = [];
  const state: {
    fails: unknown;
    times: number;
    asked: number;
    hung: PromiseWithResolvers<void> | undefined;
    looked?: PromiseWithResolvers<void>;
  } = {
    fails: undefined,
    hung: undefined,
    times: Infinity,
    asked: 0,
  };
  const totals = new JournalTotals();
  const { log, lines } = keptLog();
  const queue = new JournalQueue({
    owner: { node: "s1", meter_version: 5, fuel_limit: 10_000, chain_fuel_limit: 20_000 },
    store: () =>
      Promise.resolve({
        append: append ?? ((block) => {
          state.asked++;
          if (state.fails !== undefined && state.times-- > 0) return Promise.reject(state.fails);
          stored.push(block);
          return state.hung?.promise ?? Promise.resolve();
        }),
        newest: async (tenant) => {
          await state.looked?.promise;
          const cursor = stored.findLastIndex(({ tenant_id }) => tenant_id === tenant) + 1;
          const there = { cursor, node_id: "s1", time_ms: NOW_MS, payload: new Uint8Array() };
          return cursor === 0 ? undefined : there;
        },
        remove: (tenant, node, below) => {
          assert.equal(node, "s1");
          const left = stored.filter(({ tenant_id }, at) =>
            tenant_id !== tenant || at + 1 >= below
          );
          stored.splice(0, Infinity, ...left);
          return Promise.resolve();
        },
      }),
    keys: () =>
      Promise.resolve({
        forWriting: (_tenant, users) =>
          Promise.resolve(users.map((user) => ({ id: new TextEncoder().encode(user), key: KEY }))),
      }),
    queue_bytes: 1_000_000,
    flush_ms: 1,
    pauses_ms: [1, 1],
    totals,
    log,
    now: () => NOW_MS,
    monotonic_ms: () => performance.now(),
    ...more,
  });
  const linesOf = (block: BlockAppend): JournalLine[] => {
    const closed = new ClosedBlock(block.payload);
    return [...closed.lines(ended(closed.open(closed.key_ids.map(() => KEY))))];
  };
  const headOf = ({ payload }: BlockAppend) => new ClosedBlock(payload).head;
  return { queue, stored, state, totals, lines, headOf, all: () => stored.flatMap(linesOf) };
}

Deno.test("journal: decisions are stored once, by tenant, each with its own number", async () => {
  const { queue, stored, all, totals } = testQueue();
  for (let n = 0; n < 100; n++) queue.write(n % 2 === 0 ? "acme" : "globex", KEEPING, entry("ann"));
  await queue.close(5_000);
  const records = all().map((line) => (assert(!isHole(line)), line));
  assert.equal(new Set(records.map(({ id }) => id)).size, 100);
  assert.deepEqual(new Set(stored.map(({ tenant_id }) => tenant_id)), new Set(["acme", "globex"]));
  assert(stored.every((block) => block.ttl_seconds === 60 && block.max_bytes === 1_000_000));
  assert.deepEqual([totals.records, queue.bytes], [{ stored: 100, lost: 0 }, 0]);
});

Deno.test("journal: nothing of a deleted tenant follows its deletion, and nothing of its successor goes with it, however slow the store is", async () => {
  const { queue, stored, state, all, totals } = testQueue({ pauses_ms: [1, 60_000] });
  const hung = state.hung = Promise.withResolvers<void>();
  queue.write("acme", KEEPING, entry("under way"));
  await until("it is being stored", () => stored.length === 1);
  queue.write("acme", KEEPING, entry("full"));
  await until("it waits behind that", () => state.asked === 1);
  queue.write("acme", { ...KEEPING }, entry("open"));
  queue.write("globex", KEEPING, entry("other"));
  const forgotten = queue.forget("acme");
  state.hung = undefined;
  queue.write("acme", KEEPING, entry("later"));
  const looked = state.looked = Promise.withResolvers<void>();
  hung.resolve();
  const others = () => stored.filter(({ tenant_id }) => tenant_id === "globex").length;
  await until("others are stored meanwhile", () => others() > 0);
  const before = others();
  queue.write("globex", KEEPING, entry("beside"));
  await until("those that were written later, too", () => others() > before);
  looked.resolve();
  await queue.close(5_000);
  await forgotten;
  const left = all().map((line) => isHole(line) ? "hole" : line.sender?.user);
  assert.deepEqual([left.toSorted(), queue.bytes], [["beside", "later", "other"], 0]);
  assert.deepEqual(totals.records, { stored: 3, lost: 0 });
});

Deno.test("journal: what the store refuses to remove of a deleted tenant is removed before its successor's is stored", async () => {
  const { queue, stored, state, all } = testQueue();
  queue.write("acme", KEEPING, entry("old"));
  await until("it is stored", () => stored.length === 1);
  const looked = state.looked = Promise.withResolvers<void>();
  const refused = assert.rejects(queue.forget("acme"));
  queue.write("acme", KEEPING, entry("new"));
  looked.reject(new ArqonError("log-unavailable"));
  await refused;
  delete state.looked;
  await until(
    "the successor is stored",
    () => all().some((one) => !isHole(one) && one.sender?.user === "new"),
  );
  assert.equal(all().length, 1);
  await queue.close(5_000);
});

Deno.test("journal: a deleted tenant's block is not tried again", async () => {
  const { queue, stored, state } = testQueue({ pauses_ms: [60_000] });
  state.fails = new ArqonError("log-unavailable");
  queue.write("acme", KEEPING, entry("ann"));
  await until("it is refused", () => state.asked === 1);
  await queue.forget("acme");
  state.fails = undefined;
  await queue.close(1);
  assert.deepEqual([stored, queue.bytes, queue.sure_ms], [[], 0, NOW_MS]);
});

Deno.test("journal: decisions beyond the queue's limit are one gap, which the next block reports", async () => {
  const { queue, all, totals } = testQueue({ queue_bytes: 2_000 });
  const data = new Uint8Array(1_000);
  for (let n = 0; n < 5; n++) {
    queue.write(
      "acme",
      KEEPING,
      entry("ann", { payload: { form: "kept", data }, time_ms: NOW_MS + n }),
    );
  }
  await until("the queue has processed it", () => queue.bytes === 0);
  await queue.close(5_000);
  const lines = all();
  const holes = lines.filter(isHole);
  assert.deepEqual(holes.map(({ hole }) => hole), [
    {
      node: "s1",
      tenant: "acme",
      from_ms: NOW_MS + 1,
      to_ms: NOW_MS + 4,
      records: 4,
      why: "queue-full",
    },
  ]);
  assert.equal(lines.length, 2);
  assert.deepEqual(totals.records, { stored: 1, lost: 4 });
  assert.equal(totals.holes["queue-full"], 1);
});

Deno.test("journal: blocks are numbered in the order of storage, by tenant and by retention", async () => {
  const test = testQueue({ pauses_ms: [] });
  const other = { ...KEEPING, ttl_seconds: 61 };
  const numbers: string[] = [];
  const write = async (tenant: string, keeping = KEEPING) => {
    test.queue.write(tenant, keeping, entry("ann"));
    await until("it is stored", () => test.stored.length > numbers.length);
    const { tenant: of, number } = test.headOf(test.stored.at(-1)!);
    numbers.push(`${of} ${number}`);
  };
  for (let n = 0; n < 3; n++) await write("acme");
  await write("acme", other);
  await write("globex");
  test.state.times = 1;
  test.state.fails = new ArqonError("spine-unavailable", "away");
  await write("globex");
  await write("globex");
  assert.deepEqual(numbers, [
    "acme 0",
    "acme 1",
    "acme 2",
    "acme 0",
    ...["0", "0", "1"].map((n) => `globex ${n}`),
  ]);
  // One series each, and another one after a block with an unknown outcome.
  assert.equal(new Set(test.stored.map((block) => test.headOf(block).series)).size, 4);
});

Deno.test("journal: a tenant that exceeds the queue loses its own decisions, not those of others", async () => {
  const { queue, all } = testQueue({ queue_bytes: 20_000, flush_ms: 60_000 });
  for (let n = 0; n < 200; n++) queue.write("loud", KEEPING, entry("ann"));
  for (let n = 0; n < 5; n++) queue.write("quiet", KEEPING, entry("bob"));
  await queue.close(5_000);
  const lines = all();
  const of = (name: string) => lines.filter((line) => !isHole(line) && line.tenant === name).length;
  assert.equal(of("quiet"), 5);
  assert(of("loud") > 20, String(of("loud")));
  assert(!lines.some((line) => isHole(line) && line.hole.tenant === "quiet"));
});

Deno.test("journal: a tenant whose blocks are refused repeatedly takes no space that another needs", async () => {
  const stored: BlockAppend[] = [];
  const held = Promise.withResolvers<never>();
  const append = async (block: BlockAppend) => {
    if (block.tenant_id === "held") await held.promise;
    stored.push(block);
  };
  const { queue } = testQueue({ append, pauses_ms: [] });
  for (let n = 0; n < 8; n++) {
    queue.write("held", { ...KEEPING, ttl_seconds: 60 + n }, entry("ann"));
  }
  for (let n = 0; n < 8; n++) {
    queue.write("fine", { ...KEEPING, ttl_seconds: 60 + n }, entry("bob"));
  }
  await until("the other's are stored", () => stored.length === 8);
  held.reject(new ArqonError("spine-unavailable", "away"));
  await queue.close(5_000);
});

Deno.test("journal: an unreachable store loses decisions, which are reported as a gap once it is back", async () => {
  const test = testQueue();
  test.state.fails = new ArqonError("spine-unavailable", "away");
  test.queue.write("acme", KEEPING, entry("ann"));
  await until("the queue has processed it", () => test.totals.records.lost === 1);
  assert(test.state.asked >= 3, "it was retried");
  assert.equal(test.queue.bytes, 0);
  assert.match(test.lines.join(""), /decisions are missing from the journal/);
  test.state.fails = undefined;
  await until("the queue has processed it", () => test.stored.length > 0);
  const [line] = test.all();
  assert(isHole(line!));
  assert.deepEqual([line.hole.records, line.hole.why], [1, "unavailable"]);
  await test.queue.close(5_000);
  assert.equal(test.stored.length, 1, "a gap is reported once");
});

Deno.test("journal: the time up to which all is stored or reported is known while decisions or gaps wait", async () => {
  const test = testQueue({ flush_ms: 60_000 });
  assert.equal(test.queue.sure_ms, NOW_MS);
  test.queue.write("acme", KEEPING, entry("ann", { time_ms: NOW_MS - 500 }));
  test.queue.write("acme", KEEPING, entry("ann", { time_ms: NOW_MS - 400 }));
  assert.equal(test.queue.sure_ms, NOW_MS - 500);
  assert.equal(await test.queue.close(5_000), true);
  assert.equal(test.queue.sure_ms, NOW_MS);
  const away = testQueue({ pauses_ms: [] });
  away.state.fails = new ArqonError("log-unavailable", "no answer in 2000 ms");
  away.queue.write("acme", KEEPING, entry("ann", { time_ms: NOW_MS - 500 }));
  await until("the decision is lost", () => away.totals.records.lost === 1);
  assert.deepEqual([away.totals.holes.unavailable, away.totals.holes["storage-full"]], [1, 0]);
  assert.equal(away.queue.sure_ms, NOW_MS - 500, "the gap was not reported");
  assert.equal(await away.queue.close(5_000), false);
});

Deno.test("journal: a full store is distinguished, and a block is retried before it is lost", async () => {
  const test = testQueue();
  test.state.fails = new StorageFull("no space left", { reason: "log-unavailable" });
  test.queue.write("acme", KEEPING, entry("ann"));
  test.state.times = 2;
  await until("the queue has processed it", () => test.stored.length === 1);
  assert.deepEqual(test.totals.records, { stored: 1, lost: 0 });
  test.state.times = Infinity;
  test.queue.write("acme", KEEPING, entry("ann"));
  await until("the queue has processed it", () => test.totals.holes["storage-full"] === 1);
  await test.queue.close(5_000);
});

Deno.test("journal: a block whose answer was lost is retried, and stored once", async () => {
  await using engine = testSpine();
  const store = await engine.spine.blocks("journal", {
    max_bytes: 1_000_000,
    max_age_seconds: 3_600,
  });
  let lost = 2;
  const { queue, totals } = testQueue({
    async append(block) {
      await store.append(block);
      if (lost-- > 0) throw new ArqonError("spine-unavailable", "timeout");
    },
  });
  for (const user of ["ann", "bob"]) {
    queue.write("acme", KEEPING, entry(user));
    await until("it is stored", () => queue.bytes === 0);
  }
  await queue.close(5_000);
  const { blocks } = await store.read({ tenant_id: "acme", limit: 10 });
  assert.deepEqual([blocks.length, lost < 0, totals.records.stored], [2, true, 2]);
});

Deno.test("journal: the end of the process stores the queue, and ends although nothing can be stored", async () => {
  const kept = testQueue({ flush_ms: 60_000 });
  kept.queue.write("acme", KEEPING, entry("ann"));
  await kept.queue.close(5_000);
  assert.equal(kept.all().length, 1);
  const away = testQueue({ store: () => new Promise(() => {}), flush_ms: 60_000 });
  away.queue.write("acme", KEEPING, entry("ann"));
  await away.queue.close(1);
  away.queue.write("acme", KEEPING, entry("ann"));
  assert.equal(away.stored.length, 0);
});

Deno.test("journal: many decisions at once go into several blocks, none too large to be stored", async () => {
  const { queue, stored, all } = testQueue({ queue_bytes: 100_000_000 });
  const data = crypto.getRandomValues(new Uint8Array(1_000));
  for (let n = 0; n < 3_000; n++) {
    queue.write("acme", KEEPING, entry(`u${n}`, { payload: { form: "kept", data } }));
  }
  await queue.close(60_000);
  assert.equal(all().length, 3_000);
  assert(stored.length > 5 && stored.every(({ payload }) => payload.length <= 524_288));
});

Deno.test("journal: keys are requested with the start time of a block", async () => {
  const since: (number | undefined)[] = [];
  let now_ms = NOW_MS;
  const { queue } = testQueue({
    flush_ms: 60_000,
    monotonic_ms: () => now_ms,
    keys: () =>
      Promise.resolve({
        forWriting: (_tenant, users, since_ms) => {
          since.push(since_ms);
          return Promise.resolve(users.map(() => ({ id: new Uint8Array(1), key: KEY })));
        },
      }),
  });
  queue.write("acme", KEEPING, entry("ann"));
  now_ms += 500;
  queue.write("acme", KEEPING, entry("ann"));
  await queue.close(5_000);
  assert.deepEqual(since, [NOW_MS]);
});

Deno.test("journal: while the store hangs, gaps of many tenants wait without growing", async () => {
  let appends = 0;
  const hanging = Promise.withResolvers<void>();
  const { queue, totals } = testQueue({
    queue_bytes: 1,
    append: () => (appends++, hanging.promise),
  });
  const miss = () => {
    for (let n = 0; n < 20; n++) queue.write(`t${n}`, KEEPING, entry("ann"));
  };
  miss();
  await until("the first blocks are on their way", () => appends === 4);
  // As many flushes as these take.
  let rounds = 0;
  await until("more is missing again and again", () => (miss(), ++rounds > 30));
  hanging.resolve();
  await queue.close(5_000);
  assert.equal(totals.records.lost, 20 * (rounds + 1));
  assert.ok(appends <= 60, `${appends} blocks were stored for the gaps of 20 tenants`);
});

Deno.test("journal: the size of a decision includes all its parts, and an oversized one loses no other", async () => {
  const { queue, all, totals, stored, state } = testQueue({ queue_bytes: 10_000_000 });
  const long = "x".repeat(200_000);
  const read = { from: "state" as const, name: "{user}", value: null, key: long };
  const large: Partial<JournalEntry["policies"][number]>[] = [
    { payload: crypto.getRandomValues(new Uint8Array(60_000)).toBase64().repeat(4) },
    { writes: [{ name: "{user}", value: long }] },
    { reads: [read] },
    { fault: "trap", detail: long },
  ];
  queue.write("acme", KEEPING, entry("ann"));
  for (const change of large) {
    const policies = [decidedBy("p", change)];
    queue.write("acme", KEEPING, entry("ann", { chain_version: 1, policies }));
  }
  await queue.close(5_000);
  assert.deepEqual(totals.records, { stored: 1, lost: 4 });
  assert.equal(totals.holes["queue-full"], 1);
  assert.deepEqual([stored.length, all().filter((line) => !isHole(line)).length], [1, 1]);
  assert.equal(state.asked, 1);
});

Deno.test("journal: an unwritable decision loses only itself, and is reported with its field", async () => {
  const { queue, all, totals, lines } = testQueue();
  const refused: Partial<JournalEntry>[] = [
    { time_ms: Infinity },
    { offset: 0.5 },
    { schema: { id: "a", version: -1, violation: null } },
    { chain_version: 1, policies: [decidedBy("p", { units: NaN })] },
  ];
  for (const [at, change] of refused.entries()) {
    queue.write("acme", KEEPING, entry("ann", { room: `r-${at}` }));
    queue.write("acme", KEEPING, entry("bob", { room: `lost-${at}`, ...change }));
  }
  // The time is also recorded if the decision did not fit.
  queue.write("acme", KEEPING, entry("bob", { time_ms: NaN, message: "x".repeat(200_000) }));
  queue.write("acme", KEEPING, entry("ann", { room: "last" }));
  assert.equal(await queue.close(5_000), true);
  const found = all();
  const rooms = found.flatMap((line) => isHole(line) ? [] : [line.room]);
  assert.deepEqual(rooms, ["r-0", "r-1", "r-2", "r-3", "last"]);
  const holes = found.filter(isHole).map((
    { hole: { why, records, from_ms } },
  ) => [why, records, from_ms]);
  assert.deepEqual(holes, [["unwritable", 4, NOW_MS], ["queue-full", 1, NOW_MS]]);
  assert.deepEqual([totals.records, totals.holes.unwritable], [{ stored: 5, lost: 5 }, 1]);
  assert.match(
    lines.join(""),
    /why=unwritable error="RangeError: time_ms: Infinity is no whole number/,
  );
});

Deno.test("journal: a block that is too large to be stored is not retried", async () => {
  const test = testQueue();
  test.state.fails = new ArqonError("message-too-large", "524289 bytes");
  test.state.times = 1;
  test.queue.write("acme", KEEPING, entry("ann"));
  await until("it is lost", () => test.totals.records.lost === 1);
  assert.deepEqual([test.totals.holes["queue-full"], test.totals.holes.unavailable], [1, 0]);
  await test.queue.close(5_000);
});
