/**
 * Revoked tokens on two Shields and one real NATS, which is also killed; a Shield that starts later knows all
 * revocations. Bans are tested by `http_commands.ts` and, at each of several Shields, `signals_test.ts`, which also
 * revokes a user's tokens; `http_api_test.ts` revokes those of an admin.
 */
import assert from "node:assert/strict";
import { type ArqonError, connect } from "@arqon/sdk";
import { seen, until } from "../shared/testing/until.ts";
import { createIssuer, type Issuer } from "./harness/cluster.ts";
import { type LocalShield, startLocalShield } from "./harness/local_bus.ts";
import { type NatsServer, startNats } from "./harness/nats_server.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";

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

const open = ({ socket_url }: LocalShield, token: string) => openText(socket_url, token);

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

async function tenant(pair: Pair): Promise<void> {
  const { issuer, one, two } = pair;
  const old = await issuer.tokenFor({ sub: "eve", ...OLD });
  const ended = [await open(one, old), await open(two, old)];
  const good = [
    await issuer.tokenFor({ sub: "eve", ...fresh() }),
    await issuer.tokenFor({ sub: "eve", tenant_id: "globex", ...OLD }),
  ];
  const others = await Promise.all(good.map((token) => open(two, token)));
  const revoked = { tenant: "acme", issued_before_ms: Date.now(), reason: "lost keys" };
  const began_ms = performance.now();
  await admin(pair, one, "POST", revoked);
  for (const client of ended) await isPutOut(client, "lost keys");
  console.log(`put out on both Shields after ${Math.round(performance.now() - began_ms)} ms`);
  assert.deepEqual(await checked(two, old), [401, "token-revoked"]);
  for (const token of good) assert.deepEqual(await checked(two, token), [200, ""]);
  for (const client of others) {
    client.send({ op: "ping" });
    assert.equal((await client.json()).op, "pong");
    client[Symbol.dispose]();
  }
}

/** While NATS is unreachable new clients are refused, as bans are unknown; open connections stay. */
async function outlast({ issuer, one }: Pair, nats: NatsServer): Promise<void> {
  const states: string[] = [];
  const open = async (transport: "websocket" | "http") =>
    await connect({
      url: one.ready.url ?? "",
      token: await issuer.tokenFor(fresh()),
      transport,
      onStatus: ({ state }) => states.push(`${transport}: ${state}`),
    });
  await using socket = await open("websocket");
  await using requests = await open("http");
  const before = [...states];
  const reasons = () =>
    Promise.all(
      [socket, requests].map((client) =>
        client.room("lobby").publish("t", 1).then(() => "", ({ reason }: ArqonError) => reason)
      ),
    );
  const all = (reason: string) => (given: string[]) => given.every((one) => one === reason);
  await nats.kill();
  await seen("both are refused", reasons, all("spine-unavailable"));
  await nats.start();
  await seen("both are served again", reasons, all(""));
  assert.deepEqual(states, before);
}

Deno.test("a revocation reaches every Shield, ends connections, and outlives restarts", async (t) => {
  await using issuer = await createIssuer();
  await using nats = await startNats({ jetstream: true });
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n`;
  await using one = await startLocalShield(config);
  await using two = await startLocalShield(config);
  const pair = { issuer, one, two };
  await t.step("of one token, also in a REFRESH; lifted, it is valid again", () => tokenId(pair));
  await t.step("of all tokens of a tenant that were issued before a moment", () => tenant(pair));
  await t.step("a Shield that starts later knows all bans", async () => {
    const { revocations } = await admin(pair, one, "GET");
    assert.deepEqual(revocations.map(({ kind }: { kind: string }) => kind), ["issued-before"]);
    await nats.kill();
    await nats.start();
    await using three = await startLocalShield(config);
    const token = await issuer.tokenFor({ sub: "eve", ...OLD });
    const look = () => checked(three, token);
    const answer = await seen("it knows", look, ([status]) => status !== 503);
    assert.deepEqual(answer, [401, "token-revoked"]);
  });
  await t.step("open connections outlast NATS, also over HTTP", () => outlast(pair, nats));
});
