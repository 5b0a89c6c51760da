/** Counts are read back from the minutes, however they are cut, written twice, or lost with a Shield. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import fc from "fast-check";
import { configFrom } from "../../shared/config/load.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import type { BlockAppend, BlockStore } from "../../shared/spine/contract/block_store.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { Lives } from "../../shared/lives/lives.ts";
import { OwnLife } from "../../shared/lives/own_life.ts";
import { until } from "../../shared/testing/until.ts";
import { UNITS_PER_FUEL } from "../../wasm/metering/meter_costs.ts";
import type { UsedCounts } from "../../shared/usage/budget.ts";
import { TenantUsed } from "../../shared/usage/budget_used.ts";
import { UsageLedger } from "./ledger.ts";
import { decodeMinute, encodeMinute } from "../../shared/usage/minute.ts";
import { UsageStores } from "../../shared/usage/usage_stores.ts";
import { readUsage, type UsageBy } from "./read.ts";
import { COUNTERS, type Counts, noCounts } from "../../shared/records/counts.ts";
import { amountsOf } from "../../shared/usage/units.ts";
import { OTHERS } from "../../shared/records/user_use.ts";
import { UsageWriter } from "../../shared/usage/writer.ts";

const MINUTE_MS = 60_000;
const FLUSH_MS = 5_000;
/** Long, so that only a store that recovers in time can end it. */
const CLOSE_MS = 600_000;
const START_MS = 1_700_000_040_000;
const log = QUIET;
const USAGE = { enabled: true, user_claim: "plan", flush_ms: FLUSH_MS };
const identity = (tenant_id: string, plan: string) => ({ tenant_id, claims: { plan } });

/** A bus with a stopped clock, and Shields that count on it. */
async function onBus(
  run: (bus: Bus) => Promise<void>,
  { tenant_bytes = 1e9, ...usage }: { log_bytes?: number; tenant_bytes?: number } = {},
): Promise<void> {
  const clock = { now_ms: START_MS, ahead_ms: 0 };
  const now = () => clock.now_ms;
  const monotonic_ms = () => clock.now_ms - clock.ahead_ms;
  const spine = openEmbedded({ log, now });
  const all: OwnLife[] = [];
  try {
    const lives = new Lives(spine);
    const config = { usage: { ...configFrom({ usage: USAGE }).usage, ...usage } };
    const place = new UsageStores({ config, spine, lives });
    await run({
      clock,
      place,
      shield: (node_id, rows_max = 1_024) => {
        const ledger = new UsageLedger({ user_claim: "plan", rows_max, monotonic_ms: now });
        const bounds = { retention_seconds: 86_400 * 90, tenant_bytes, queue_bytes: 1e9 };
        const life = new OwnLife({ lives, node_id, kept_ms: 1e12, log, now, monotonic_ms: now });
        all.push(life);
        const own = { ledger, place, node_id, life, flush_ms: FLUSH_MS, log, now, monotonic_ms };
        return { ledger, life, writer: new UsageWriter({ ...own, ...bounds }) };
      },
      read: async (tenant, by = [], since_ms = 0) =>
        await readUsage({
          store: await place.store(),
          running: await place.running(),
          place,
          book: { lists: [], replaced: [] },
          now,
          rows_max: 1_000,
          refuse: () => assert.fail("too many rows"),
          refuseBy: () => assert.fail("nothing is folded"),
        }, { tenant, by, since_ms, until_ms: Infinity }),
    });
  } finally {
    for (const life of all) life.stop();
    await spine.drain();
  }
}

interface Counting {
  readonly ledger: UsageLedger;
  readonly life: OwnLife;
  readonly writer: UsageWriter;
}

interface Bus {
  /** The wall clock; it is ahead of the monotonic one by so much. */
  readonly clock: { now_ms: number; ahead_ms: number };
  readonly place: UsageStores;
  readonly shield: (node_id: string, rows_max?: number) => Counting;
  readonly read: (
    tenant: string,
    by?: readonly UsageBy[],
    since_ms?: number,
  ) => ReturnType<typeof readUsage>;
}

/** Writes everything that is due, and waits for it. */
async function flushed({ writer, life }: Omit<Counting, "ledger">): Promise<void> {
  writer.tick();
  await writer.idle();
  await life.idle();
}

/** The messages of a month. */
const monthOf = ({ month }: UsedCounts): number =>
  month.reduce((sum, { counts }) => sum + counts.messages_in, 0);

