/** No tenant can use up the whole embedded log: each tenant's share, and what is left for the others. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { keptLog } from "../../testing/logs.ts";
import { refusedWith } from "../testing/conformance.ts";
import type { DurableLog } from "../contract/durable_log.ts";
import { openEmbedded } from "./embedded.ts";
import { spaceOf, tenantBound } from "./embedded_log_write.ts";

const RETENTION = { history_size: 1_000_000, history_ttl_seconds: 3_600, replicas: undefined };
const full = (error: unknown) =>
  refusedWith("log-unavailable")(error) && /have their share .*log_bytes/.test(String(error));

function engine(limits: { log_bytes: number; tenant_bytes?: number }) {
  const { log, lines } = keptLog({ level: "info" });
  const spine = openEmbedded({ log, now: Date.now, log_limits: limits });
  return { spine, lines, [Symbol.asyncDispose]: () => spine.drain() };
}

/** Appends concurrently until it is refused; returns how many were stored. */
async function flood(log: DurableLog, size_bytes: number): Promise<number> {
  for (let stored = 0;;) {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 400 }, () => log.append("a", new Uint8Array(size_bytes))),
    );
    for (const outcome of outcomes) {
      if (outcome.status === "fulfilled") stored++;
      else assert.ok(full(outcome.reason), String(outcome.reason));
    }
    if (outcomes.some(({ status }) => status === "rejected")) return stored;
  }
}

for (const size_bytes of [100, 1_000, 60_000]) {
  Deno.test(`each tenant that floods leaves something for the next, with ${size_bytes} bytes each`, async () => {
    await using one = engine({ log_bytes: 16_777_216 });
    const stored: number[] = [];
    for (let tenant = 0; tenant < 4; tenant++) {
      const log = await one.spine.log(`t${tenant}`, RETENTION);
      stored.push(await flood(log, size_bytes));
      const next = await one.spine.log("small", RETENTION);
      await next.append("a", new Uint8Array(1_000));
    }
    for (const [tenant, count] of stored.entries()) {
      assert.ok(count >= 1, `t${tenant} stored ${count}`);
      const before = stored[tenant - 1] ?? Infinity;
      assert.ok(count <= before + 1, "none gets more than the one before");
    }
    const { used_bytes, limit_bytes = 0, logs } = await one.spine.storage();
    assert.ok(used_bytes < limit_bytes, "the file is never full");
    assert.equal(logs, 5);
    assert.equal(one.lines.filter((line) => line.includes("have their share")).length, 4);
  });
}

Deno.test("one tenant's flood in the same turn refuses nobody else's message", async () => {
  await using one = engine({ log_bytes: 16_777_216, tenant_bytes: 1_000_000 });
  const noisy = await one.spine.log("noisy", RETENTION);
  const quiet = await one.spine.log("quiet", RETENTION);
  const stored = await flood(noisy, 10_000);
  assert.ok(stored > 90 && stored <= 100, `${stored} were stored`);
  for (let turn = 0; turn < 20; turn++) {
    const noise = Array.from({ length: 50 }, () => noisy.append("a", new Uint8Array(10_000)));
    const appended = quiet.append("a", new Uint8Array(10));
    const outcomes = await Promise.allSettled(noise);
    assert.ok(outcomes.every(({ status }) => status === "rejected"));
    await appended;
  }
  await noisy.trim("a", 10);
  await noisy.append("a", new Uint8Array(10_000));
});

Deno.test("the count equals the stored size, whatever was trimmed, refused or undone", async () => {
  await using one = engine({ log_bytes: 16_777_216, tenant_bytes: 500_000 });
  const log = await one.spine.log("acme", { ...RETENTION, history_size: 30 });
  for (let round = 0; round < 300; round++) {
    await log.append(`r${round % 3}`, new Uint8Array(4_000));
  }
  const { messages, bytes } = await log.status();
  assert.ok(messages >= 90, `${messages} are there, of a history that just fits`);
  assert.ok(bytes <= 500_000);
  await log.retain({ ...RETENTION, history_size: 1_000 }, true);
  const stored = await flood(log, 4_000);
  const now = await log.status();
  assert.equal(now.messages, messages + stored);
  assert.ok(now.bytes <= 500_000 && now.bytes > 450_000, `${now.bytes}`);
});

Deno.test("a limit is a minimum for everybody, else three times the free space, never more than its own", () => {
  const bytes = fc.integer({ min: 0, max: 2 ** 40 });
  fc.assert(fc.property(bytes, bytes, (free, log_bytes) => {
    const bound = (free: number, tenant_bytes: number) =>
      tenantBound(spaceOf(free, { log_bytes, tenant_bytes }));
    assert.ok(bound(free, Infinity) <= Math.max(log_bytes / 64, 3 * free));
    assert.equal(bound(0, Infinity), log_bytes / 64);
    assert.ok(bound(free, 1_000) <= 1_000);
  }));
});
