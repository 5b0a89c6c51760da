/**
 * Tenants that share streams, on a real NATS: who shares, what each may store, and that one tenant's trims, floods and
 * restores are reported to the tenants concerned. `conformance_log.ts` has what a log does in either form.
 */
import assert from "node:assert/strict";
import { startNats } from "../../../../tests/harness/nats_server.ts";
import { ArqonError } from "@arqon/proto";
import { until } from "../../../testing/until.ts";
import { bytes, refusedWith } from "../../testing/conformance.ts";
import { type DurableLog, LOG_LIMITS, type Retention } from "../../contract/durable_log.ts";
import { subjectPattern } from "../../testing/subjects.ts";
import { ALL, type LogEngine, logEngine, operator, readAll } from "../testing/nats_log_harness.ts";
import { grantOf, shareBounds } from "./nats_log_share.ts";

const COMMON = { history_size: 100_000, history_ttl_seconds: 3_600, replicas: undefined };
const EVERYBODY: Retention = { ...COMMON, common: COMMON };
const KIB = 1_024;
const MIB = 1_024 * KIB;
const BOUNDS = {
  shared_streams: 1,
  shared_bytes: 4 * MIB,
  shared_tenant_bytes: 256 * KIB,
  log_bytes: MIB,
};
const unavailable = refusedWith("log-unavailable");

const open = ({ spine }: LogEngine, tenant_id: string, retention: Retention = EVERYBODY) =>
  spine.log(tenant_id, retention);

/** Appends messages of `size_bytes` until one is refused; returns how many were stored, and why no more were. */
async function flood(log: DurableLog, size_bytes: number, most = 10_000) {
  for (let stored = 0; stored < most; stored++) {
    try {
      await log.append(`r${stored % 3}`, new Uint8Array(size_bytes));
    } catch (error) {
      assert.ok(error instanceof ArqonError);
      return { stored, why: error };
    }
  }
  return { stored: most, why: undefined };
}

const isShared = ({ stream }: DurableLog) => stream.startsWith("LOGS_");

Deno.test("tenants without special options share a stream, and a tenant with a slot keeps it", async () => {
  await using nats = await startNats({ jetstream: true });
  await using outside = await operator(nats.url);
  await using before = await logEngine([nats.url]);
  await (await open(before, "old")).append("a", bytes("1"));
  await using now = await logEngine([nats.url], { shared_streams: 2 });
  const old = await open(now, "old");
  assert.equal(isShared(old), false, "a stream that is there goes on");
  assert.equal((await old.head("a")).last?.offset, 1);
  const names = Array.from({ length: 20 }, (_, n) => `t${n}`);
  const logs = await Promise.all(names.map((name) => open(now, name)));
  assert.deepEqual(new Set(logs.map(isShared)), new Set([true]));
  assert.equal(new Set(logs.map(({ stream }) => stream)).size, 2);
  const more = { ...EVERYBODY, history_size: COMMON.history_size + 1 };
  assert.equal(isShared(await open(now, "larger", more)), false);
  const { common: _, ...own } = EVERYBODY;
  assert.equal(isShared(await open(now, "alone", own)), false);
  assert.equal(isShared(await open(now, "copied", { ...EVERYBODY, replicas: 1 })), false);
  // With another configuration, existing tenants keep their stream.
  await using later = await logEngine([nats.url], { shared_streams: 5 });
  const known = await Promise.all(names.map((name) => open(later, name)));
  assert.deepEqual(known.map(({ stream }) => stream), logs.map(({ stream }) => stream));
  const off = await open(before, "t3");
  assert.equal(off.stream, logs[3]?.stream, "also by who makes no shared streams");
  const { offset } = await off.append("a", bytes("x"));
  assert.equal((await logs[3]?.head("a"))?.last?.offset, offset);
  const streams = await outside.streams.list().next();
  assert.equal(streams.filter(({ config }) => config.name.startsWith("LOGS_")).length, 2);
  assert.equal(streams.filter(({ config }) => config.name.startsWith("LOG_")).length, 4);
});

Deno.test("a tenant whose entry is deleted while idle gets a new slot, by its classes at that time", async () => {
  await using nats = await startNats({ jetstream: true });
  const more = { ...EVERYBODY, history_size: COMMON.history_size + 1 };
  let first = "";
  {
    await using one = await logEngine([nats.url], BOUNDS);
    const log = await open(one, "acme");
    await log.append("a", bytes("1"));
    await (await open(one, "bolt")).append("a", bytes("1"));
    first = log.stream;
    await log.retain(more);
    assert.equal((await log.status()).history_size, COMMON.history_size, "it stays where it is");
    await (await one.spine.keyValue("ARQON_LOGS")).delete(["acme"]);
  }
  await using two = await logEngine([nats.url], BOUNDS);
  const log = await open(two, "acme", more);
  assert.match(log.stream, /^LOG_acme_/);
  assert.equal(
    log.lives.some(({ name }) => name === first),
    false,
    "earlier positions are refused",
  );
  assert.equal((await log.status()).history_size, more.history_size);
  assert.equal((await log.append("a", bytes("2"))).offset, 1);
  const other = await open(two, "bolt");
  assert.equal(isShared(other), true);
  assert.equal((await readAll(other, "a")).length, 1);
});

