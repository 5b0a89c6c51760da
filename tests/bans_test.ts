/**
 * Revoked tokens on two Shields and one real NATS, which is also killed; a Shield that starts later knows all
 * revocations. Bans are tested by `http_commands.ts` and, at each of several Shields, `signals_test.ts`.
 */
import assert from "node:assert/strict";
import { sharedByTests } from "../shared/testing/shared_by_tests.ts";
import { seen, until } from "../shared/testing/until.ts";
import { createIssuer, type Issuer } from "./harness/cluster.ts";
import { type LocalShield, startLocalShield } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";

/** Two Shields on one NATS, for both tests; each leaves all of them running. */
const running = sharedByTests(async () => {
  const issuer = await createIssuer();
  const nats = await startNats({ jetstream: true });
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n`;
  const one = await startLocalShield(config);
  const two = await startLocalShield(config);
  return {
    issuer,
    nats,
    config,
    one,
    two,
    async [Symbol.asyncDispose]() {
      for (const part of [one, two, nats, issuer]) await part[Symbol.asyncDispose]();
    },
  };
});

const HOUR_SECONDS = 3_600;

/** Seconds, as in claims. */
const nowSeconds = () => Math.floor(Date.now() / 1_000);

const OLD = { iat: nowSeconds() - HOUR_SECONDS };

/** Issued after every revocation of this test. */
const fresh = () => ({ iat: nowSeconds() + 60 });

interface Pair {
  readonly issuer: Issuer;
  readonly one: LocalShield;
  readonly two: LocalShield;
}

async function open(shield: LocalShield, token: string): Promise<RawClient> {
  return await openText(shield.socket_url, token);
}

async function admin(
  { issuer }: Pick<Pair, "issuer">,
  shield: LocalShield,
  method: string,
  body?: object,
  query = "",
) {
  const token = await issuer.tokenFor({ role: "admin", tenant_id: "ops", sub: "root", ...OLD });
  const client = new AdminClient(shield.ready.admin_url ?? "", token);
  const answer = await client.ask(method, `/v1/revocations${query}`, body);
  assert.equal(answer.status, 200, answer.text);
  return answer.body;
}

async function checked(shield: LocalShield, token: string): Promise<[number, string]> {
  const peer = new HttpPeer(shield.ready.url ?? "", token);
  const { status, body: { reason = "" } } = await peer.call("GET", "auth/check");
  return [status, reason];
}

/** Expects the signal, the refusal and the close, in this order. */
async function isPutOut(client: RawClient, reason: string): Promise<void> {
  const { op, signal } = await client.json();
  assert.deepEqual([op, signal.kind, signal.reason ?? ""], ["msg", "REVOKE", reason]);
  const error = await client.json();
  assert.deepEqual([error.op, error.code, error.reason], ["err", 401, "token-revoked"]);
  assert.deepEqual(await client.closed(), { code: 4401, reason: "token-revoked" });
}

async function user(pair: Pair): Promise<void> {
  const { issuer, one, two } = pair;
  const token = await issuer.tokenFor(OLD);
  const ann = await open(two, token);
  const without = await open(two, await issuer.tokenFor());
  const bob = await open(two, await issuer.tokenFor({ sub: "bob", ...OLD }));
  const renewed = await open(two, await issuer.tokenFor(fresh()));
  const began_ms = performance.now();
  await admin(pair, one, "POST", { tenant: "acme", user: "ann", reason: "lost phone" });
  await isPutOut(ann, "lost phone");
  console.log(`put out on the other Shield after ${Math.round(performance.now() - began_ms)} ms`);
  await isPutOut(without, "lost phone");
  for (const shield of [one, two]) {
    assert.deepEqual(await checked(shield, token), [401, "token-revoked"]);
  }
  for (const client of [bob, renewed]) {
    client.send({ op: "ping" });
    assert.equal((await client.json()).op, "pong");
    client[Symbol.dispose]();
  }
}

async function tokenId(pair: Pair): Promise<void> {
  const { issuer, one, two } = pair;
  const claims = { sub: "carl", ...fresh() };
  const token = await issuer.tokenFor({ ...claims, jti: "t1" });
  const carl = await open(one, token);
  const other = await open(two, await issuer.tokenFor({ ...claims, jti: "t2" }));
  await admin(pair, two, "POST", { tenant: "acme", token_id: "t1" });
  await isPutOut(carl, "");
  other.send({ op: "refresh", token, id: 1 });
  const refused = await other.json();
  assert.deepEqual([refused.code, refused.reason], [401, "refresh-refused"]);
  assert.match(refused.message, /token was revoked/);
  assert.equal((await other.closed()).code, 4401);
  await admin(pair, one, "DELETE", undefined, "?tenant=acme&kind=token&id=t1");
  await until("it is lifted", async () => (await checked(two, token))[0] === 200);
}

async function ofAdmin(pair: Pair): Promise<void> {
  const { issuer, one, two } = pair;
  const token = await issuer.tokenFor({ role: "admin", sub: "mallory", ...OLD });
  const client = new AdminClient(two.ready.admin_url ?? "", token);
  const status = async () => {
    const { status, body: { reason = "" } } = await client.get("/v1/status");
    return [status, reason];
  };
  assert.deepEqual(await status(), [200, ""]);
  await admin(pair, one, "POST", { tenant: "acme", user: "mallory" });
  await until("the admin API refuses", async () => (await status())[0] === 401);
  assert.deepEqual(await status(), [401, "token-revoked"]);
}

async function tenant(pair: Pair): Promise<void> {
  const { issuer, one, two } = pair;
  const old = await issuer.tokenFor({ sub: "eve", ...OLD });
  const clients = [await open(one, old), await open(two, old)];
  const other = await issuer.tokenFor({ sub: "eve", tenant_id: "globex", ...OLD });
  await admin(pair, one, "POST", { tenant: "acme", issued_before_ms: Date.now() });
  for (const client of clients) await isPutOut(client, "");
  assert.deepEqual(await checked(two, old), [401, "token-revoked"]);
  assert.deepEqual(await checked(two, await issuer.tokenFor({ sub: "eve", ...fresh() })), [
    200,
    "",
  ]);
  assert.deepEqual(await checked(two, other), [200, ""]);
}

Deno.test("a revocation reaches every Shield, ends connections, and outlives restarts", async (t) => {
  const { issuer, nats, config, one, two } = await running();
  const pair = { issuer, one, two };
  await t.step("of a user: earlier tokens and those without iat, not later ones", () => user(pair));
  await t.step("of one token, also in a REFRESH; lifted, it is valid again", () => tokenId(pair));
  await t.step("of an admin: the admin API is closed, too", () => ofAdmin(pair));
  await t.step("of all tokens of a tenant that were issued before a moment", () => tenant(pair));
  await t.step("a Shield that starts later knows all bans", async () => {
    const { revocations } = await admin(pair, one, "GET");
    assert.deepEqual(revocations.map(({ kind, id }: Record<string, string>) => `${kind} ${id}`), [
      ...["user ann", "user mallory", "issued-before *"],
    ]);
    await nats.kill();
    await nats.start();
    await using three = await startLocalShield(config);
    const token = await issuer.tokenFor({ sub: "eve", ...OLD });
    const answer = await seen(
      "it knows",
      () => checked(three, token),
      ([status]) => status !== 503,
    );
    assert.deepEqual(answer, [401, "token-revoked"]);
  });
});
