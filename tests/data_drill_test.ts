/**
 * A data protection officer's drill: a tenant with what the bus offers, and a user of it, are found, exported and erased
 * while the bus runs; then everybody is asked for them, and the files are searched for what was planted.
 */
import assert from "node:assert/strict";
import { findBytes } from "../shared/testing/find_bytes.ts";
import { seen, until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { DurableClient } from "./peers/durable_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const ROOMS = `
[limits]
messages_per_second = 10_000
[growing]
[journal]
journal = "all"
#constant journal.flush_ms = 50
[[rooms]]
room = "*"
durable = true
membership = "journal"
journal_payload = "keep"
`;
const PLANTED = 50;
/** What nobody knows but the drill: in messages, headers, state and growing messages of both users. */
const secretOf = (user: string, n: number) => `planted-${user}-${n}-secret`;
const secretsOf = (user: string) =>
  Array.from({ length: PLANTED / 2 }, (_, n) => secretOf(user, n));

/** A bus, wherever it runs. */
interface Stage {
  readonly url: string;
  readonly http_url: string;
  readonly admin_url: string;
  /** Where it keeps its data. */
  readonly folder: string;
  /** Files that may have it for a while yet: docs/data.md says so; absent: none. */
  readonly left?: RegExp;
  tokenFor(user: string, tenant: string, role?: "admin"): Promise<string>;
}

const STATE = 5;

/** One user's part of the life of the tenant. */
async function lives(stage: Stage, user: string): Promise<void> {
  using client = await DurableClient.open(stage.url, await stage.tokenFor(user, "acme"));
  const ack = async (frame: object) => {
    const answer = await client.ask(frame);
    assert.equal(answer.code, 0, JSON.stringify(answer));
  };
  const secrets = secretsOf(user);
  await client.join("orders", { presence: true });
  for (const [n, secret] of secrets.slice(2 * STATE).entries()) {
    const data = { secret, more: "x".repeat(n * 300) };
    await ack({ op: "pub", room: n % 2 === 0 ? "orders" : "chat", type: "note", data });
  }
  for (const [n, value] of secrets.slice(0, STATE).entries()) {
    const data = { key: `${user}-${n}`, value };
    await ack({ op: "cmd", room: "orders", name: "room.set", data });
  }
  for (const [n, text] of secrets.slice(STATE, 2 * STATE).entries()) {
    const id = `g-${user}-${n}`;
    await ack({ op: "cmd", room: "chat", name: "growing.start", data: { id } });
    await ack({ op: "cmd", room: "chat", name: "growing.append", data: { id, seq: 1, text } });
    if (n > 1) await ack({ op: "cmd", room: "chat", name: "growing.finish", data: { id, seq: 1 } });
  }
}

/** What a history says. */
async function historyOf(stage: Stage, room: string): Promise<string> {
  const peer = new HttpPeer(stage.http_url, await stage.tokenFor("carl", "acme"));
  const { status, body } = await peer.call("GET", `rooms/${room}/messages?limit=1000`);
  assert.equal(status, 200);
  return JSON.stringify(body);
}

/** What the files have of it, and which. */
async function found({ folder, left }: Stage, secrets: readonly string[]): Promise<string[]> {
  const places = await findBytes(folder, secrets);
  return [...places].flatMap(([secret, paths]) => paths.map((path) => `${secret} in ${path}`))
    .filter((place) => left === undefined || !left.test(place));
}

interface Store {
  readonly store: string;
  readonly count: number;
  readonly stays?: string;
}

async function drills(stage: Stage): Promise<void> {
  for (const user of ["ann", "bob"]) await lives(stage, user);
  const token = await stage.tokenFor("officer", "acme", "admin");
  const admin = new HttpPeer(stage.admin_url, token);
  const call = async (method: string, path: string, body?: unknown) => {
    const answer = await admin.call(method, path, body);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  };
  const stocks = async (of: string): Promise<readonly Store[]> =>
    (await call("GET", `data?tenant=acme${of}`)).stores;
  const lines = async (of: string) => {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`${stage.admin_url}/v1/data/export?tenant=acme${of}`, { headers });
    return await response.text();
  };
  const has = (text: string, user: string) =>
    secretsOf(user).filter((secret) => text.includes(secret)).length;

  await until("the members have left", async () => {
    return !(await stocks("")).some(({ store }) => store === "members");
  });
  await until(
    "decisions are stored",
    async () => (await stocks("")).some(({ store, count }) => store === "journal" && count > 0),
  );
  const names = (await stocks("")).map(({ store }) => store);
  for (const store of ["messages", "journal", "rooms", "growing"]) {
    assert(names.includes(store), store);
  }

  // A user: exported, erased, and then nobody has it but the state that the application has set.
  const bobs = await lines("&user=bob");
  assert.ok(has(bobs, "bob") >= PLANTED / 2 - STATE, "messages and growing ones");
  assert.equal(has(bobs, "ann"), 0, "and nothing of others");
  await call("POST", "data/erase", { tenant: "acme", user: "bob" });
  for (const { store, stays } of await stocks("&user=bob")) assert.ok(stays, `${store} has some`);
  for (const room of ["orders", "chat"]) {
    const history = () => historyOf(stage, room);
    const told = await seen("bob to be gone", history, (text) => has(text, "bob") === 0, 5_000);
    assert.ok(has(told, "ann") > 0, "what others wrote is there");
  }
  assert.deepEqual(await found(stage, secretsOf("bob").slice(STATE)), []);

  // The tenant.
  assert.equal(has(await lines(""), "ann"), PLANTED / 2);
  await call("POST", "data/erase", { tenant: "acme", all: true });
  const left = (await stocks("")).filter(({ store }) => !["journal", "usage"].includes(store));
  assert.deepEqual(left, []);
  assert.equal(has(await lines(""), "ann") + has(await lines(""), "bob"), 0);
  for (const room of ["orders", "chat"]) {
    assert.equal(has(await historyOf(stage, room), "ann"), 0);
  }
  const peer = new HttpPeer(stage.http_url, await stage.tokenFor("carl", "acme"));
  const state = await peer.call("GET", "rooms/orders/state/ann-0");
  assert.equal(state.body.result.exists, false);
  const all = [...secretsOf("ann"), ...secretsOf("bob")];
  assert.deepEqual(await found(stage, all), []);
}

Deno.test("embedded: a user and a tenant are exported and erased, and no file has a byte of them", async () => {
  const data_dir = await Deno.makeTempDir({ prefix: "arqon-drill-" });
  try {
    await using bus = await startLocalBus(`[admin]\noperator_tenants = ["ops"]\n${ROOMS}`, {
      data_dir,
    });
    const { url, http_url, admin_url } = bus;
    await drills({
      ...{ url, http_url, admin_url, folder: data_dir },
      tokenFor: (user, tenant, role = undefined) =>
        bus.tokenFor({ user, tenant, ...(role === undefined ? {} : { role }) }),
    });
  } finally {
    await Deno.remove(data_dir, { recursive: true });
  }
});

Deno.test("nats: a user and a tenant are exported and erased, and no stream of messages has a byte of them", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}${ROOMS}`;
  await using _brain = await startServer("brain", config.replace("[growing]\n", ""), issuer.dir);
  await using shield = await startServer("shield", config, issuer.dir);
  const http_url = new URL(shield.ready.url ?? "").origin.replace(/^ws/, "http");
  await drills({
    url: `${http_url.replace(/^http/, "ws")}/v1/socket`,
    ...{
      http_url,
      admin_url: shield.ready.admin_url ?? "",
      folder: nats.store,
      left: /\/KV_ARQON_/,
    },
    tokenFor: (user, tenant, role) =>
      issuer.tokenFor({ sub: user, tenant_id: tenant, ...(role === undefined ? {} : { role }) }),
  });
});
