/** When an abandoned message is ended: by a Shield's own observation, for any clock. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { Registry } from "../../shared/metrics/metrics.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { standsStill, until } from "../../shared/testing/until.ts";
import { LIMITS, testPath } from "../message/testing/path.ts";
import { keptLog, SPINE_NOW_MS } from "../testing/spine.ts";
import type { GrowingContext } from "./places.ts";
import type { GrowingRecord } from "./record.ts";
import { GrowingRecords } from "./records.ts";
import { growingStats } from "./stats.ts";
import { GrowingSweep } from "./start.ts";
import { NO_POLICIES } from "../message/gates.ts";

const HOUR_MS = 3_600_000;
const IDLE_MS = 60_000;
const RECORD: Omit<GrowingRecord, "started_ms" | "active_ms" | "text" | "ending"> = {
  format: 1,
  type: "answer",
  content_type: "text/plain",
  seq: 0,
  producer: { user_id: "ann", user_key: "k", issuer: "i", role: "user" },
};
const KEY = { tenant_id: "acme", room_id: "lobby", id: "a1" };

/** The dependencies of sweeps on one Spine; `log_ms` is the time of its logs. */
function world(test: ReturnType<typeof testPath>, now: () => number, log_ms: () => number) {
  const records = new GrowingRecords(test.spine);
  const registry = new Registry();
  const context = {
    path: { ...test.path, now },
    limits: LIMITS,
    logs: { of: () => Promise.reject(new ArqonError("log-unavailable", "nothing is stored")) },
    logTime: () => Promise.resolve(log_ms()),
    records,
    stats: growingStats(registry),
    overseer: NO_POLICIES,
    bounds: () => ({
      message_bytes: 1_000,
      pieces: 10,
      held_bytes: 0,
      room_messages: 10,
      tenant_messages: 10,
      idle_ms: IDLE_MS,
    }),
  };
  return { records, registry, context };
}

const sweepOf = (context: GrowingContext, log = keptLog().log, monotonic_ms = () => 0) =>
  new GrowingSweep(context, { log, isNeeded: () => false, left_ms: 0, monotonic_ms });

const STEPS = [-2 * HOUR_MS, -20_000, -2_000, 0, 2_000, 20_000, 2 * HOUR_MS];
for (const step_ms of STEPS) {
  Deno.test(`a growing message is ended when it is idle, not before: the log's clock jumps by ${step_ms} ms`, async () => {
    await using test = testPath();
    let log_ms = SPINE_NOW_MS;
    let passed_ms = 0;
    const { records, context } = world(test, () => log_ms, () => log_ms);
    const sweep = sweepOf(context, keptLog().log, () => passed_ms);
    const pass = async (ms: number) => {
      passed_ms += ms;
      log_ms += ms;
      await sweep.pass();
      return await records.get(KEY) !== undefined;
    };
    const at = { started_ms: log_ms, active_ms: log_ms, ending: null };
    await records.change(KEY, () => Promise.resolve({ ...RECORD, ...at, text: "" }));
    assert.equal(await pass(0), true);
    assert.equal(await pass(IDLE_MS - 8_000), true);
    await records.change(KEY, (found) => Promise.resolve({ ...found!.record, active_ms: log_ms }));
    log_ms += step_ms;
    assert.equal(await pass(8_000), true, "its producer wrote 8 s ago");
    assert.equal(await pass(IDLE_MS - 1), true);
    assert.equal(await pass(1), false);
    await sweep.close();
  });
}

/** Runs a pass for the first sight, and another one when it is idle. */
async function passTwice(sweep: GrowingSweep, wait: () => void): Promise<void> {
  await sweep.pass();
  wait();
  await sweep.pass();
}

/** A Shield that dies in the middle of its pass: at the `at`th time that it reads the log's clock. */
async function dying(context: GrowingContext, at: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let requests = 0;
  const logTime: GrowingContext["logTime"] = (tenant_id) => {
    if (++requests < at) return context.logTime(tenant_id);
    resolve();
    return new Promise(() => {});
  };
  let passed_ms = 0;
  const sweep = sweepOf({ ...context, logTime }, keptLog().log, () => passed_ms);
  void passTwice(sweep, () => passed_ms += IDLE_MS);
  await promise;
  await sweep.close();
}

