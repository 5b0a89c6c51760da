/**
 * Who is put out and kept out of two Shields on one real NATS: bans and kicks, as the test writes what a Brain would write
 * (commands that lead there are `rooms_test.ts`), and revoked tokens. NATS also dies on the way, and a Shield that is
 * started later knows all of it.
 */
import assert from "node:assert/strict";
import { writeEnvelope } from "@arqon/proto";
import { connect } from "@arqon/sdk";
import { banKey, BANS_BUCKET, encodeBan, EVERY_ROOM } from "../shared/records/bans.ts";
import type { Ban } from "../shared/records/bans.ts";
import type { KeyValue, Spine } from "../shared/spine/contract/spine.ts";
import { watched } from "../shared/spine/nats/testing/nats_harness.ts";
import { tenantSubject } from "../shared/subjects/subject.ts";
import { sharedByTests } from "../shared/testing/shared_by_tests.ts";
import { seen, until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import type { NatsServer } from "./harness/nats_server.ts";
import { openText } from "./peers/raw_client.ts";
import type { RawClient } from "./peers/raw_client.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";

const FAR_MS = 4_102_444_800_000;

interface Cluster {
  readonly nats: NatsServer;
  readonly issuer: Issuer;
  readonly shields: readonly ServerProcess[];
  readonly spine: Spine;
  readonly bucket: KeyValue;
}

const urlOf = (shield: ServerProcess) => String(shield.ready.url);
const socketUrl = (shield: ServerProcess) => `${urlOf(shield).replace(/^http/, "ws")}/v1/socket`;

async function put({ bucket }: Cluster, user_id: string, room_id: string): Promise<Ban> {
  const ban = { user_id, room_id, until_ms: FAR_MS, reason: "spam", by: "root", created_ms: 1 };
  await bucket.put(banKey("acme", room_id, user_id), encodeBan(ban));
  return ban;
}

/** One text client of the user on each Shield, subscribed to the rooms. */
async function everywhere(
  { issuer, shields }: Cluster,
  sub: string,
  rooms: readonly string[],
): Promise<RawClient[]> {
  return await Promise.all(shields.map(async (shield) => {
    const client = await openText(socketUrl(shield), await issuer.tokenFor({ sub }));
    for (const [index, room] of rooms.entries()) {
      client.send({ op: "sub", room, id: index + 1 });
      assert.equal((await client.json()).code, 0);
    }
    return client;
  }));
}

async function metric(shield: ServerProcess, line: RegExp): Promise<boolean> {
  return line.test(await (await fetch(`${shield.ready.ops_url}/metrics`)).text());
}

/** Status and reason of each way in. */
async function waysIn(shield: ServerProcess, token: string): Promise<Record<string, string>> {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = async (path: string, init: RequestInit) => {
    const response = await fetch(urlOf(shield) + path, { ...init, headers });
    const body = await response.json();
    return `${response.status} ${body.reason ?? "ok"}`;
  };
  const [status, reason] = await refusedUpgrade(urlOf(shield), { token });
  const post = { method: "POST", body: '{"type":"t"}' };
  return {
    socket: status === "101" ? "101" : `${status} ${reason}`,
    check: await answer("/v1/auth/check", {}),
    publish: await answer("/v1/rooms/lobby/messages", post),
  };
}

async function tenantBan(cluster: Cluster): Promise<void> {
  const { issuer, shields, bucket } = cluster;
  const token = await issuer.tokenFor({ sub: "ann" });
  const banned = await everywhere(cluster, "ann", ["lobby"]);
  const [bob] = await everywhere(cluster, "bob", ["lobby"]);
  const { until_ms } = await put(cluster, "ann", EVERY_ROOM);
  for (const client of banned) {
    const { room, signal } = await client.json();
    assert.deepEqual({ room, signal }, {
      room: "",
      signal: { kind: "BAN", target: "ann", reason: "spam", until_ms },
    });
    const refusal = await client.json();
    assert.equal(refusal.reason, "banned");
    assert.match(refusal.message, /^You are banned from this tenant until 2100-01-01T.*: spam$/);
    assert.deepEqual(await client.closed(), { code: 4403, reason: "banned" });
  }
  for (const shield of shields) {
    const refused = "403 banned";
    assert.deepEqual(await waysIn(shield, token), {
      socket: refused,
      check: refused,
      publish: refused,
    });
    const elsewhere = await waysIn(
      shield,
      await issuer.tokenFor({ sub: "ann", tenant_id: "other" }),
    );
    assert.deepEqual(elsewhere, { socket: "101", check: "200 ok", publish: "200 ok" });
    assert.ok(await metric(shield, /shield_kicks_total\{cause="ban"\} 1/));
    assert.ok(await metric(shield, /shield_rejects_total\{reason="banned"\} [4-9]/));
    assert.ok(await metric(shield, /shield_bans 1/));
  }
  bob?.send({ op: "ping" });
  assert.equal((await bob?.json()).op, "pong");
  await bucket.delete(banKey("acme", EVERY_ROOM, "ann"));
  for (const shield of shields) {
    await until("ann is let in", async () => (await waysIn(shield, token)).check === "200 ok");
  }
  bob?.[Symbol.dispose]();
}

async function roomBan(cluster: Cluster): Promise<void> {
  const clients = await everywhere(cluster, "carl", ["lobby", "other"]);
  await put(cluster, "carl", "lobby");
  for (const client of clients) {
    const { room, signal } = await client.json();
    assert.equal(room, "lobby");
    assert.deepEqual([signal.kind, signal.target, signal.reason], ["BAN", "lobby", "spam"]);
    const operations = [
      { op: "sub", room: "lobby" },
      { op: "pub", room: "lobby", type: "t" },
      { op: "cmd", room: "lobby", name: "room.get" },
    ];
    for (const [index, operation] of operations.entries()) {
      client.send({ ...operation, id: index + 10 });
      const { id, code, reason, message } = await client.json();
      assert.deepEqual([id, code, reason], [index + 10, 403, "room-banned"]);
      assert.match(message, /^You are banned from room lobby until 2100/);
    }
    client.send({ op: "unsub", room: "lobby", id: 20 });
    assert.equal((await client.json()).reason, "not-subscribed");
  }
  const [one, two] = clients;
  one?.send({ op: "pub", room: "other", type: "hello" });
  assert.equal((await two?.json()).type, "hello", "other rooms are as they were");
  for (const client of clients) client[Symbol.dispose]();
}

async function kick(cluster: Cluster): Promise<void> {
  const clients = await everywhere(cluster, "dora", ["lobby"]);
  const signal = { kind: "DISCONNECT", target: "dora", reason: "rude", until_ms: 0 } as const;
  const headers = { target_kind: "user" };
  const envelope = { tenant_id: "acme", room_id: "lobby", timestamp_ms: 1, headers, signal };
  cluster.spine.publish(tenantSubject("signals", "acme"), writeEnvelope(envelope));
  for (const client of clients) {
    const { room, signal: told } = await client.json();
    assert.deepEqual([room, told.kind, told.target, told.reason], [
      "lobby",
      "DISCONNECT",
      "lobby",
      "rude",
    ]);
    client.send({ op: "unsub", room: "lobby", id: 2 });
    assert.equal((await client.json()).reason, "not-subscribed");
    client.send({ op: "sub", room: "lobby", id: 3 });
    assert.equal((await client.json()).code, 0, "a kick is no ban");
    client[Symbol.dispose]();
  }
  for (const shield of cluster.shields) {
    assert.ok(await metric(shield, /shield_kicks_total\{cause="kick"\} 1/));
  }
}

async function outage(cluster: Cluster): Promise<void> {
  const { nats, issuer, shields } = cluster;
  const [client] = await everywhere(cluster, "eve", []);
  const shield = shields[0];
  assert.ok(shield !== undefined && client !== undefined);
  const health = async ({ ready } = shield) =>
    await (await fetch(`${ready.ops_url}/health/ready`)).json();
  assert.equal((await health()).checks.bans.status, "ok");
  await nats.kill();
  await until(
    "the bans are unknown",
    async () => (await health()).checks.bans.status === "unavailable",
  );
  const eve = await issuer.tokenFor({ sub: "eve" });
  const { socket, check } = await waysIn(shield, eve);
  assert.deepEqual([socket, check], ["503 spine-unavailable", "503 spine-unavailable"]);
  client.send({ op: "ping" });
  assert.equal((await client.json()).op, "pong", "who is in stays in");
  await nats.start();
  for (const each of shields) {
    await until("the bans are known", async () => (await health(each)).status === "ok");
  }
  assert.equal((await waysIn(shield, eve)).socket, "101");
  assert.equal(
    (await waysIn(shield, await issuer.tokenFor({ sub: "carl" }))).publish,
    "403 room-banned",
  );
  client[Symbol.dispose]();
}

/** Two Shields on one NATS, for both tests; each leaves all of them running. */
const running = sharedByTests(async () => {
  const issuer = await createIssuer();
  const nats = await startNats({ jetstream: true });
  const config = `${issuer.config}[nats]\nurls = ["${nats.url}"]\n`;
  const [one, two] = [
    await startServer("shield", config, issuer.dir),
    await startServer("shield", config, issuer.dir),
  ];
  return {
    ...{ issuer, nats, config, one, two },
    async [Symbol.asyncDispose]() {
      for (const part of [one, two, nats, issuer]) await part[Symbol.asyncDispose]();
    },
  };
});

Deno.test("bans and kicks on two Shields", async (t) => {
  const { issuer, nats, one, two } = await running();
  await using brain = await watched(nats.port);
  const { spine } = brain;
  const bucket = await spine.keyValue(BANS_BUCKET);
  const cluster: Cluster = { nats, issuer, shields: [one, two], spine, bucket };
  await t.step(
    "a ban ends the user's connections and bars every way in",
    () => tenantBan(cluster),
  );
  await t.step("a ban of a room ends subscriptions and bars that room", () => roomBan(cluster));
  await t.step("a kick ends subscriptions until the next SUB", () => kick(cluster));
  await t.step("without NATS nobody new gets in", () => outage(cluster));
});

const HOUR_SECONDS = 3_600;

/** In seconds, as claims have it. */
const nowSeconds = () => Math.floor(Date.now() / 1_000);

const OLD = { iat: nowSeconds() - HOUR_SECONDS };

/** Issued after every revocation of this test. */
const fresh = () => ({ iat: nowSeconds() + 60 });

interface Pair {
  readonly issuer: Issuer;
  readonly one: ServerProcess;
  readonly two: ServerProcess;
}

const socketOf = ({ ready }: ServerProcess) => `${ready.url?.replace(/^http/, "ws")}/v1/socket`;

async function open(shield: ServerProcess, token: string): Promise<RawClient> {
  return await openText(socketOf(shield), token);
}

async function admin(
  { issuer }: Pick<Pair, "issuer">,
  shield: ServerProcess,
  method: string,
  body?: object,
  query = "",
) {
  const token = await issuer.tokenFor({ role: "admin", tenant_id: "ops", sub: "root", ...OLD });
  const response = await fetch(`${shield.ready.admin_url}/v1/revocations${query}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answer));
  return answer;
}

async function checked(shield: ServerProcess, token: string): Promise<[number, string]> {
  const response = await fetch(`${shield.ready.url}/v1/auth/check`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const { reason = "" } = await response.json();
  return [response.status, reason];
}

/** The signal, the refusal and the close, in this order. */
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

async function sdk(pair: Pair): Promise<void> {
  const { issuer, one, two } = pair;
  const refusals: (string | undefined)[] = [];
  const connection = await connect({
    url: socketOf(two),
    async getToken({ refused }) {
      refusals.push(refused?.reason);
      const issued = refusals.length === 1 ? OLD : fresh();
      return await issuer.tokenFor({ sub: "dora", ...issued });
    },
  });
  await admin(pair, one, "POST", { tenant: "acme", user: "dora" });
  await until("the SDK asks for another token", () => refusals.length === 2);
  assert.deepEqual(refusals, [undefined, "token-revoked"]);
  await connection.room("lobby").publish("chat", { text: "still here" });
  await connection.close();
}

async function ofAdmin(pair: Pair): Promise<void> {
  const { issuer, one, two } = pair;
  const token = await issuer.tokenFor({ role: "admin", sub: "mallory", ...OLD });
  const status = async () => {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`${two.ready.admin_url}/v1/status`, { headers });
    const { reason = "" } = await response.json();
    return [response.status, reason];
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
  await t.step("of one token, also in a REFRESH; lifted, it is good again", () => tokenId(pair));
  await t.step("the SDK gets another token and goes on", () => sdk(pair));
  await t.step("of an admin: the admin API is closed, too", () => ofAdmin(pair));
  await t.step("of all tokens of a tenant that were issued before a moment", () => tenant(pair));
  await t.step("a Shield that starts later knows all of it", async () => {
    const { revocations } = await admin(pair, one, "GET");
    assert.deepEqual(revocations.map(({ kind, id }: Record<string, string>) => `${kind} ${id}`), [
      ...["user ann", "user dora", "user mallory", "issued-before *"],
    ]);
    await nats.kill();
    await nats.start();
    await using three = await startServer("shield", config, issuer.dir);
    const token = await issuer.tokenFor({ sub: "eve", ...OLD });
    const answer = await seen(
      "it knows",
      () => checked(three, token),
      ([status]) => status !== 503,
    );
    assert.deepEqual(answer, [401, "token-revoked"]);
  });
});
