/**
 * The life of a connection: token expiry, REFRESH, heartbeat. `drain_test.ts` covers its end with the Shield's;
 * `refusals_test.ts` the subscriptions that fewer grants end; the model's source `signed` and gate `unsigned`, and
 * `shield/message/signature_test.ts`, signed messages.
 */
import assert from "node:assert/strict";
import { sharedByTests } from "../shared/testing/shared_by_tests.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { sampleAt } from "./harness/server_state.ts";
import { answered, openText } from "./peers/raw_client.ts";
import { sendUpgrade } from "./peers/raw_upgrade.ts";

const CONFIG = "[auth]\nclock_skew_seconds = 0\n";
const running = sharedByTests(() => startLocalBus(CONFIG));

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
  const bus = await running();
  const token = await bus.tokenFor({ user: "ann" });
  const cases: [string, string, string][] = [
    [await bus.tokenFor({ user: "bob" }), "refresh-mismatch", "another user"],
    [await bus.tokenFor({ user: "ann", tenant: "other" }), "refresh-mismatch", "another tenant"],
    [await bus.tokenFor({ user: "ann", ttl_seconds: -600 }), "refresh-refused", "token-expired"],
    [`${token}x`, "refresh-refused", "token-signature"],
  ];
  for (const [next, reason, name] of cases) {
    using client = await openText(bus.url, token);
    const answer = await answered(client, { op: "refresh", token: next });
    assert.deepEqual([answer.reason, answer.code], [reason, 401], name);
    if (reason === "refresh-refused") assert.deepEqual(answer.result, { reason: name });
    assert.equal((await client.closed()).code, 4401);
  }
});

Deno.test("after a REFRESH with fewer grants publishing and commands are refused, too", async () => {
  const bus = await running();
  const granted = (...actions: string[]) =>
    bus.tokenFor({ user: "ann", claims: { grants: [{ room: "lobby", actions }] } });
  using client = await openText(bus.url, await granted("publish", "subscribe", "command"));
  const reasonOf = async (operation: object) => (await answered(client, operation)).reason ?? "";
  const refresh = async (...actions: string[]) =>
    await reasonOf({ op: "refresh", token: await granted(...actions) });
  const publish = { op: "pub", room: "lobby", type: "chat", data: 1 };
  const command = { op: "cmd", room: "lobby", name: "room.get", data: {} };
  assert.deepEqual([await reasonOf(publish), await reasonOf(command)], ["", ""]);
  assert.equal(await refresh("subscribe"), "");
  const refused = [await reasonOf(publish), await reasonOf(command)];
  assert.deepEqual(refused, ["not-granted", "not-granted"]);
  assert.equal(await refresh("command"), "");
  assert.equal(await reasonOf(command), "");
});

Deno.test("heartbeat: a quiet peer is pinged, a dead one is ended and counted as 4408", async () => {
  await using bus = await startLocalBus("[server]\nheartbeat_ms = 1_000\n");
  const quiet = await openText(bus.url, bus.token);
  // Answers nothing, not even WebSocket pings.
  const dead = await sendUpgrade(bus.http_url, { token: bus.token });
  await quiet.pinged();
  const ended = async () => await sampleAt(bus.ops_url, 'shield_closes_total{code="4408"}') === 1;
  await until("the dead client is ended", ended);
  quiet.send({ op: "ping", data: "x" });
  assert.equal((await quiet.json()).op, "pong");
  dead.close();
  quiet[Symbol.dispose]();
});
