/**
 * The revoked tokens, on an embedded engine and across the death of a real NATS. `signals_test.ts` tests open
 * connections, `revocations_api_test.ts` operators' requests.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { watched } from "../../shared/spine/nats/testing/nats_harness.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { until } from "../../shared/testing/until.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { refusingRevoked } from "./revocations.ts";
import { ann } from "./testing/identity.ts";
import { holderOf, putRevocation, revocationOf, testRevocations } from "./testing/revocations.ts";
import type { TestRevocations } from "./testing/revocations.ts";
import { SPINE_NOW_MS, testSpine } from "../testing/spine.ts";

const HOUR_MS = 3_600_000;

/** Advances the clock by `ms`. */
function passed(clock: TestRevocations["clock"], ms: number): void {
  clock.now_ms += ms;
  clock.monotonic_ms += ms;
}

function reasonOf(attempt: () => void): string {
  try {
    attempt();
    return "";
  } catch (error) {
    assert.ok(error instanceof ArqonError);
    return error.reason;
  }
}

Deno.test("a user's earlier tokens, one token, and a tenant's earlier tokens are revoked, and nothing else", async () => {
  await using engine = testSpine();
  using test = await testRevocations(engine.spine);
  await test.held.ready;
  const put = async (change: Parameters<typeof revocationOf>[0]) => {
    const size = test.held.size;
    await putRevocation(test.bucket, "acme", revocationOf(change));
    await until("it is stored", () => test.held.size === size + 1);
  };
  const hit = (change: Parameters<typeof holderOf>[0] = {}) =>
    test.held.find(holderOf(change)) !== undefined;
  assert.equal(hit(), false);
  await put({});
  assert.equal(hit(), true);
  assert.equal(hit({ user_id: "bob" }), false);
  assert.equal(hit({ tenant_id: "globex" }), false);
  assert.equal(hit({ claims: { iat: SPINE_NOW_MS / 1_000 } }), false, "a new token is valid");
  assert.equal(hit({ claims: {} }), true, "a token without iat does not count as new");
  assert.equal(hit({ claims: { iat: 1e300 } }), true, "an impossible iat does not count");
  await put({ kind: "token", id: "t9", issued_before_ms: 0 });
  const bob = { user_id: "bob", claims: { iat: SPINE_NOW_MS / 1_000 } };
  assert.equal(hit({ ...bob, token_id: "t9" }), true);
  assert.equal(hit({ ...bob, token_id: "t8" }), false);
  assert.equal(hit({ ...bob, token_id: undefined }), false);
  assert.equal(hit({ ...bob, token_id: "t9", tenant_id: "globex" }), false);
  await put({ kind: "issued-before", id: "*" });
  assert.equal(hit({ user_id: "bob" }), true);
  assert.equal(hit(bob), false);
  assert.equal(hit({ user_id: "bob", tenant_id: "globex" }), false);
});

Deno.test("a revocation ends with its time, and is then deleted from the bucket", async () => {
  await using engine = testSpine();
  using test = await testRevocations(engine.spine);
  await test.held.ready;
  const { clock } = test;
  const pass = (ms: number) => passed(clock, ms);
  pass(HOUR_MS);
  await putRevocation(test.bucket, "acme", revocationOf({ until_ms: clock.now_ms + 1_000 }));
  await putRevocation(test.bucket, "acme", revocationOf({ id: "bob" }));
  await until("they are in memory", () => test.held.size === 2);
  assert.equal(reasonOf(() => test.held.requireValid(holderOf())), "token-revoked");
  pass(1_000);
  assert.equal(reasonOf(() => test.held.requireValid(holderOf())), "");
  assert.equal(await test.held.sweep(), 0, "other clocks may be behind");
  pass(60_000);
  assert.equal(await test.held.sweep(), 1);
  await until("it is no longer in memory", () => test.held.size === 1);
  assert.deepEqual(await test.bucket.keys(), [["acme", "user", "bob"]]);
});

Deno.test("a wrong clock admits revoked tokens only until it is right again", async () => {
  await using engine = testSpine();
  using test = await testRevocations(engine.spine);
  await test.held.ready;
  const { clock } = test;
  passed(clock, HOUR_MS);
  await putRevocation(test.bucket, "acme", revocationOf({ until_ms: clock.now_ms + HOUR_MS }));
  await until("it is in memory", () => test.held.size === 1);
  const reason = () => reasonOf(() => test.held.requireValid(holderOf()));
  assert.equal(await test.held.sweep(), 0);
  clock.now_ms += 2 * HOUR_MS;
  assert.equal(reason(), "");
  assert.equal(await test.held.sweep(), 0);
  clock.now_ms -= 2 * HOUR_MS;
  assert.equal(reason(), "token-revoked");
  assert.equal(await test.held.sweep(), 0);
  assert.equal((await test.bucket.keys()).length, 1);
});

