/**
 * A tenant's usage is exactly the same before and after folding, in any order of blocks, whichever Shield folds, and
 * wherever it is killed. The test compares it with its own sum.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import fc from "fast-check";
import { configFrom } from "../../shared/config/load.ts";
import { atEnd } from "../../shared/testing/at_end.ts";
import { keptLog, QUIET } from "../../shared/testing/logs.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import type { BlockStore } from "../../shared/spine/contract/block_store.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { Lives } from "../../shared/lives/lives.ts";
import { TenantUsed } from "../../shared/usage/budget_used.ts";
import { encodeMinute } from "../../shared/usage/minute.ts";
import { runningKey, UsageStores } from "../../shared/usage/usage_stores.ts";
import type { PriceBook } from "../../shared/usage/price_book.ts";
import { readUsage, type UsageBy } from "./read.ts";
import { addCounts, type Counts, noCounts } from "../../shared/records/counts.ts";
import { amountsOf, costOf } from "../../shared/usage/units.ts";
import { UsageFolder } from "./folder.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** In a month that lasts long enough. */
const START_MS = Date.UTC(2026, 2, 5, 22, 20);
const TENANT_BYTES = 67_108_864;
const log = QUIET;
const away = () => Promise.reject(new ArqonError("spine-unavailable", "away"));

/** The store with bound methods, so that others can replace them. */
const bound = (store: BlockStore): BlockStore => ({
  append: (block) => store.append(block),
  read: (options) => store.read(options),
  newest: (tenant_id, node_id) => store.newest(tenant_id, node_id),
  remove: (tenant_id, node_id, below) => store.remove(tenant_id, node_id, below),
  tenants: () => store.tenants(),
  status: (tenant_id) => store.status(tenant_id),
  aheadMs: () => store.aheadMs(),
  room: () => store.room(),
  purge: (tenant_id) => store.purge(tenant_id),
});

/** A counted minute. */
interface Counted {
  readonly node_id: string;
  readonly life_ms: number;
  readonly seq: number;
  readonly minute: number;
  readonly row: { room: string; user: string; policy: string; counts: Counts };
}

/** A ledger with a clock that the test sets, and its expected content. */
class Bench {
  readonly counted: Counted[] = [];
  readonly place: UsageStores;
  now_ms: number;
  /** The store's time of its first block, by its own clock, Unix ms; Infinity: the same clock. */
  stored_since_ms = Infinity;
  readonly tenant: string;
  readonly #book: PriceBook;
  readonly #seqs = new Map<string, number>();
  /** Continues reading, as a Shield's budgets do. */
  readonly #budget: TenantUsed;