/** Ends a Shield regularly. */
async function ended({ writer, life }: Omit<Counting, "ledger">): Promise<void> {
  await writer.close(CLOSE_MS);
  await life.end();
}

Deno.test("usage: a minute is read as it was written", () => {
  const counts = fc.array(fc.nat(), { minLength: COUNTERS.length, maxLength: COUNTERS.length })
    .map((all) => Object.fromEntries(COUNTERS.map((name, at) => [name, all[at]!])) as Counts);
  const text = fc.string({ maxLength: 64 });
  const row = fc.record({ room: text, user: text, policy: text, counts }, {
    noNullPrototype: true,
  });
  const minute = fc.record({
    life_ms: fc.nat(),
    seq: fc.nat(),
    minute: fc.nat(),
    until_ms: fc.nat(),
    rows: fc.array(row, { maxLength: 5 }),
  }, { noNullPrototype: true });
  fc.assert(fc.property(minute, (one) => {
    assert.deepEqual(decodeMinute(encodeMinute(one)), one);
  }));
  for (
    const broken of ["", "{}", '{"v":1,"life":0,"minute":0,"until":0,"rows":[["a"]]}']
  ) {
    assert.equal(decodeMinute(new TextEncoder().encode(broken)), undefined);
  }
  const newer = new TextEncoder().encode('{"v":2}');
  assert.throws(() => decodeMinute(newer), { reason: "incompatible-version" });
});

Deno.test("usage: sums over Shields, minutes and classes equal the counts", async () => {
  const step = fc.record({
    shield: fc.constantFrom(0, 1),
    tenant: fc.constantFrom("acme", "beta"),
    plan: fc.constantFrom("free", "pro"),
    pattern: fc.constantFrom("", "chat-*"),
    bytes: fc.nat(1_000),
    fuel: fc.nat(50),
    wait_ms: fc.constantFrom(0, 10, 4_000, 70_000),
    flush: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      await onBus(async ({ clock, shield, read }) => {
        const shields = [shield("one"), shield("two")];
        const expected = new Map<string, { messages_in: number; bytes_in: number; fuel: number }>();
        for (const { tenant, plan, pattern, bytes, fuel, wait_ms, flush, ...one } of steps) {
          const one_shield = shields[one.shield]!;
          const { ledger } = one_shield;
          ledger.taken(identity(tenant, plan), pattern, bytes);
          const outcome = { name: "words", fuel } as Parameters<UsageLedger["judged"]>[2][number];
          ledger.judged(identity(tenant, plan), pattern, [outcome]);
          const key = JSON.stringify([tenant, pattern === "" ? "*" : pattern, plan]);
          const sum = expected.get(key) ?? { messages_in: 0, bytes_in: 0, fuel: 0 };
          expected.set(key, {
            messages_in: sum.messages_in + 1,
            bytes_in: sum.bytes_in + bytes,
            fuel: sum.fuel + fuel,
          });
          clock.now_ms += wait_ms;
          if (flush) await flushed(one_shield);
        }
        for (const each of shields) await flushed(each);
        // A finished minute is written as a block; its earlier state does not count again.
        clock.now_ms += MINUTE_MS;
        await flushed(shields[0]!);
        await ended(shields[1]!);
        const found = new Map<string, unknown>();
        for (const tenant of ["acme", "beta"]) {
          const { rows, lost, damaged } = await read(tenant, ["room", "user"]);
          assert.deepEqual({ lost, damaged }, { lost: [], damaged: 0 });
          for (const { about, amounts: { messages_in, bytes_in, fuel } } of rows) {
            found.set(JSON.stringify([tenant, ...about]), { messages_in, bytes_in, fuel });
          }
        }
        assert.deepEqual(new Map([...found].toSorted()), new Map([...expected].toSorted()));
      });
    }),
    { numRuns: 60 },
  );
});