Deno.test("a message whose end killed two processes is set aside; one that could not be stored is retried", async () => {
  await using test = testPath();
  let log_ms = SPINE_NOW_MS;
  const { records, registry, context } = world(test, () => log_ms, () => log_ms);
  const at = { started_ms: log_ms, active_ms: log_ms, ending: null };
  await records.change(KEY, () => Promise.resolve({ ...RECORD, ...at, text: "half" }));
  log_ms += IDLE_MS;
  // After two passes and the decision, in the middle of the end.
  await dying(context, 4);
  assert.equal((await records.get(KEY))?.record.ending?.taken_by, undefined);
  log_ms += HOUR_MS;
  const failing = sweepOf(context);
  await failing.pass();
  await failing.close();
  assert.equal((await records.get(KEY))?.record.ending?.taken_by, undefined);
  await dying(context, 2);
  assert.notEqual((await records.get(KEY))?.record.ending?.taken_by, undefined);
  const { log, lines } = keptLog();
  const third = sweepOf(context, log);
  await third.pass();
  await third.close();
  assert.match(
    lines.join(""),
    /level=error [^\n]*two processes died while ending a growing message: it is set aside/,
  );
  assert.match(await registry.metrics(), /^shield_growing_set_aside_total 1$/m);
  assert.equal((await records.get(KEY))?.record.text, "half");
  log_ms += 24 * HOUR_MS;
  let passed_ms = 0;
  const later = sweepOf(context, log, () => passed_ms);
  await later.pass();
  assert.notEqual(await records.get(KEY), undefined, "the clock may have jumped");
  passed_ms += HOUR_MS;
  await later.pass();
  await later.close();
  assert.equal(await records.get(KEY), undefined);
});

for (const since of ["any longer", "since the start"]) {
  Deno.test(`an abandoned message ends, though no class has durable rooms ${since}`, async () => {
    await using test = testPath();
    const { records, context } = world(test, () => SPINE_NOW_MS, () => SPINE_NOW_MS);
    const at = { started_ms: SPINE_NOW_MS, active_ms: SPINE_NOW_MS, ending: null };
    await records.change(KEY, () => Promise.resolve({ ...RECORD, ...at, text: "" }));
    let has_durable = since === "any longer";
    let passes = 0;
    const sweeping = overriding(records, {
      sweep() {
        passes++;
        return records.sweep();
      },
    });
    const sweep = new GrowingSweep(
      { ...context, records: sweeping, bounds: () => ({ ...context.bounds(), idle_ms: 40 }) },
      { log: keptLog().log, isNeeded: () => has_durable, left_ms: 0 },
    );
    has_durable = false;
    await until("it has ended", async () => await records.get(KEY) === undefined, 5_000);
    // An empty bucket is left alone.
    await standsStill(() => passes);
    await sweep.close();
  });
}

Deno.test("a tenant whose messages cannot be ended does not delay other tenants", async () => {
  await using test = testPath();
  let log_ms = SPINE_NOW_MS;
  const { records, context } = world(test, () => log_ms, () => log_ms);
  const at = { started_ms: log_ms, active_ms: log_ms, ending: null };
  const other = { ...KEY, tenant_id: "zoo" };
  for (const key of [KEY, other]) {
    await records.change(key, () => Promise.resolve({ ...RECORD, ...at, text: "" }));
  }
  log_ms += IDLE_MS;
  const { log, lines } = keptLog();
  const logTime: GrowingContext["logTime"] = (tenant_id) =>
    tenant_id === KEY.tenant_id
      ? Promise.reject(new ArqonError("log-unavailable", "not now"))
      : Promise.resolve(log_ms);
  let passed_ms = 0;
  const sweep = sweepOf({ ...context, logTime }, log, () => passed_ms);
  await passTwice(sweep, () => passed_ms += IDLE_MS);
  await sweep.close();
  assert.equal(await records.get(other), undefined);
  assert.notEqual(await records.get(KEY), undefined);
  assert.match(lines.join(""), /growing messages of a tenant could not be checked/);
});