  constructor(spine: Spine, tenant: string, now_ms: number, usage: object = {}) {
    this.tenant = tenant;
    this.now_ms = now_ms;
    const config = configFrom({ usage: { enabled: true, ...usage } });
    this.place = new UsageStores({ config, spine, lives: new Lives(spine) });
    this.#budget = new TenantUsed(tenant, this.place);
    const day_ms = now_ms - now_ms % DAY_MS;
    this.#book = {
      lists: [
        { from_ms: 0, prices: { messages_in: 0.1, fuel: 0.003 } },
        { from_ms: day_ms + DAY_MS, prices: { messages_in: 0.7, connection_minutes: 0.31 } },
        { from_ms: day_ms + 3 * DAY_MS, prices: { fuel: 0.0001 } },
      ],
      replaced: [],
    };
  }

  /** A Shield stores its counts, `times` times, or also leaves them in the bucket. */
  async count(one: {
    node_id?: string;
    life_ms?: number;
    room?: string;
    policy?: string;
    amount?: number;
    skew?: number;
    times?: number;
    is_left?: boolean;
  }): Promise<void> {
    const { node_id = "one", life_ms = 1, room = "*", policy = "", amount = 1, skew = 0 } = one;
    const life = `${node_id} ${life_ms}`;
    const seq = (this.#seqs.get(life) ?? -1) + 1;
    this.#seqs.set(life, seq);
    const minute = Math.floor(this.now_ms / MINUTE_MS) + skew;
    const counts = policy === ""
      ? { ...noCounts(), messages_in: amount, connection_ms: 7 * amount }
      : { ...noCounts(), fuel_units: amount };
    const row = { room, user: "pro", policy, counts };
    this.counted.push({ node_id, life_ms, seq, minute, row });
    const stored = { life_ms, seq, minute, until_ms: this.now_ms, rows: [row] };
    const payload = encodeMinute(stored);
    const bounds = { tenant_id: this.tenant, ttl_seconds: 90 * 86_400, max_bytes: TENANT_BYTES };
    const store = await this.place.store();
    for (let time = 0; time < (one.times ?? 1); time++) {
      await store.append({ ...bounds, node_id, payload });
    }
    if (one.is_left !== true) return;
    await (await this.place.running()).put(runningKey(this.tenant, node_id, `${life_ms}`), payload);
  }

  folder(
    store: () => Promise<BlockStore> = () => this.place.store(),
    now: () => number = () => this.now_ms,
  ): UsageFolder {
    const { place } = this;
    const reached = { store, running: () => place.running(), kept_ms: place.kept_ms };
    const bounds = { node_id: "one", tenant_bytes: TENANT_BYTES };
    return new UsageFolder({ place: reached, ...bounds, log, now });
  }

  /** Folds until nothing is left to fold. */
  async foldAll(folder = this.folder()): Promise<void> {
    while (await folder.fold(this.tenant));
  }

  /** Folds with a store that fails in some operations. */
  async fail(broken: (store: BlockStore) => Partial<BlockStore>): Promise<void> {
    const folder = this.folder(async () => {
      const store = await this.place.store();
      const own = broken(store);
      return { ...bound(store), ...own };
    });
    await folder.fold(this.tenant).catch((error: unknown) => {
      assert.ok(error instanceof ArqonError && error.reason === "spine-unavailable", String(error));
    });
  }

  async read(by: readonly UsageBy[] = [], since_ms = 0, until_ms = Infinity) {
    return await readUsage({
      store: await this.place.store(),
      running: await this.place.running(),
      place: this.place,
      book: this.#book,
      now: () => this.now_ms,
      rows_max: 100_000,
      refuse: () => assert.fail("too many rows"),
      refuseBy: (finer, before_ms) => {
        throw new Error(`by ${finer} before ${before_ms}`);
      },
    }, { tenant: this.tenant, by, since_ms, until_ms });
  }

  /** Compares the ledger with the counts, summed by `about` and by the prices of each day. */
  async check(): Promise<void> {
    const { lists } = this.#book;
    const ways: [readonly UsageBy[], (one: Counted) => (string | number)[]][] = [
      [["room", "user", "policy", "node"], ({ node_id, row: { room, user, policy } }) => [
        ...[room, user, policy, node_id],
      ]],
      [["day"], ({ minute }) => [minute * MINUTE_MS - minute * MINUTE_MS % DAY_MS]],
    ];
    for (const [by, aboutOf] of ways) {
      const sums = new Map<string, Counts[]>();
      const all = lists.map(() => noCounts());
      for (const one of this.counted) {
        const about = JSON.stringify(aboutOf(one));
        const mine = sums.get(about) ?? lists.map(() => noCounts());
        sums.set(about, mine);
        const at = lists.findLastIndex(({ from_ms }) => from_ms <= one.minute * MINUTE_MS);
        for (const counts of [mine[at]!, all[at]!]) addCounts(counts, one.row.counts);
      }
      const bill = (counts: readonly Counts[]) => {
        const together = noCounts();
        for (const some of counts) addCounts(together, some);
        const cost = counts.reduce(
          (sum, some, at) => sum + costOf(amountsOf(some), lists[at]!.prices),
          0,
        );
        return { amounts: amountsOf(together), cost };
      };
      const { rows, total, cost, damaged } = await this.read(by);
      const found = rows.map(({ about, ...totals }) => [JSON.stringify(about), totals] as const);
      const expected = [...sums].map(([about, counts]) => [about, bill(counts)] as const);
      assert.deepEqual(new Map(found.toSorted()), new Map(expected.toSorted()));
      assert.deepEqual({ amounts: total, cost, damaged }, { ...bill(all), damaged: 0 });
    }
    await this.#checkBudgets();
  }

  async #checkBudgets(): Promise<void> {
    const now = new Date(this.now_ms);
    const begin_ms = Date.UTC(now.getUTCFullYear(), now.getUTCMonth());
    const end_ms = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1);
    // Blocks stored more than a day before the month by the store's clock are not searched.
    if (this.stored_since_ms < begin_ms - DAY_MS) return;
    const isIn = ({ minute }: { readonly minute: number }) =>
      minute * MINUTE_MS >= begin_ms && minute * MINUTE_MS < end_ms;
    const expected = this.counted.filter(isIn)
      .reduce((sum, { row }) => sum + row.counts.messages_in + row.counts.fuel_units, 0);
    for (const budget of [this.#budget, new TenantUsed(this.tenant, this.place)]) {
      const { month } = await budget.read(this.now_ms);
      const used = month.reduce(
        (sum, { counts }) => sum + counts.messages_in + counts.fuel_units,
        0,
      );
      assert.equal(used, expected);
    }
  }
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("count" as const),
      node_id: fc.constantFrom("one", "two"),
      life_ms: fc.constantFrom(1, 2),
      room: fc.constantFrom("*", "chat-*"),
      policy: fc.constantFrom("", "words"),
      amount: fc.integer({ min: 1, max: 9 }),
      skew: fc.constantFrom(0, 0, 0, -130, -3, 20),
      times: fc.constantFrom(1, 1, 2),
      is_left: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      minutes: fc.constantFrom(1, 13, 61, 190, 900, 2_000),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("fold" as const),
      how: fc.constantFrom("one", "both", "killed", "unheard", "while-read"),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("check" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer One> ? One : never;

async function fold(bench: Bench, how: string): Promise<void> {
  const once = () => bench.folder().fold(bench.tenant);
  if (how === "both") await Promise.all([once(), once(), once()]);
  else if (how === "while-read") await Promise.all([bench.check(), once()]);
  // Killed after the fold is stored, and before its blocks are removed.
  else if (how === "killed") await bench.fail(() => ({ remove: away }));
  else if (how === "unheard") {
    await bench.fail((store) => ({ append: (block) => store.append(block).then(away) }));
  } else await once();
}

async function play(bench: Bench, steps: readonly Step[]): Promise<void> {
  for (const one of steps) {
    if (one.do === "count") await bench.count(one);
    else if (one.do === "wait") bench.now_ms += one.minutes * MINUTE_MS;
    else if (one.do === "fold") await fold(bench, one.how);
    else await bench.check();
  }
  await bench.check();
  bench.now_ms += 4 * DAY_MS;
  await bench.foldAll();
  await bench.check();
}

Deno.test("folding: the usage is the same to the unit, whichever Shield folds and wherever it is killed", async () => {
  let at = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      let bench: Bench | undefined = undefined;
      const spine = openEmbedded({ log, now: () => bench?.now_ms ?? START_MS });
      await using _end = atEnd(() => spine.drain());
      bench = new Bench(spine, `acme-${at++}`, START_MS);
      await play(bench, steps);
      const { whole_since_ms } = await bench.read();
      assert.equal(whole_since_ms, bench.now_ms - 90 * DAY_MS);
    }),
    { numRuns: 60 },
  );
});