Deno.test("usage: a killed Shield loses what it had not written, and the answer reports it", async () => {
  await onBus(async ({ clock, shield, read }) => {
    const killed = shield("killed");
    const other = shield("other");
    const who = identity("acme", "free");
    killed.ledger.taken(who, "", 10);
    await flushed(killed);
    const written_ms = clock.now_ms;
    clock.now_ms += 1_000;
    killed.ledger.taken(who, "", 10);
    other.ledger.taken(who, "", 10);
    await flushed(other);
    const alive = await read("acme");
    assert.deepEqual([alive.total.messages_in, alive.lost], [2, []]);
    // It sends nothing, while the other one continues and then ends in order.
    clock.now_ms += 30_000;
    await flushed(other);
    await ended(other);
    const { total, lost } = await read("acme", ["node"]);
    assert.equal(total.messages_in, 2);
    assert.deepEqual(lost, [{ node_id: "killed", after_ms: written_ms, most_ms: 2 * FLUSH_MS }]);
    // A new incarnation under the same name is another one.
    const again = shield("killed");
    again.ledger.taken(who, "", 10);
    await flushed(again);
    assert.equal((await read("acme")).total.messages_in, 3);
    await ended(again);
    assert.equal((await read("acme")).total.messages_in, 3);
  });
});

Deno.test("usage: counts that a briefly unavailable store refuses at the end are written, and nothing is lost", async () => {
  await onBus(async ({ clock, place, shield, read }) => {
    const one = shield("one");
    one.writer.start();
    one.ledger.taken(identity("acme", "pro"), "", 10);
    const open = place.store.bind(place);
    let refusals = 3;
    place.store = () =>
      refusals-- > 0 ? Promise.reject(new ArqonError("spine-unavailable", "away")) : open();
    await ended(one);
    clock.now_ms += MINUTE_MS;
    const { total, lost } = await read("acme");
    assert.deepEqual([total.messages_in, lost], [1, []]);
  });
});

Deno.test("usage: while finished minutes wait for a slow store, the running one is written, and nothing is lost with the Shield", async () => {
  await onBus(async ({ clock, place, shield, read }) => {
    const one = shield("one");
    const who = identity("acme", "pro");
    one.ledger.taken(who, "", 10);
    await flushed(one);
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    const open = place.store.bind(place);
    const store = await open();
    const slow = {
      append: (block: BlockAppend) => answered.then(() => store.append(block)),
      read: store.read.bind(store),
      newest: store.newest.bind(store),
      status: store.status.bind(store),
      room: store.room.bind(store),
      aheadMs: store.aheadMs.bind(store),
    };
    place.store = () => Promise.resolve(slow as Partial<BlockStore> as BlockStore);
    const there = async () => (await read("acme")).total.messages_in;
    for (const wanted of [2, 3]) {
      const waiting_bytes = one.writer.waiting_bytes;
      clock.now_ms += MINUTE_MS;
      await until("the minute waits for its store", () => {
        one.writer.tick();
        return one.writer.waiting_bytes > waiting_bytes;
      });
      one.ledger.taken(who, "", 10);
      await until(`${wanted} are stored`, async () => {
        one.writer.tick();
        return await there() === wanted;
      });
    }
    answer();
    await flushed(one);
    assert.equal(await there(), 3);
    await ended(one);
    assert.equal(await there(), 3);
    const bucket = await place.running();
    assert.deepEqual(await bucket.keys(["minute"]), []);
  });
});

Deno.test("usage: counts that no store has taken by the end are reported as lost", async () => {
  await onBus(async ({ clock, place, shield, read }) => {
    const one = shield("one");
    one.writer.start();
    one.ledger.taken(identity("acme", "pro"), "", 10);
    const open = place.store.bind(place);
    place.store = () => Promise.reject(new ArqonError("spine-unavailable", "away"));
    await one.writer.close(1);
    await one.life.end();
    place.store = open;
    clock.now_ms += MINUTE_MS;
    const { total, lost } = await read("acme");
    assert.deepEqual([total.messages_in, lost.map(({ node_id }) => node_id)], [0, ["one"]]);
  });
});

Deno.test("usage: a minute is stored completely, however many rows with long names a tenant has, and so are the minutes of others", async () => {
  await onBus(async ({ clock, shield, read }) => {
    const one = shield("one", 4_096);
    const big = 999_999_999_999;
    for (let at = 0; at < 4_500; at++) {
      const pattern = `${at}-${"n".repeat(100)}`;
      const who = identity("acme", `${at % 100}-${"\u0001".repeat(60)}`);
      one.ledger.taken(who, pattern, big, big);
      one.ledger.judged(
        who,
        pattern,
        ["a", "b"].map((name) => ({ name: name.repeat(64), fuel: 7 } as never)),
      );
    }
    one.ledger.taken(identity("beta", "pro"), "", 10);
    await flushed(one);
    assert.equal((await read("acme")).total.messages_in, 4_500);
    assert.equal((await read("beta")).total.messages_in, 1);
    clock.now_ms += MINUTE_MS;
    await flushed(one);
    assert.deepEqual([one.writer.waiting_bytes, one.writer.totals.lost], [0, 0]);
    const { total } = await read("acme");
    assert.deepEqual([total.messages_in, total.fuel], [4_500, 2 * 7 * 4_500]);
  });
});

