/** Quotas of tenants over two real Shields, a real NATS and a real Valkey or Redis, also without it. */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";
import { startValkey } from "./harness/valkey_server.ts";
import type { ValkeyServer } from "./harness/valkey_server.ts";
import { logged } from "./harness/server_state.ts";

const DEADLINE_MS = 60_000;
const LIMIT = 20;
/** What one Shield holds or has spent in advance, in seconds of the quota: see docs/scale.md. */
const SHIELD_S = 0.2 + 0.1 + 0.25;

interface Cluster {
  readonly shields: readonly [ServerProcess, ServerProcess];
  readonly issuer: Issuer;
  readonly valkey: ValkeyServer;
}

async function metric(shield: ServerProcess, name: string): Promise<number> {
  const page = await (await fetch(`${shield.ready.ops_url}/metrics`)).text();
  const line = page.split("\n").find((it) => it.startsWith(`${name} `));
  return Number(line?.split(" ")[1] ?? 0);
}

async function isDegraded({ shields }: Cluster, wanted: boolean): Promise<boolean> {
  const states = await Promise.all(shields.map((it) => metric(it, "shield_quota_degraded")));
  return states.every((state) => state === Number(wanted));
}

async function open(cluster: Cluster, tenant_id: string): Promise<RawClient[]> {
  const token = await cluster.issuer.tokenFor({ tenant_id });
  return await Promise.all(
    cluster.shields.map((shield) =>
      openText(`${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`, token)
    ),
  );
}

/**
 * Publishes through all clients for a time, and until so many are refused; every message is answered
 * before the next one goes.
 */
async function flood(clients: readonly RawClient[], for_ms: number, refusals = 0) {
  const started_ms = Date.now();
  const totals = { passed: 0, refused: 0, reasons: new Set<string>(), retry_ms: Infinity };
  await Promise.all(clients.map(async (client) => {
    const goesOn = () => Date.now() - started_ms < for_ms || totals.refused < refusals;
    for (let id = 1; goesOn(); id++) {
      assert(Date.now() - started_ms < DEADLINE_MS, "nothing was ever refused");
      client.send({ op: "pub", room: "r", type: "t", id });
      const ack = await client.json();
      if (ack.code === 0) totals.passed++;
      else {
        totals.refused++;
        totals.reasons.add(`${ack.code} ${ack.reason}`);
        totals.retry_ms = Math.min(totals.retry_ms, ack.retry_after_ms);
      }
    }
  }));
  return { ...totals, took_s: (Date.now() - started_ms) / 1_000 };
}

async function shared(cluster: Cluster): Promise<void> {
  await until("the Shields find the quota server", () => isDegraded(cluster, false));
  const clients = await open(cluster, "acme");
  const { passed, refused, reasons, retry_ms, took_s } = await flood(clients, 2_000, 1);
  const most = LIMIT * (1 + took_s + 2 * SHIELD_S) + 2;
  assert(passed <= most, `${passed} passed in ${took_s} s over two Shields; at most ${most}`);
  assert(passed >= LIMIT / 2, `${passed} passed; the quota was not used`);
  assert(refused > 0);
  assert.deepEqual([...reasons], ["429 tenant-quota"]);
  assert(retry_ms > 0);
  for (const shield of cluster.shields) {
    assert(await metric(shield, 'shield_quota_refusals_total{quota="messages"}') > 0);
  }
  const others = await open(cluster, "globex");
  assert.equal((await flood(others, 100)).reasons.size, 0, "another tenant has its own");
  for (const client of [...clients, ...others]) client[Symbol.dispose]();
}

async function overHttp(cluster: Cluster): Promise<void> {
  const [{ ready }] = cluster.shields;
  const token = await cluster.issuer.tokenFor({ tenant_id: "tiny" });
  const post = async () => {
    const response = await fetch(`${ready.url}/v1/rooms/r/messages`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: '{"type":"t"}',
    });
    return { status: response.status, headers: response.headers, body: await response.json() };
  };
  let answer = await post();
  const deadline_ms = Date.now() + DEADLINE_MS;
  while (answer.status === 200) {
    assert(Date.now() < deadline_ms, "one message a second, and never refused");
    answer = await post();
  }
  assert.equal(answer.status, 429);
  assert.equal(answer.body.reason, "tenant-quota");
  assert(Number(answer.headers.get("retry-after")) >= 1);
}

/** Messages pass while the server hangs or is gone; each Shield keeps the quota by itself. */
async function away(cluster: Cluster): Promise<void> {
  const clients = await open(cluster, "big");
  for (const gone of [() => cluster.valkey.freeze(), () => cluster.valkey.kill()]) {
    await gone();
    const { reasons } = await flood(clients, 200);
    assert.deepEqual([...reasons], [], "nothing waits and nothing is refused");
    await until("the Shields notice", async () => {
      await flood(clients, 10);
      return await isDegraded(cluster, true);
    });
  }
  const alone = await open(cluster, "acme");
  const { passed, took_s } = await flood(alone, 1_000);
  assert(passed <= 2 * (LIMIT * (1 + took_s + SHIELD_S) + 1), `${passed} passed`);
  for (const shield of cluster.shields) {
    await logged(shield, /level=warn .*part=quota .*counts alone/);
    assert.equal((await fetch(`${shield.ready.ops_url}/health/ready`)).status, 200);
  }
  await cluster.valkey.start();
  await until("the Shields come back to it", () => isDegraded(cluster, false));
  for (const client of [...clients, ...alone]) client[Symbol.dispose]();
}

Deno.test("quotas over two Shields", async (t) => {
  await using nats = await startNats({ jetstream: true });
  await using valkey = await startValkey();
  const issuer = await createIssuer();
  const config = `[nats]
urls = ["${nats.url}"]
[quota]
url = "${valkey.url}"
#constant quota.retry_ms = 100
tenant_messages_per_second = ${LIMIT}
tenants = [
  { tenant = "big", messages_per_second = 1_000_000 },
  { tenant = "globex", messages_per_second = 1_000_000 },
  { tenant = "tiny", messages_per_second = 1 },
]
${issuer.config}`;
  await using one = await startServer("shield", config, issuer.dir, "drain_ms = 0");
  await using two = await startServer("shield", config, issuer.dir, "drain_ms = 0");
  const cluster: Cluster = { shields: [one, two], issuer, valkey };
  await t.step("a tenant's quota is one for both; tenants have their own", () => shared(cluster));
  await t.step("over HTTP: 429 with Retry-After", () => overHttp(cluster));
  await t.step("a quota server that hangs or dies blocks nothing", () => away(cluster));
  await Deno.remove(issuer.dir, { recursive: true });
});