/** A bench on an engine in memory. */
async function onBench(
  run: (bench: Bench, spine: Spine) => Promise<void>,
  usage: object = {},
): Promise<void> {
  let bench: Bench | undefined = undefined;
  const spine = openEmbedded({ log, now: () => bench?.now_ms ?? START_MS });
  await using _end = atEnd(() => spine.drain());
  bench = new Bench(spine, "acme", START_MS, usage);
  await run(bench, spine);
}

/** Usage of each minute, folded each hour as a Shield does. */
async function live(bench: Bench, hours: number): Promise<void> {
  const folder = bench.folder();
  for (let minute = 0; minute < 60 * hours; minute++) {
    await bench.count({});
    bench.now_ms += MINUTE_MS;
    if (minute % 60 === 59) await bench.foldAll(folder);
  }
}

Deno.test("folding: usage by the minute or the hour names the time since which it is kept", async () => {
  await onBench(async (bench) => {
    await live(bench, 100);
    const { now_ms } = bench;
    const hour_ago = await bench.read(["minute"], now_ms - HOUR_MS);
    assert.equal(hour_ago.rows.length, 60);
    const days_ago = await bench.read(["hour"], now_ms - 48 * HOUR_MS);
    assert.equal(days_ago.rows.length, 49);
    assert.deepEqual(days_ago.since_ms, now_ms - 48 * HOUR_MS - now_ms % HOUR_MS);
    for (const [by, kept_ms] of [["minute", 2 * HOUR_MS], ["hour", 72 * HOUR_MS]] as const) {
      const refused = await bench.read(["room", by]).catch(String);
      const before_ms = Number(/before (\d+)/.exec(String(refused))?.[1]);
      assert.ok(before_ms <= now_ms && before_ms >= now_ms - kept_ms - MINUTE_MS, String(refused));
      const { rows } = await bench.read([by], before_ms);
      assert.ok(rows.length > 40, String(rows.length));
    }
    // A day counts as a whole: the answer has its period.
    const noon_ms = START_MS - START_MS % DAY_MS + 1.5 * DAY_MS;
    const { total, since_ms, until_ms } = await bench.read([], noon_ms, noon_ms + HOUR_MS);
    const day = [noon_ms - DAY_MS / 2, noon_ms + DAY_MS / 2];
    assert.deepEqual([total.messages_in, since_ms, until_ms], [1_440, ...day]);
  });
});

