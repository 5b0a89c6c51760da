/**
 * The life of a connection: token expiry, REFRESH, heartbeat. `drain_test.ts` covers its end with the Shield's;
 * `refusals_test.ts` and `security_test.ts` fewer grants; the model's source `signed` and gate `unsigned`, and
 * `shield/message/signature_test.ts`, signed messages.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { openText } from "./peers/raw_client.ts";
import { sendUpgrade } from "./peers/raw_upgrade.ts";

async function refusedRefresh(bus: TestBus): Promise<void> {
  const token = await bus.tokenFor({ user: "ann" });
  const cases: [string, string, string][] = [
    [await bus.tokenFor({ user: "bob" }), "refresh-mismatch", "another user"],
    [await bus.tokenFor({ user: "ann", tenant: "other" }), "refresh-mismatch", "another tenant"],
    [await bus.tokenFor({ user: "ann", ttl_seconds: -600 }), "refresh-refused", "token-expired"],
    [`${token}x`, "refresh-refused", "token-signature"],
  ];
  for (const [next, reason, name] of cases) {
    const client = await openText(bus.url, token);
    client.send({ op: "refresh", token: next, id: 1 });
    const answer = await client.json();
    assert.equal(answer.reason, reason, name);
    assert.equal(answer.code, 401);
    if (reason === "refresh-refused") assert.deepEqual(answer.result, { reason: name });
    assert.equal((await client.closed()).code, 4401);
  }
}

const CONFIG = "[auth]\nclock_skew_seconds = 0\n";

Deno.test("it ends with its token: ERR 401, then close 4401; REFRESH carries it on", async () => {
  let ahead_ms = 0;
  await using bus = await startLocalBus(CONFIG, { now: () => Date.now() + ahead_ms });
  const token = await bus.tokenFor({ ttl_seconds: 600 });
  const ending = await openText(bus.url, token);
  const going_on = await openText(bus.url, token);
  going_on.send({ op: "refresh", token: await bus.tokenFor({ ttl_seconds: 6_000 }), id: 4 });
  const ack = await going_on.json();
  assert.equal(ack.code, 0);
  assert(ack.result.token_expires_ms > Date.now() + 3_000_000);
  ahead_ms = 601_000;
  assert.equal((await ending.json()).reason, "token-expired");
  assert.deepEqual(await ending.closed(), { code: 4401, reason: "token-expired" });
  going_on.send({ op: "ping", data: "alive" });
  assert.deepEqual(await going_on.json(), { op: "pong", data: "alive" });
  going_on[Symbol.dispose]();
});

Deno.test("a refused REFRESH ends it", async () => {
  await using bus = await startLocalBus(CONFIG);
  await refusedRefresh(bus);
});

Deno.test("heartbeat: a quiet peer is pinged, a dead one is ended and counted as 4408", async () => {
  await using bus = await startLocalBus("[server]\nheartbeat_ms = 1_000\n");
  const quiet = await openText(bus.url, bus.token);
  // Answers nothing, not even WebSocket pings.
  const dead = await sendUpgrade(bus.http_url, { token: bus.token });
  await quiet.pinged();
  const ended = async () => {
    const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
    return metrics.includes('shield_closes_total{code="4408"} 1');
  };
  await until("the dead client is ended", ended);
  quiet.send({ op: "ping", data: "x" });
  assert.equal((await quiet.json()).op, "pong");
  dead.close();
  quiet[Symbol.dispose]();
});