Deno.test("processes that need a tenant's log at the same moment agree on its place", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await logEngine([nats.url], { shared_streams: 3 });
  await using two = await logEngine([nats.url], { shared_streams: 4 });
  await using three = await logEngine([nats.url]);
  const names = Array.from({ length: 12 }, (_, n) => `t${n}`);
  await Promise.all(names.map(async (name) => {
    const opened = await Promise.allSettled([one, two, three].map((engine) => open(engine, name)));
    const streams = new Set<string>();
    for (const outcome of opened) {
      if (outcome.status === "fulfilled") streams.add(outcome.value.stream);
      else unavailable(outcome.reason); // It was decided meanwhile: the next caller finds it.
    }
    for (const engine of [one, two, three]) streams.add((await open(engine, name)).stream);
    assert.equal(streams.size, 1, name);
  }));
});

Deno.test("each has its bound, half of the stream is for what tenants are sure of, nothing is evicted", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await logEngine([nats.url], BOUNDS);
  const [quiet, first, second, third] = await Promise.all(
    ["quiet", "first", "second", "third"].map((name) => open(one, name)),
  );
  assert.ok(quiet && first && second && third);
  const kept = await quiet.append("a", bytes("kept"));
  const flooded = await flood(first, 10 * KIB);
  assert.ok(flooded.stored >= 85 && flooded.stored <= 102, `${flooded.stored} of 1 MiB`);
  assert.match(flooded.why?.message ?? "", /the tenant's log is full.*log_bytes.*history_size/);
  await assert.rejects(first.append("r0", new Uint8Array(10 * KIB)), unavailable);
  const { stored } = await flood(second, 10 * KIB);
  assert.ok(stored >= 75 && stored <= 102, `${stored}`);
  const last = await flood(third, 10 * KIB);
  assert.ok(
    last.stored >= 20 && last.stored <= 60,
    `${last.stored}: what is sure, and little more`,
  );
  const sure = await flood(quiet, 10 * KIB, 20);
  assert.equal(sure.stored, 20, "who stored little has the room that was promised");
  await using outside = await operator(nats.url);
  const { state } = await outside.streams.info(first.stream);
  assert.ok(state.bytes <= BOUNDS.shared_bytes);
  assert.equal((await readAll(quiet, "a"))[0]?.offset, kept.offset);
  const there = await Promise.all(["r0", "r1", "r2"].map((room) => readAll(first, room)));
  assert.equal(there.flat().length, flooded.stored, "none of it is gone");
});

Deno.test("a tenant that was full can write again once messages are removed", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await logEngine([nats.url], BOUNDS);
  const log = await open(one, "acme");
  const { stored } = await flood(log, 10 * KIB);
  await log.trim("r0", 0);
  let again = 0;
  await until("twenty more messages", async () => {
    again += (await flood(log, 10 * KIB, 20)).stored;
    return again >= 20;
  });
  const rest = await flood(log, 10 * KIB);
  assert.ok(again + rest.stored <= stored / 3 + 5, `${again + rest.stored} for ${stored / 3}`);
});

Deno.test("a tenant whose size is lost continues, and is counted again", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await logEngine([nats.url], BOUNDS);
  const log = await open(one, "acme");
  const before = await flood(log, 10 * KIB, 40);
  const bucket = await one.spine.keyValue("ARQON_LOGS");
  await bucket.delete(["acme"]);
  const { stored } = await flood(log, 10 * KIB);
  assert.equal(before.stored, 40);
  assert.ok(40 + stored >= 85 && 40 + stored <= 102, `${stored} more of 1 MiB`);
  await using two = await logEngine([nats.url], { ...BOUNDS, shared_streams: 3 });
  assert.equal((await open(two, "acme")).stream, log.stream);
  await bucket.put(["acme"], bytes('{"stream":"LOG_acme_1","made":true}'));
  await log.trim("r0", 0);
  await until("a word of the other place", async () => {
    const { why } = await flood(log, 10 * KIB, 20);
    return why?.message.includes("has another place by now") === true;
  });
});