Deno.test("usage: a block that is stored twice counts once", async () => {
  await onBus(async ({ place, read }) => {
    const store = await place.store();
    const rows = [{ room: "*", user: "", policy: "", counts: { ...noCounts(), messages_in: 4 } }];
    const minute = { life_ms: 1, seq: 0, minute: START_MS / MINUTE_MS, rows };
    const bounds = { tenant_id: "acme", node_id: "one", ttl_seconds: 60, max_bytes: 65_536 };
    const payload = encodeMinute({ ...minute, until_ms: START_MS + MINUTE_MS });
    for (let time = 0; time < 3; time++) await store.append({ ...bounds, payload });
    await store.append({ ...bounds, payload: new Uint8Array(9) });
    const { total, damaged } = await read("acme");
    assert.deepEqual([total.messages_in, damaged], [4, 1]);
  });
});

for (const step_s of [2, 20, 7_200].flatMap((size_s) => [-size_s, size_s])) {
  Deno.test(`usage: a wall clock set by ${step_s} s, and back, loses no count and repeats none`, async () => {
    await onBus(async ({ clock, place, shield, read }) => {
      const one = shield("one");
      const who = identity("acme", "pro");
      const budget = new TenantUsed("acme", place);
      let counted = 0;
      const count = async (wait_ms: number) => {
        one.ledger.taken(who, "", 10);
        counted++;
        clock.now_ms += wait_ms;
        await flushed(one);
        const { total, lost, damaged } = await read("acme", [], START_MS - 8_000_000);
        assert.deepEqual([total.messages_in, lost, damaged], [counted, [], 0]);
        assert.equal(monthOf(await budget.read(clock.now_ms)), counted);
      };
      for (let round = 0; round < 4; round++) {
        // Across the end of a minute, and within one.
        for (const wait_ms of [59_000, 1_500, 10]) await count(wait_ms);
        clock.now_ms += (round % 2 === 0 ? 1 : -1) * step_s * 1_000;
        await count(0);
      }
      await ended(one);
      assert.equal((await read("acme")).total.messages_in, counted);
    });
  });
}

Deno.test("usage: a Shield whose clock is ahead by years removes nobody's running minute", async () => {
  await onBus(async ({ clock, place, shield, read }) => {
    const killed = shield("killed");
    const other = shield("other");
    killed.ledger.taken(identity("acme", "pro"), "", 10);
    await flushed(killed);
    const setAhead = (ms: number) => {
      clock.now_ms += ms - clock.ahead_ms;
      clock.ahead_ms = ms;
    };
    setAhead(1_000 * 86_400_000);
    await flushed(other);
    clock.now_ms += 1_800_000;
    await flushed(other);
    setAhead(0);
    await flushed(other);
    assert.equal((await read("acme")).total.messages_in, 1);
    // By a clock that is right it goes after its time, also beside one that cannot be read.
    await (await place.running()).put(["minute", "acme", "torn", "1", "1"], new Uint8Array(1));
    clock.now_ms += 91 * 86_400_000;
    await flushed(other);
    assert.deepEqual(await (await place.running()).keys(["minute"]), []);
  });
});

Deno.test("usage: minutes are asked for by their own time, not by when their store took them", async () => {
  await onBus(async ({ clock, shield, read }) => {
    const one = shield("one");
    const who = identity("acme", "pro");
    one.ledger.taken(who, "", 10);
    await flushed(one);
    // Its minute is that of START_MS; the store stores it at a time two hours earlier.
    clock.now_ms -= 7_200_000;
    await flushed(one);
    assert.equal((await read("acme", [], START_MS)).total.messages_in, 1);
  });
});