Deno.test("a Shield whose clock is days ahead deletes no revocation in force, where the store has a clock", async () => {
  await using engine = testSpine();
  const storeTime = () => Promise.resolve(SPINE_NOW_MS + 2 * HOUR_MS);
  const keyValue = async (name: string) =>
    overriding(await engine.spine.keyValue(name), { storeTime });
  using test = await testRevocations(overriding(engine.spine, { keyValue }));
  await test.held.ready;
  const { clock, bucket } = test;
  clock.now_ms += 72 * HOUR_MS;
  await test.held.sweep();
  passed(clock, 2 * HOUR_MS);
  const until_ms = SPINE_NOW_MS + 48 * HOUR_MS;
  await putRevocation(bucket, "acme", revocationOf({ until_ms }));
  await until("it is known", () => test.held.size === 1);
  assert.equal(await test.held.sweep(), 0);
  assert.equal((await bucket.keys()).length, 1);
});

Deno.test("more than limits.revocations shuts out the tenant that has them, until there is space", async () => {
  await using engine = testSpine();
  using test = await testRevocations(engine.spine, 2);
  await test.held.ready;
  for (const id of ["a", "b"]) await putRevocation(test.bucket, "globex", revocationOf({ id }));
  await until("they are in memory", () => test.held.size === 2);
  await putRevocation(test.bucket, "acme", revocationOf({ id: "c" }));
  const entry = (tenant_id: string) =>
    reasonOf(() => test.held.requireEntry(holderOf({ tenant_id })));
  await until("the tenant admits no one", () => entry("acme") === "spine-unavailable");
  assert.equal(entry("globex"), "");
  assert.match(await test.metrics(), /^shield_revocations 2$/m);
  assert.match(await test.metrics(), /shield_revocation_problems_total\{problem="unheld"\} 1/);
  await test.bucket.delete(["globex", "user", "a"]);
  await until("the tenant admits clients again", () => entry("acme") === "");
  const carol = holderOf({ user_id: "c" });
  assert.equal(reasonOf(() => test.held.requireEntry(carol)), "token-revoked");
});

Deno.test("an unreadable revocation applies to everything that its key can name; other keys are only counted", async () => {
  await using engine = testSpine();
  using test = await testRevocations(engine.spine);
  await test.held.ready;
  const bytes = new TextEncoder().encode("damage");
  await test.bucket.put(["acme", "user", "ann"], bytes);
  await test.bucket.put(["acme", "room", "lobby"], bytes);
  await until("a part of the key", () => test.lines.join("").includes("lobby"));
  const fresh = holderOf({ claims: { iat: SPINE_NOW_MS / 1_000 } });
  assert.equal(reasonOf(() => test.held.requireValid(fresh)), "token-revoked");
  assert.equal(reasonOf(() => test.held.requireValid({ ...fresh, user_id: "bob" })), "");
  assert.match(await test.metrics(), /shield_revocation_problems_total\{problem="malformed"\} 2/);
});

Deno.test("a valid signature does not help a revoked token", async () => {
  await using engine = testSpine();
  using test = await testRevocations(engine.spine);
  await test.held.ready;
  const outer = refusingRevoked(
    { authenticate: (_token: string) => Promise.resolve(ann) },
    test.held,
  );
  assert.equal(await outer.authenticate("x"), ann);
  await putRevocation(test.bucket, "acme", revocationOf({ reason: "lost phone" }));
  await until("it is in memory", () => test.held.size === 1);
  await assert.rejects(outer.authenticate("x"), {
    reason: "token-revoked",
    message: "The token was revoked: lost phone",
  });
});

Deno.test("while NATS is unreachable no new client is admitted; revocations of that time count afterwards", async () => {
  await using nats = await startNats({ jetstream: true });
  await using here = await watched(nats.port, { request_timeout_ms: 20_000 });
  using test = await testRevocations(here.spine);
  await test.held.ready;
  await putRevocation(test.bucket, "acme", revocationOf());
  await until("it is in memory", () => test.held.size === 1);
  const entry = (user_id: string) => reasonOf(() => test.held.requireEntry(holderOf({ user_id })));
  await nats.kill();
  await until("bob is refused", () => entry("bob") === "spine-unavailable");
  assert.equal(reasonOf(() => test.held.requireValid(holderOf())), "token-revoked");
  await nats.start();
  await until("bob is admitted again", () => entry("bob") === "");
  assert.equal(entry("ann"), "token-revoked", "it is durable");
  await test.bucket.delete(["acme", "user", "ann"]);
  await until("the revocation is removed", () => entry("ann") === "");
});