Deno.test("a bound holds over processes, up to a grant each, and after restarts", async () => {
  await using nats = await startNats({ jetstream: true });
  let stored = 0;
  for (let round = 0; round < 2; round++) {
    await using one = await logEngine([nats.url], BOUNDS);
    await using two = await logEngine([nats.url], BOUNDS);
    const logs = [await open(one, "acme"), await open(two, "acme")];
    const floods = await Promise.all(logs.map((log) => flood(log, 5 * KIB)));
    for (const flooded of floods) stored += flooded.stored;
  }
  assert.ok(stored * 5 * KIB >= 0.85 * MIB, `${stored}`);
  assert.ok(stored * 5 * KIB <= 1.1 * MIB, `${stored}`);
});

Deno.test("one tenant's trims and requests do not affect the others of the stream", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await logEngine([nats.url], BOUNDS);
  const mine = await open(one, "acme");
  const theirs = await open(one, "bolt");
  for (let n = 0; n < 5; n++) await mine.append("a", bytes(String(n)));
  for (let n = 0; n < 5; n++) await theirs.append("a", bytes(String(n)));
  await mine.append("b", bytes("between"));
  await mine.trim("a", 1);
  assert.equal((await mine.read("a", { ...ALL, after: 0 })).complete, false);
  const page = await theirs.read("a", { ...ALL, after: 0 });
  assert.deepEqual([page.messages.length, page.complete], [5, true]);
  const before = await theirs.status();
  await mine.retain({ ...EVERYBODY, history_size: 5, history_ttl_seconds: 1 }, true);
  await mine.retain({ ...EVERYBODY, history_size: 1e6, history_ttl_seconds: 1e6 }, true);
  assert.deepEqual(await theirs.status(), before);
  assert.equal(one.lines.filter((line) => line.includes("more than the stream keeps")).length, 1);
});

Deno.test("a query for all tenants of a stream is sent once", async () => {
  await using nats = await startNats({ jetstream: true });
  await using one = await logEngine([nats.url], BOUNDS);
  const names = Array.from({ length: 50 }, (_, n) => `t${n}`);
  const logs = await Promise.all(names.map((name) => open(one, name)));
  let count = 0;
  const requests = one.spine.subscribe(subjectPattern("$JS.API.STREAM.INFO.*"), () => count++);
  await one.spine.flush();
  await Promise.all(logs.map((log) => log.status()));
  await one.spine.flush();
  assert.equal(count, 1);
  const [log] = logs;
  assert.ok(log !== undefined);
  const { offset } = await log.append("a", bytes("x"));
  assert.equal((await log.status()).log_offset, offset, "who asks again hears what is now");
  requests.unsubscribe();
});

Deno.test("if nobody can confirm that a shared stream continues, all its tenants have another incarnation", async () => {
  await using nats = await startNats({ jetstream: true });
  const lives = new Set<string>();
  for (let round = 0; round < 2; round++) {
    await using one = await logEngine([nats.url], BOUNDS);
    const logs = [await open(one, "acme"), await open(one, "bolt")];
    for (const log of logs) await log.append("a", bytes("x"));
    const streams = new Set(logs.map(({ stream }) => stream));
    assert.equal(streams.size, 1);
    for (const stream of streams) lives.add(stream);
    await nats.restart();
    for (const [at, log] of logs.entries()) {
      await one.reported(log.tenant_id, 1);
      const { stream } = await log.status();
      assert.ok(streams.has(stream), `${at}: a restart of the server changes nothing`);
    }
  }
  assert.equal(lives.size, 2);
});

Deno.test("grants: never above a limit, of some size, and as large as requested", () => {
  const limits = { ...LOG_LIMITS, ...BOUNDS };
  const bounds = shareBounds(limits);
  assert.deepEqual(bounds, { sure: 256 * KIB, most: MIB });
  assert.deepEqual(shareBounds({ ...limits, log_bytes: 128 * KIB }), {
    sure: 128 * KIB,
    most: 128 * KIB,
  });
  assert.equal(grantOf(0, 100, bounds, false), 32 * KIB);
  assert.equal(grantOf(0, 100 * KIB, bounds, false), 100 * KIB);
  assert.equal(grantOf(250 * KIB, 100, bounds, false), 6 * KIB);
  assert.equal(grantOf(256 * KIB, 100, bounds, false), 0);
  assert.equal(grantOf(256 * KIB, 100, bounds, true), 32 * KIB);
  assert.equal(grantOf(MIB - 99, 100, bounds, true), 0);
  for (let held = 0; held <= MIB; held += 7_919) {
    for (const size_bytes of [1, 5_000, 400_000]) {
      for (const has_pool of [false, true]) {
        const grant = grantOf(held, size_bytes, bounds, has_pool);
        assert.ok(grant === 0 || grant >= size_bytes);
        assert.ok(held + grant <= Math.max(held, has_pool ? bounds.most : bounds.sure));
      }
    }
  }
});