Deno.test("usage: a clock set back into the previous month finds the usage of that month", async () => {
  await onBus(async ({ clock, place, shield }) => {
    const one = shield("one");
    const budget = new TenantUsed("acme", place);
    clock.now_ms = Date.UTC(2026, 1, 28, 23, 30);
    await flushed(one);
    one.ledger.taken(identity("acme", "pro"), "", 10);
    await flushed(one);
    clock.now_ms += 3_600_000;
    await flushed(one);
    assert.equal(monthOf(await budget.read(clock.now_ms)), 0);
    one.ledger.taken(identity("acme", "pro"), "", 10);
    await flushed(one);
    assert.equal(monthOf(await budget.read(clock.now_ms)), 1);
    // What was counted in the next month by the clock that was ahead is not used in this one.
    clock.now_ms -= 3_600_000;
    assert.equal(monthOf(await budget.read(clock.now_ms)), 1);
  });
});

Deno.test("usage: what a killed Shield has left of an erased tenant does not count", async () => {
  await onBus(async ({ clock, place, shield, read }) => {
    const killed = shield("killed");
    const budget = new TenantUsed("acme", place);
    for (const tenant of ["acme", "other"]) killed.ledger.taken(identity(tenant, "pro"), "", 10);
    await flushed(killed);
    assert.equal(monthOf(await budget.read(clock.now_ms)), 1);
    await (await place.store()).purge("acme");
    await place.eraseRunning("acme", clock.now_ms);
    assert.equal(monthOf(await budget.read(clock.now_ms)), 0);
    assert.equal((await read("acme")).total.messages_in, 0);
    assert.equal((await read("other")).total.messages_in, 1);
  });
});

Deno.test("usage: a budget counts the use in a recreated or restored store, for any cursors", async () => {
  await onBus(async ({ clock, place }) => {
    const open = async () => {
      const spine = openEmbedded({ log, now: () => clock.now_ms });
      const store = await spine.blocks("usage", { max_bytes: 1e9, max_age_seconds: 86_400 });
      return { store, [Symbol.asyncDispose]: () => spine.drain() };
    };
    await using whole = await open();
    await using restored = await open();
    await using anew = await open();
    let now = whole.store;
    const budget = new TenantUsed("acme", overriding(place, { store: () => Promise.resolve(now) }));
    const used = async (store: BlockStore) => {
      now = store;
      return monthOf(await budget.read(clock.now_ms));
    };
    let seq = 0;
    const append = async (store: BlockStore, tenant_id: string, messages_in: number) => {
      clock.now_ms += 1_000;
      const minute = Math.floor(clock.now_ms / MINUTE_MS);
      const until_ms = clock.now_ms;
      const rows = [{ room: "*", user: "", policy: "", counts: { ...noCounts(), messages_in } }];
      const payload = encodeMinute({ life_ms: 1, seq: seq++, minute, until_ms, rows });
      const bounds = { node_id: "one", ttl_seconds: 86_400, max_bytes: 65_536 };
      await store.append({ ...bounds, tenant_id, payload });
    };
    for (const messages of [1, 2, 4]) await append(whole.store, "acme", messages);
    assert.equal(await used(whole.store), 7);
    // A backup has the first minute; what follows has the cursors of what it lacks.
    await append(restored.store, "acme", 1);
    await append(restored.store, "acme", 8);
    assert.equal(await used(restored.store), 9);
    await append(restored.store, "acme", 16);
    assert.equal(await used(restored.store), 25);
    // It has grown beyond the last block that was read, whose cursor is another tenant's.
    await append(anew.store, "acme", 32);
    for (const tenant of ["globex", "globex", "acme"]) await append(anew.store, tenant, 64);
    assert.equal(await used(anew.store), 96);
    await append(anew.store, "acme", 128);
    assert.equal(await used(anew.store), 224);
  });
});

for (const bound of ["tenant_bytes", "log_bytes"]) {
  Deno.test(`usage: usage that the ledger drops by ${bound} is reported, with the time since which it is complete`, async () => {
    await onBus(async ({ clock, shield, read }) => {
      const one = shield("one");
      const who = identity("acme", "pro");
      for (let minute = 0; minute < 1_000; minute++) {
        one.ledger.taken(who, "", 10);
        clock.now_ms += MINUTE_MS;
        await flushed(one);
        if (minute !== 10) continue;
        const { total, whole_since_ms } = await read("acme", [], START_MS);
        assert.deepEqual([total.messages_in, whole_since_ms], [11, START_MS]);
      }
      const all = await read("acme", [], START_MS);
      assert.ok(all.total.messages_in < 1_000 && all.whole_since_ms > START_MS);
      const whole = await read("acme", [], all.whole_since_ms);
      const minutes = (clock.now_ms - all.whole_since_ms) / MINUTE_MS;
      assert.equal(whole.total.messages_in, Math.ceil(minutes));
      assert.equal(whole.whole_since_ms, all.whole_since_ms);
      // It was reported before, as the used part of its limit.
      const { all: all_ratio, tenant } = one.writer.fill.ratios;
      const ratio = bound === "log_bytes" ? all_ratio : tenant;
      assert.ok(ratio > 0.8 && ratio <= 1, String(ratio));
    }, { [bound]: 65_536 });
  });
}

