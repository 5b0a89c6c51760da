/**
 * Backends that use NATS directly, with the accounts of docs/run_nats.md on a real NATS and Shields as processes:
 * signals, requests, and what the accounts forbid.
 */
import assert from "node:assert/strict";
import { Kvm } from "@nats-io/kv";
import { headers } from "@nats-io/nats-core";
import { connect, type NatsConnection } from "@nats-io/transport-deno";
import { seen, until } from "../shared/testing/until.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startLocalShield } from "./harness/local_bus.ts";
import { documentedAccounts } from "./harness/documented_accounts.ts";
import { type NatsServer, startNats } from "./harness/nats_server.ts";
import { samplesOf } from "./harness/server_state.ts";
import { ask, openText, RawClient } from "./peers/raw_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";

// Refused requests of backends by NATS: each with the reason that HTTP has, and in the form of NATS services.

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const utf8 = new TextEncoder();

Deno.test("a backend's request by NATS that is not allowed is refused with its reason, and nothing is published", async () => {
  await using issuer = await createIssuer();
  await using server = await startNats({ jetstream: true, config: await documentedAccounts() });
  const url = server.url.replace("nats://", "nats://shield:secret@");
  const config = `[nats]\nurls = ["${url}"]\napi = true\n[[rooms]]\nroom = "orders-*"\n` +
    `durable = true\n${issuer.config}`;
  await using shield = await startServer("shield", config, issuer.dir);
  const login = { servers: new URL(server.url).host, user: "backend", pass: "secret" };
  const nats = await connect({ ...login, inboxPrefix: "_INBOX_BACKEND" });
  const token = await issuer.tokenFor({ role: "service", sub: "billing" });
  const other = await issuer.tokenFor({ role: "service", sub: "billing", tenant_id: "globex" });
  const reader = await issuer.tokenFor({ grants: [{ room: "orders-*", actions: ["subscribe"] }] });
  const ask = async (
    verb: string,
    body: string | Uint8Array,
    bearer: string | undefined = token,
  ) => {
    const head = headers();
    if (bearer !== "") head.set("authorization", `Bearer ${bearer}`);
    const payload = typeof body === "string" ? utf8.encode(body) : body;
    const answer = await nats.request(`api.t.acme.r.orders-1.${verb}`, payload, {
      headers: head,
      timeout: 20_000,
    });
    const code = answer.headers?.get("Nats-Service-Error-Code") ?? "";
    return { code, reason: answer.headers?.get("Nats-Service-Error"), body: answer.string() };
  };
  const order = JSON.stringify({ type: "order", data: { n: 1 } });
  const cases = [
    [await ask("publish", order, ""), "401", "token-missing"],
    [await ask("publish", order, "nothing"), "401", "token-malformed"],
    [await ask("publish", order, other), "403", "tenant-mismatch"],
    [await ask("publish", order, reader), "403", "not-granted"],
    [await ask("publish", "{"), "400", "malformed-frame"],
    [await ask("publish", ""), "400", "malformed-body"],
    [await ask("publish", new Uint8Array(300_000)), "413", "too-large"],
    [await ask("publish", '{"room":"other","type":"x"}'), "400", undefined],
    [await ask("history", "[1]"), "400", "malformed-body"],
    [await ask("history", '{"limit":-1}'), "400", undefined],
    [await ask("nonsense", order), "404", "not-found"],
    [await ask("constructor", order), "404", "not-found"],
  ] as const;
  for (const [{ code, reason, body }, wanted_code, wanted] of cases) {
    assert.equal(code, wanted_code, body);
    if (wanted !== undefined) assert.equal(reason, wanted, body);
    assert.equal(JSON.parse(body).reason, reason);
  }
  const { code, body } = await ask("history", "", reader);
  assert.deepEqual({ code, messages: JSON.parse(body).messages }, { code: "", messages: [] });
  /** Number of verified tokens. */
  const looked = async () => {
    const samples = await samplesOf(shield.ready.ops_url);
    const of = (what: string) => samples.get(`shield_token_cache_${what}_total`) ?? NaN;
    return of("hits") + of("misses");
  };
  const before = await looked();
  const stored = await ask("publish", order);
  assert.equal(await looked() - before, 1, "a request is authenticated once");
  assert.deepEqual(JSON.parse(stored.body).offset, 1, stored.body);
  await nats.drain();
});

