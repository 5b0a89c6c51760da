/**
 * The load generator on real servers: two processes, real sockets. The tests check counts only; times belong to the
 * benchmark.
 */
import assert from "node:assert/strict";
import { type LoadReport, openLoad, runLoad } from "./driver.ts";
import type { Group, LoadPlan } from "../plans/plan.ts";
import type { Target } from "../targets/target.ts";
import { ARQON } from "../targets/target_arqon.ts";
import { DENO } from "../targets/target_bare.ts";

const GROUP: Group = {
  connections: 4,
  tenants: 1,
  prefix: "test",
  rooms: 4,
  rooms_each: 1,
  subscribes: true,
  publishes: true,
  batch: false,
};
const PLAN: LoadPlan = {
  groups: [GROUP],
  processes: 2,
  echo: true,
  pace: { kind: "rate", rate: 500, burst: 1 },
  sizes_bytes: [64, 2_000],
  warmup_seconds: 0.2,
  seconds: 1,
};

/** Every sent message arrived exactly once. */
function assertWhole(report: LoadReport, sent: number): void {
  assert.deepEqual(report.problems, []);
  assert.equal(report.sent, sent);
  assert.equal(report.received, report.expected);
  assert.equal(report.missing, 0);
}

for (const target of [DENO, ARQON]) {
  Deno.test(`every message of an open load arrives: ${target.id}`, async () => {
    await using running = await target.start({ tls: false, tenants: 1 });
    const report = await runLoad(running, PLAN);
    assertWhole(report, 600);
    assert.equal(report.latency.count, 500);
    assert.ok(report.rss_bytes > 0);
    assert.notEqual(report.placed, "");
  });

  Deno.test(`all receivers of a room receive a burst: ${target.id}`, async () => {
    await using running = await target.start({ tls: false, tenants: 1 });
    const receivers = { ...GROUP, connections: 6, rooms: 1, publishes: false };
    const publisher = { ...GROUP, connections: 1, rooms: 1, subscribes: false };
    const report = await runLoad(running, {
      ...PLAN,
      groups: [receivers, publisher],
      echo: false,
      pace: { kind: "rate", rate: 50, burst: 5 },
    });
    assertWhole(report, 60);
    assert.equal(report.expected, 360);
  });
}

async function connectTwice(target: Target, tls: boolean): Promise<void> {
  await using running = await target.start({ tls, tenants: 1 });
  const crowd = { groups: [{ ...GROUP, connections: 0 }], processes: 2, echo: true };
  await using load = await openLoad(running, crowd);
  assert.equal(load.connections, 0);
  for (let round = 0; round < 2; round++) {
    const plan = { rate: 20, warmup_seconds: 0.1, seconds: 0.5 };
    assertWhole(await load.connect(plan), 12);
  }
}

for (const tls of [false, true]) {
  Deno.test(`new connections receive their greeting, ${tls ? "with TLS" : "plain"}`, async () => {
    for (const target of [DENO, ARQON]) await connectTwice(target, tls);
  });
}

Deno.test("a closed load keeps its window in flight and loses nothing", async () => {
  await using running = await DENO.start({ tls: false, tenants: 1 });
  const report = await runLoad(running, {
    ...PLAN,
    pace: { kind: "window", window: 3 },
    seconds: 0.5,
  });
  assert.equal(report.missing, 0);
  assert.ok(report.sent > 12, "more than the first window");
});

Deno.test("tenants are isolated, and clients that request batches receive them", async () => {
  await using running = await ARQON.start({ tls: false, tenants: 2 });
  const report = await runLoad(running, {
    ...PLAN,
    groups: [{ ...GROUP, connections: 6, tenants: 2, rooms: 1, batch: true }],
    echo: false,
  });
  // Three connections of each tenant are in a room of the same name.
  assertWhole(report, 600);
  assert.equal(report.expected, 1_800);
});

Deno.test("a server that ends during the run gives no result", async () => {
  await using running = await DENO.start({ tls: false, tenants: 1 });
  await using load = await openLoad(running, PLAN);
  // The memory is read after the warm-up, when the server has already ended.
  const ended = assert.rejects(
    load.run({ ...PLAN, warmup_seconds: 1, seconds: 30 }),
    /not there any more/,
  );
  await running[Symbol.asyncDispose]();
  await ended;
});