Deno.test("usage: nothing is said to be whole from before it is kept, by the store's clock", async () => {
  await onBus(async ({ clock, place, read }) => {
    const store = await place.store();
    for (const days of [0, 3]) {
      const ahead_ms = days * 86_400_000;
      place.store = () =>
        Promise.resolve(overriding(store, { aheadMs: () => Promise.resolve(ahead_ms) }));
      const { whole_since_ms } = await read("acme");
      assert.equal(whole_since_ms, clock.now_ms + ahead_ms - 90 * 86_400_000);
    }
  });
});

Deno.test("usage: connection time is counted until the end of the connection, across minutes", async () => {
  await onBus(async ({ clock, shield, read }) => {
    const one = shield("one");
    const { ledger } = one;
    const use = ledger.of(identity("acme", "pro"));
    ledger.connected(use, 1);
    clock.now_ms += 30_000;
    ledger.connected(use, 1);
    for (let minute = 0; minute < 3; minute++) {
      clock.now_ms += MINUTE_MS;
      await flushed(one);
    }
    ledger.connected(use, -1);
    ledger.connected(use, -1);
    clock.now_ms += 10 * MINUTE_MS;
    await flushed(one);
    const { rows } = await read("acme", ["user"]);
    assert.deepEqual(rows.map(({ about, amounts }) => [...about, amounts.connection_minutes]), [
      ["pro", 0.5 + 3 * 2],
    ]);
    await ended(one);
  });
});

Deno.test("usage: rows and classes of users are limited, and nothing beyond the limits is lost", () => {
  const ledger = new UsageLedger({ user_claim: "plan", rows_max: 8, monotonic_ms: () => START_MS });
  for (let at = 0; at < 500; at++) {
    ledger.taken(identity("acme", `plan-${at % 100}`), `room-${at}-*`, 1);
  }
  const [first] = [...ledger.take(true)];
  const rows = first?.rows ?? [];
  const sum = rows.reduce((all, { counts }) => all + counts.messages_in, 0);
  assert.equal(sum, 500);
  assert.ok(rows.length <= 8 + 65, String(rows.length));
  assert.ok(rows.some(({ room, user }) => room === OTHERS && user === OTHERS));
  assert.deepEqual([...ledger.take(false)], []);
  assert.equal(ledger.tenants, 0);
});

Deno.test("usage: amounts have the documented units", () => {
  const { connection_minutes, fuel } = amountsOf({
    ...noCounts(),
    connection_ms: 90_000,
    fuel_units: 1.5 * UNITS_PER_FUEL,
  });
  assert.deepEqual([connection_minutes, fuel], [1.5, 1.5]);
});

Deno.test("usage: what a deleted tenant has used is not written back, and its successor's is", () =>
  onBus(async ({ clock, place, shield, read }) => {
    const one = shield("shield-1");
    const use = async (messages: number) => {
      for (let n = 0; n < messages; n++) one.ledger.taken(identity("acme", "a"), "*", 10);
      clock.now_ms += FLUSH_MS;
      await flushed(one);
    };
    const messages = async () => (await read("acme")).total.messages_in;
    one.writer.start();
    // A stored minute, a running one, and what is counted since.
    await use(1);
    clock.now_ms += MINUTE_MS;
    await use(2);
    one.ledger.taken(identity("acme", "a"), "*", 10);
    assert.equal(await messages(), 3);
    await (await place.store()).purge("acme");
    await place.eraseRunning("acme", clock.now_ms);
    await one.writer.forget("acme");
    clock.now_ms += FLUSH_MS;
    await flushed(one);
    assert.equal(await messages(), 0);
    await use(4);
    assert.equal(await messages(), 4);
    clock.now_ms += MINUTE_MS;
    await ended(one);
    assert.equal(await messages(), 4);
  }));
