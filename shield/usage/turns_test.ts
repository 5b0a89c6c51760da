/** Usage of many tenants, and of many minutes, is written and read in turns with other work. */
import assert from "node:assert/strict";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { atEnd } from "../../shared/testing/at_end.ts";
import { QUIET } from "../../shared/testing/logs.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { TenantUsed } from "../../shared/usage/budget_used.ts";
import { encodeMinute } from "../../shared/usage/minute.ts";
import type { UsageStores } from "../../shared/usage/usage_stores.ts";
import { UsageWriter } from "../../shared/usage/writer.ts";
import { noCounts } from "../../shared/records/counts.ts";
import { UsageFolder } from "./folder.ts";
import { UsageLedger } from "./ledger.ts";
import { readUsage } from "./read.ts";

const START_MS = 1_700_000_040_000;
const MINUTE_MS = 60_000;

/** A bus with the stores of usage, whose clock the test sets. */
async function onBus(
  run: (place: UsageStores, clock: { now_ms: number }) => Promise<void>,
): Promise<void> {
  const clock = { now_ms: START_MS };
  const spine = openEmbedded({ log: QUIET, now: () => clock.now_ms });
  const bounds = { max_bytes: 1e9, max_age_seconds: 1e9 };
  const place: Pick<UsageStores, "store" | "running" | "losses" | "flush_ms" | "kept_ms"> = {
    store: () => spine.blocks("usage", bounds),
    running: () => spine.keyValue("ARQON_USAGE"),
    losses: () => Promise.resolve([]),
    flush_ms: 5_000,
    kept_ms: 1e12,
  };
  await using _end = atEnd(() => spine.drain());
  await run(place as UsageStores, clock);
}

/** A minute with that many rows, each of another class of rooms. */
const minuteOf = (at: number, rows: number, life_ms = START_MS) =>
  encodeMinute({
    life_ms,
    seq: at,
    minute: START_MS / MINUTE_MS + at,
    until_ms: START_MS,
    rows: Array.from({ length: rows }, (_, row) => ({
      room: `room-${row}-*`,
      user: "",
      policy: "",
      counts: { ...noCounts(), messages_in: 1 },
    })),
  });

Deno.test("usage: many minutes are read, counted for budgets and folded in turns with other work", () =>
  onBus(async (place, clock) => {
    const store = await place.store();
    const running = await place.running();
    const bounds = { tenant_id: "acme", node_id: "s1", ttl_seconds: 1e9, max_bytes: 1e9 };
    for (let at = 0; at < 50; at++) await store.append({ ...bounds, payload: minuteOf(at, 20) });
    for (let at = 0; at < 50; at++) {
      await running.put(["minute", "acme", `s${at}`, `${START_MS}`, "0"], minuteOf(0, 1, at));
    }
    clock.now_ms += 86_400_000;
    const now = () => clock.now_ms;
    const book = { lists: [], replaced: [] };
    const refusals = { refuse: assert.fail, refuseBy: assert.fail };
    const source = { store, running, place, book, now, rows_max: 10_000, ...refusals };
    const request = { tenant: "acme", since_ms: 0, until_ms: Infinity };
    const by_minute = { ...request, by: ["room", "minute"] as const };
    const read = await turnsDuring(() => readUsage(source, by_minute));
    assert.equal(read.value.rows.length, 1_000);
    assert.equal(read.value.total.messages_in, 1_050);
    assert(read.turns >= 110, `${read.turns} turns`);
    const used = await turnsDuring(() => new TenantUsed("acme", place).read(START_MS));
    assert(used.turns >= 100, `${used.turns} turns`);
    const folder = { place, node_id: "s1", tenant_bytes: 1e9, log: QUIET, now };
    const folded = await turnsDuring(() => new UsageFolder(folder).fold("acme"));
    assert(folded.turns >= 49, `${folded.turns} turns`);
  }));

Deno.test("usage: many tenants are written in turns with other work, and counts that arrive meanwhile count once", () =>
  onBus(async (place, clock) => {
    const ledger = new UsageLedger({ user_claim: undefined, rows_max: 64, monotonic_ms: () => 0 });
    const take = (tenant_id: string) => ledger.taken({ tenant_id, claims: {} }, "*", 1);
    const all = Array.from({ length: 1_000 }, (_, at) => `t${at}`);
    const writer = new UsageWriter({
      ledger,
      place,
      node_id: "s1",
      flush_ms: 5_000,
      retention_seconds: 1e9,
      log: QUIET,
      tenant_bytes: 1e9,
      queue_bytes: 1e9,
      now: () => clock.now_ms,
      monotonic_ms: () => 0,
      life: { began_ms: START_MS, begin: () => ({ mark: () => {}, end: () => {} }) },
    });
    const written = async (meanwhile: () => void) => {
      const { turns } = await turnsDuring(async () => {
        writer.tick();
        setImmediate(meanwhile);
        await writer.idle();
      });
      return turns;
    };
    all.forEach(take);
    const again = () => all.forEach(take);
    assert(await written(again) >= 100);
    clock.now_ms += MINUTE_MS;
    assert(await written(again) >= 100);
    clock.now_ms += MINUTE_MS;
    // Counts that arrived during the write are in that minute or in the next one.
    await written(() => {});
    for (const tenant_id of ["t0", "t500", "t999"]) {
      const month = (await new TenantUsed(tenant_id, place).read(clock.now_ms)).month;
      assert.equal(month.reduce((sum, { counts }) => sum + counts.messages_in, 0), 3, tenant_id);
    }
  }));