for (const bound of ["tenant_bytes", "log_bytes"]) {
  Deno.test(`folding: usage removed by ${bound} is reported, whether it was folded or not`, async () => {
    const few = { [bound]: bound === "log_bytes" ? 1_048_576 : 65_536 };
    await onBench(async (bench, spine) => {
      const store = await bench.place.store();
      const bounds = { tenant_id: "acme", node_id: "filler", ttl_seconds: 86_400 * 90 };
      // Another tenant uses almost all of the space, or this tenant's own blocks do.
      const payload = new Uint8Array(100_000);
      const others = { ...bounds, tenant_id: "other", payload, max_bytes: 1e9 };
      let partial = 0;
      for (let round = 0; round < 20; round++) {
        await live(bench, 6);
        if (bound === "log_bytes") { for (let at = 0; at < 3; at++) await store.append(others); }
        else await store.append({ ...bounds, payload: new Uint8Array(9), max_bytes: 20_000 });
        const { total, whole_since_ms } = await bench.read();
        const since = bench.counted.filter(({ minute }) => minute * MINUTE_MS >= whole_since_ms);
        const { total: whole } = await bench.read([], whole_since_ms);
        assert.ok(whole.messages_in >= since.length, `${whole.messages_in} of ${since.length}`);
        if (total.messages_in < bench.counted.length) partial++;
        const is_partial = whole_since_ms > START_MS;
        assert.equal(is_partial, total.messages_in < bench.counted.length);
      }
      assert.ok(partial > 0);
      await spine.blocks("usage", { max_bytes: 1e9, max_age_seconds: 1e6 });
    }, few);
  });
}

Deno.test("folding: a Shield folds each hour, also for tenants without new counts, and logs a failure once", async () => {
  await onBench(async (bench) => {
    const store = await bench.place.store();
    const blocks = async () => (await store.status("acme")).blocks;
    for (let minute = 0; minute < 30; minute++) {
      await bench.count({});
      bench.now_ms += MINUTE_MS;
    }
    const { log: loud, lines } = keptLog({
      level: "warn",
      component: "shield",
      now: () => bench.now_ms,
    });
    let is_away = true;
    const folder = new UsageFolder({
      place: {
        store: () => is_away ? away() : bench.place.store(),
        running: () => bench.place.running(),
        kept_ms: bench.place.kept_ms,
      },
      node_id: "two",
      tenant_bytes: TENANT_BYTES,
      log: loud,
      now: () => bench.now_ms,
    });
    const tick = async (wait_ms: number) => {
      bench.now_ms += wait_ms;
      folder.tick();
      await folder.idle();
    };
    bench.now_ms += 3 * HOUR_MS;
    await tick(0);
    await tick(MINUTE_MS);
    assert.deepEqual([folder.totals.failed, lines.length, await blocks()], [2, 1, 30]);
    is_away = false;
    await tick(MINUTE_MS);
    // The fold, and the newest minute.
    assert.deepEqual([folder.totals.blocks, folder.waiting, await blocks()], [29, 0, 2]);
    await bench.check();
    await folder.close();
  });
});

Deno.test("folding: an unreadable fold stops folding and is reported, and the rest is read", async () => {
  await onBench(async (bench) => {
    const store = await bench.place.store();
    for (let minute = 0; minute < 9; minute++) {
      await bench.count({});
      bench.now_ms += MINUTE_MS;
    }
    const bounds = { tenant_id: "acme", node_id: "+hour", ttl_seconds: 60 * 86_400 };
    await store.append({ ...bounds, payload: new Uint8Array(9), max_bytes: TENANT_BYTES });
    bench.now_ms += 3 * HOUR_MS;
    const folder = bench.folder();
    folder.tick();
    await folder.idle();
    const { total, damaged } = await bench.read();
    assert.deepEqual([folder.totals.failed, total.messages_in, damaged], [1, 9, 1]);
  });
});