Deno.test("a ban of an hour holds, though the Shield that takes the signal has a clock that is a day ahead", async () => {
  await using issuer = await createIssuer();
  await using server = await startNats({ jetstream: true });
  const now = () => Date.now() + DAY_MS;
  const config = `[nats]\nurls = ["${server.url}"]\n${issuer.config}`;
  await using _shield = await startLocalShield(config, "", { now });
  const nats = await connect({ servers: new URL(server.url).host });
  const signal = { kind: "BAN", target: "mallory", until_ms: Date.now() + HOUR_MS };
  nats.publish("sys.t.acme.signals", JSON.stringify({ signal }));
  const bans = await new Kvm(nats).open("ARQON_BANS");
  await until("it is stored", async () => (await Array.fromAsync(await bans.keys())).length > 0);
  await nats.drain();
});

// What backends do with `sys.t.{tenant}.signals`: two Shields and a Brain as processes on a NATS with the accounts of
// docs/run_nats.md, and a backend with its own NATS client. `http_commands.ts` covers the Brain's commands,
// `shield/auth/bans_test.ts` how bans are enforced without NATS.

const ACME = "sys.t.acme.signals";

interface Cluster {
  readonly nats: NatsServer;
  readonly issuer: Issuer;
  shields: ServerProcess[];
  readonly backend: NatsConnection;
}

/** The backend's message; returns once NATS has it. */
async function signal({ backend }: Cluster, value: unknown, subject = ACME): Promise<void> {
  const raw = typeof value === "string" || value instanceof Uint8Array;
  backend.publish(subject, raw ? value : JSON.stringify(value));
  await backend.flush();
}

/** One text client on each Shield, subscribed to that room. */
async function everywhere(
  { issuer, shields }: Cluster,
  claims: Record<string, unknown>,
  room = "lobby",
): Promise<RawClient[]> {
  return await Promise.all(shields.map(async (shield) => {
    const client = await openText(shield.socket_url, await issuer.tokenFor(claims));
    await ask(client, { op: "sub", room });
    return client;
  }));
}

/** The outcome of a request with such a token at each Shield. */
async function checks(
  { issuer, shields }: Cluster,
  claims: Record<string, unknown>,
): Promise<string[]> {
  const token = await issuer.tokenFor(claims);
  return await Promise.all(shields.map(async ({ ready }) => {
    return (await new HttpPeer(ready.url ?? "", token).call("GET", "auth/check")).body.reason ??
      "ok";
  }));
}

const both = (what: string) => [what, what];

/** A command of role service to the Brain. */
async function command(cluster: Cluster, name: string, data: unknown, room = "lobby") {
  const token = await cluster.issuer.tokenFor({ sub: "moderator", role: "service" });
  using client = await openText(cluster.shields[0]!.socket_url, token);
  client.send({ op: "cmd", room, name, data, id: 1 });
  return await client.json();
}

async function banned(cluster: Cluster): Promise<void> {
  const clients = await everywhere(cluster, { sub: "mallory" });
  const [stranger] = await everywhere(cluster, { sub: "mallory", tenant_id: "globex" });
  await signal(cluster, {
    sender: "anti-spam",
    signal: { kind: "BAN", target: "mallory", reason: "spam", until_ms: 0 },
  });
  for (const client of clients) {
    const message = await client.json();
    assert.deepEqual(message.signal, { kind: "BAN", target: "mallory", reason: "spam" });
    assert.equal((await client.json()).reason, "banned");
    assert.equal((await client.closed()).code, 4403);
  }
  assert.deepEqual(await checks(cluster, { sub: "mallory" }), both("banned"));
  assert.deepEqual(await checks(cluster, { sub: "mallory", tenant_id: "globex" }), both("ok"));
  stranger!.send({ op: "ping" });
  assert.equal((await stranger!.json()).op, "pong");
  stranger![Symbol.dispose]();
  const listed = await command(cluster, "room.bans", {});
  assert.equal(listed.code, 0, JSON.stringify(listed));
  assert.match(JSON.stringify(listed.result), /"user_id":"mallory".*"by":"anti-spam"/);
}

async function outlives(cluster: Cluster, start: () => Promise<ServerProcess>): Promise<void> {
  for (const shield of cluster.shields) await shield.stop();
  cluster.shields = [await start(), await start()];
  const know = (checked: string[]) => !checked.includes("spine-unavailable");
  const checked = await seen("both know", () => checks(cluster, { sub: "mallory" }), know);
  assert.deepEqual(checked, both("banned"));
  await signal(cluster, { signal: { kind: "UNBAN", target: "mallory" } });
  const back = async () => (await checks(cluster, { sub: "mallory" })).join() === "ok,ok";
  await until("mallory is let in", back);
}