Deno.test("folding: ten days of a tenant take less than 64 KiB, where their minutes take 3 MB", async () => {
  await onBench(async (bench) => {
    const store = await bench.place.store();
    await live(bench, 1);
    const minute_bytes = (await store.status("acme")).bytes / 60;
    assert.ok(14_400 * minute_bytes > 3e6, String(minute_bytes));
    await live(bench, 24 * 10);
    const { bytes } = await store.status("acme");
    assert.ok(bytes < 65_536, `${bytes} bytes`);
    await bench.check();
  });
});

Deno.test("folding: each minute counts once, however many are stored beside their fold, and the next fold removes them", async () => {
  await onBench(async (bench) => {
    for (let minute = 0; minute < 300; minute++) {
      await bench.count({});
      bench.now_ms += MINUTE_MS;
    }
    bench.now_ms += 3 * HOUR_MS;
    await bench.fail(() => ({ remove: away }));
    const store = await bench.place.store();
    assert.equal((await store.status("acme")).blocks, 301);
    await bench.check();
    await bench.foldAll();
    assert.equal((await store.status("acme")).blocks, 2);
    await bench.check();
  });
});

/** Minutes of the last half hour, and of a whole day before, half of it folded. */
async function halfFolded(bench: Bench): Promise<BlockStore> {
  for (const wait_ms of [12 * HOUR_MS, 12 * HOUR_MS, 0]) {
    for (let minute = 0; minute < 30; minute++) {
      await bench.count({});
      bench.now_ms += MINUTE_MS;
    }
    bench.now_ms += wait_ms;
    if (wait_ms > 0) await bench.foldAll();
  }
  return await bench.place.store();
}

for (const step_ms of [20_000, 2 * HOUR_MS, 3 * DAY_MS].flatMap((ms) => [-ms, ms])) {
  Deno.test(`folding: a Shield whose clock is off by ${step_ms} ms folds by that of the store, and loses nothing`, async () => {
    await onBench(async (bench) => {
      const store = await halfFolded(bench);
      const { blocks } = await store.status("acme");
      const other = overriding(store, { aheadMs: () => Promise.resolve(-step_ms) });
      const folder = bench.folder(() => Promise.resolve(other), () => bench.now_ms + step_ms);
      await bench.foldAll(folder);
      assert.equal((await store.status("acme")).blocks, blocks);
      bench.now_ms += 6 * HOUR_MS;
      await bench.foldAll(folder);
      await bench.check();
    }, { retention_days: 2 });
  });
}

Deno.test("folding: nothing is folded while the clock of the store is behind its newest block, and nothing lost", async () => {
  await onBench(async (bench) => {
    const store = await halfFolded(bench);
    const { blocks } = await store.status("acme");
    const right_ms = bench.now_ms;
    // As a machine without a clock of its own begins.
    bench.now_ms = Date.UTC(1970, 0, 2);
    await bench.foldAll();
    bench.now_ms = right_ms + 1_000;
    assert.equal((await store.status("acme")).blocks, blocks);
    await bench.check();
    // What was stored while the clock was ahead holds nothing up once it is right.
    bench.now_ms += 100 * DAY_MS;
    await bench.count({ node_id: "two" });
    bench.now_ms = right_ms + HOUR_MS;
    await bench.count({});
    bench.now_ms += 4 * HOUR_MS;
    await bench.count({});
    await bench.foldAll();
    assert.ok((await store.status("acme")).blocks < blocks);
    await bench.check();
  });
});

Deno.test("folding: blocks that are folded while they are read are read again", async () => {
  await onBench(async (bench) => {
    for (let minute = 0; minute < 1_200; minute++) {
      await bench.count({ node_id: minute % 2 === 0 ? "one" : "two" });
      bench.now_ms += MINUTE_MS;
    }
    bench.now_ms += 3 * HOUR_MS;
    const store = await bench.place.store();
    let pages = 0;
    bench.place.store = () =>
      Promise.resolve({
        ...bound(store),
        read: async (options) => {
          const page = await store.read(options);
          if (++pages === 1) await bench.foldAll(bench.folder(() => Promise.resolve(store)));
          return page;
        },
      });
    assert.equal((await bench.read()).total.messages_in, 1_200);
  });
});