async function revoked(cluster: Cluster): Promise<void> {
  const iat = Math.floor(Date.now() / 1_000) - 60;
  const stolen = { sub: "eve", jti: "t-1", iat };
  const other = { sub: "eve", jti: "t-2", iat };
  const clients = await everywhere(cluster, stolen);
  await signal(cluster, { signal: { kind: "REVOKE", target: "t-1", reason: "stolen" } });
  for (const client of clients) {
    assert.equal((await client.json()).signal.kind, "REVOKE");
    assert.equal((await client.json()).reason, "token-revoked");
    assert.equal((await client.closed()).code, 4401);
  }
  assert.deepEqual(await checks(cluster, stolen), both("token-revoked"));
  assert.deepEqual(await checks(cluster, other), both("ok"));
  await signal(cluster, { signal: { kind: "REVOKE", target: "eve" } });
  const hit = async () => (await checks(cluster, other)).join() === "token-revoked,token-revoked";
  await until("the user's tokens are good no more", hit);
  const [{ ready }] = cluster.shields as [ServerProcess];
  const admin = await cluster.issuer.tokenFor({ sub: "root", role: "admin" });
  const operator = new HttpPeer(ready.admin_url ?? "", admin);
  const { revocations } = (await operator.call("GET", "revocations?tenant=acme")).body;
  const [one] = revocations.filter(({ id }: { id: string }) => id === "t-1" && id);
  assert.equal(one.reason, "stolen");
}

/** NATS permits the backend only its tenant's subject, and clients nothing. */
async function permitted(cluster: Cluster): Promise<void> {
  const ban = { signal: { kind: "BAN", target: "ann" } };
  const denials: string[] = [];
  const watching = (async () => {
    for await (
      const { type, error } of cluster.backend.status() as AsyncIterable<
        { type: string; error?: Error }
      >
    ) {
      if (type === "error") denials.push(String(error));
    }
  })();
  await signal(cluster, ban, "sys.t.globex.signals");
  await until("NATS denies something", () => denials.length > 0);
  assert.deepEqual(await checks(cluster, { sub: "ann", tenant_id: "globex" }), both("ok"));
  const [ann] = await everywhere(cluster, { sub: "ann" }, "signals");
  const service = await openText(
    cluster.shields[1]!.socket_url,
    await cluster.issuer.tokenFor({ sub: "svc", role: "service" }),
  );
  await ask(service, { op: "pub", room: "signals", signal: ban.signal });
  assert.deepEqual((await ann!.json()).signal, { kind: "BAN", target: "ann" }, "a message");
  ann!.send({ op: "pub", room: "signals", signal: ban.signal, id: 2 });
  assert.equal((await ann!.json()).reason, "signal-forbidden");
  assert.deepEqual(await checks(cluster, { sub: "ann" }), both("ok"));
  for (const client of [ann!, service]) client[Symbol.dispose]();
  await cluster.backend.close();
  await watching;
}

/** The page's accounts. */
async function accounts(): Promise<string> {
  const page = await Deno.readTextFile(new URL("../docs/run_nats.md", import.meta.url));
  const servers = /^authorization \{\n[^]*?^\}$/m.exec(page)?.[0];
  const backend = /^\{ user: "moderation".*$/m.exec(page)?.[0];
  assert(servers !== undefined && backend !== undefined, "the page has no accounts");
  const at = servers.lastIndexOf("]");
  return `${servers.slice(0, at)}    ${backend}\n  ${servers.slice(at)}`;
}

Deno.test("signals of backends", async (t) => {
  await using nats = await startNats({ jetstream: true, config: await accounts() });
  await using issuer = await createIssuer();
  const configOf = (user: string) =>
    `[nats]\nurls = ["${nats.url.replace("nats://", `nats://${user}:…@`)}"]\n${issuer.config}`;
  await using _brain = await startServer("brain", configOf("brain"), issuer.dir);
  const start = () => startServer("shield", configOf("shield"), issuer.dir);
  const backend = await connect({ servers: nats.url, user: "moderation", pass: "…" });
  const cluster: Cluster = { nats, issuer, backend, shields: [await start(), await start()] };
  try {
    await t.step("BAN as JSON acts on every Shield, in its tenant", () => banned(cluster));
    await t.step("it outlives a restart, and UNBAN lifts it", () => outlives(cluster, start));
    await t.step("REVOKE of a token and of a user's tokens", () => revoked(cluster));
    await t.step("a client without the permission bans nobody", () => permitted(cluster));
  } finally {
    await backend.close();
    for (const shield of cluster.shields) await shield.stop();
  }
});
