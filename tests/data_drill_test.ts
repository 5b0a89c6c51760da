/**
 * A data protection officer's drill: a tenant that uses everything, and one of its users, are found, exported and
 * erased while the bus runs. Then every reader is asked for them, and the files are searched for planted text.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-deno";
import { ENCODED_KEYS } from "../shared/spine/contract/kv_key.ts";
import { findBytes } from "../shared/testing/find_bytes.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { seen, until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { Receiver, SECRET } from "./hooks/receiver.ts";
import { DurableClient } from "./peers/durable_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ping } from "../shield/schema/testing/schemas.ts";
import { asker, OLD_RULE, upload } from "./rollout_traffic.ts";
import { secretFile } from "../shared/config/testing/secret_file.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { openWith } from "./peers/centrifugo_peer.ts";
import { reducedRooms } from "../shared/testing/reducers.ts";

const APP_SECRET = "a secret of the app";
/** For Shields only. */
const SHIELDS = `
[growing]
[centrifugo]
enabled = true
[pusher]
[[pusher.apps]]
id = "app-1"
key = "key-1"
secret_file = "${secretFile(APP_SECRET)}"
tenant = "acme"
`;
const ROOMS = `
[limits]
messages_per_second = 10_000
[webhooks]
private_hosts = ["127.0.0.1"]
tenant_private_hosts = ["127.0.0.1"]
#constant webhooks.backoff_ms = 10
#constant webhooks.backoff_max_ms = 100
#constant webhooks.survey_ms = 500
[usage]
enabled = true
#constant usage.flush_ms = 50
[ledger]
store = true
#constant ledger.flush_ms = 50
#constant reducers.snapshot_entries = 3
${reducedRooms("poll-*", "poll", 'reducer_visible = ["asked"]')}
${durableRooms("proven-*", "proof = true")}
[journal]
journal = "all"
#constant journal.flush_ms = 50
${durableRooms("*", 'membership = "journal"')}
#constant journal.journal_payload = "keep"
`;
const PLANTED = 50;
/** Text known only to the drill: in messages, headers, state and growing messages of both users. */
const secretOf = (user: string, n: number) => `planted-${user}-${n}-secret`;
const secretsOf = (user: string) =>
  Array.from({ length: PLANTED / 2 }, (_, n) => secretOf(user, n));

/** A bus, wherever it runs. */
interface Stage {
  readonly url: string;
  readonly http_url: string;
  readonly admin_url: string;
  /** The folder of its data. */
  readonly folder: string;
  /** Files that may contain the data for a while, as docs/data.md says; absent: none. */
  readonly left?: RegExp;
  /** What can still be read in the streams, and where; absent: there are none. */
  readonly readable?: (secrets: readonly string[]) => Promise<string[]>;
  readonly receiver: Receiver;
  tokenFor(user: string, tenant: string, role?: "admin"): Promise<string>;
}

const STATE = 5;

/** One user's activity in the tenant. */
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

/** A text that a client plants through one feature of the bus. */
interface Planting {
  readonly stage: Stage;
  readonly user: string;
  readonly secret: string;
  readonly nick: string;
  /** The user over HTTP; an admin of the tenant. */
  readonly peer: HttpPeer;
  readonly admin: HttpPeer;
}

async function done(peer: HttpPeer, method: string, path: string, body?: unknown): Promise<void> {
  const { status, body: answer } = await peer.call(method, path, body);
  assert.ok(
    status >= 200 && status < 300,
    `${method} ${path}: ${status} ${JSON.stringify(answer)}`,
  );
}

/** Subscribes to a presence channel as the user of that name, by the protocol of Pusher, and leaves. */
async function pusherMember({ stage, secret }: Planting): Promise<void> {
  const socket = new WebSocket(`${stage.http_url.replace("http", "ws")}/app/key-1?protocol=7`);
  const events: { event: string; data: string }[] = [];
  socket.onmessage = ({ data }) => void events.push(JSON.parse(data));
  const receives = async (event: string) =>
    await seen(
      event,
      () => Promise.resolve(events.find((one) => one.event === event)),
      (one) => one !== undefined,
    );
  const { socket_id } = JSON.parse((await receives("pusher:connection_established"))!.data);
  const channel = "presence-a";
  const channel_data = JSON.stringify({ user_id: secret });
  const signed = createHmac("sha256", APP_SECRET).update(`${socket_id}:${channel}:${channel_data}`);
  const auth = `key-1:${signed.digest("hex")}`;
  socket.send(JSON.stringify({ event: "pusher:subscribe", data: { channel, auth, channel_data } }));
  await receives("pusher_internal:subscription_succeeded");
  socket.close();
}

/** Subscribes and publishes by the protocol of Centrifugo. */
async function centrifugoMessage({ stage, user, secret }: Planting): Promise<void> {
  const url = stage.http_url.replace("http", "ws");
  using client = await openWith({ url }, await stage.tokenFor(user, "acme"));
  const commands = [
    { subscribe: { channel: "chat" } },
    { publish: { channel: "chat", data: { secret } } },
  ];
  for (const command of commands) {
    const { error } = await client.ask(command);
    assert.equal(error, undefined, JSON.stringify(error));
  }
}

/** Data that is erased with its user, and data that is erased only with the tenant. */
const PLANTINGS: Readonly<
  Record<"user" | "tenant", Record<string, (at: Planting) => Promise<void>>>
> = {
  user: {
    headers: ({ peer, secret }) =>
      done(peer, "POST", "rooms/chat/messages", { data: 1, headers: { "x-mine": secret } }),
    proof: ({ peer, secret }) => done(peer, "POST", "rooms/proven-1/messages", { data: secret }),
    async streams({ stage, user, nick, secret }) {
      const authorization = `Bearer ${await stage.tokenFor(user, "acme")}`;
      const headers = { authorization, "content-type": "text/plain" };
      for (const [method, body] of [["PUT", ""], ["POST", secret]] as const) {
        const url = `${stage.http_url}/v1/streams/stream-${nick}`;
        const { ok, status } = await fetch(url, { method, headers, body });
        assert.ok(ok, `${method} ${status}`);
      }
    },
    async "long text"({ stage, user, nick, secret }) {
      using client = await DurableClient.open(stage.url, await stage.tokenFor(user, "acme"));
      const name = { id: `long-${nick}` };
      const ask = async (part: string, data: object) => {
        const answer = await client.ask({ op: "cmd", room: "chat", name: `growing.${part}`, data });
        assert.equal(answer.code, 0, JSON.stringify(answer));
      };
      await ask("start", name);
      for (let seq = 1; seq <= 7; seq++) {
        await ask("append", { ...name, seq, text: `${secret} ${"y".repeat(8_000)}` });
      }
    },
    async "dead letters"({ stage, nick, peer, admin, secret }) {
      stage.receiver.answer = () => new Response(null, { status: 400 });
      const path = `tenants/acme/hooks/letters-${nick}`;
      const hook = {
        url: stage.receiver.url,
        secret: SECRET,
        room: `hooked-${nick}`,
        events: ["room.message"],
      };
      await done(admin, "PUT", path, hook);
      const read = async () => (await admin.call("GET", path)).body;
      await seen("a Brain has the hook", read, ({ hook }) => hook?.since != null);
      await done(peer, "POST", `rooms/hooked-${nick}/messages`, { data: secret });
      await seen("a dead letter", read, (body) => JSON.stringify(body).includes("evt_"));
    },
    tickets: ({ peer, secret }) => done(peer, "POST", "tickets", { rooms: [secret] }),
    centrifugo: centrifugoMessage,
  },
  tenant: {
    async "room names"({ peer, secret }) {
      const message = { data: 1, message_id: `in ${secret}` };
      await done(peer, "POST", `rooms/${secret}/messages`, message);
      const data = { key: "k", value: 1 };
      await done(peer, "POST", `rooms/${secret}/commands`, { name: "room.set", data });
    },
    // The ledger of deliveries contains them, too.
    "message ids": ({ peer, secret }) =>
      done(peer, "POST", "rooms/chat/messages", { data: 1, message_id: secret }),
    async reducers({ nick, peer, secret }) {
      const call = (command: string, data: string) =>
        done(peer, "POST", `rooms/poll-${nick}/commands`, {
          name: "room.call",
          data: { command, data },
        });
      await call("ask", `6000\n${secret}\none\ntwo`);
      for (let vote = 1; vote <= 6; vote++) await call("vote", `${1 + vote % 2}`);
    },
    pusher: pusherMember,
    schedules: ({ user, nick, admin, secret }) =>
      done(admin, "PUT", `tenants/acme/schedules/of-${nick}`, {
        room: "chat",
        message: { type: "tick", data: secret },
        every_ms: 86_400_000,
        user,
      }),
    bans: ({ admin, secret }) =>
      done(admin, "POST", "rooms/acme/banned/ban", {
        user_id: "eve",
        scope: "room",
        reason: secret,
      }),
    revocations: ({ admin, secret }) =>
      done(admin, "POST", "revocations", { tenant: "acme", user: secret, reason: "lost" }),
    hooks: ({ nick, admin, stage, secret }) =>
      done(admin, "PUT", `tenants/acme/hooks/of-${nick}`, {
        url: `${stage.receiver.url}&of=${secret}`,
        secret: SECRET,
        room: "other",
        events: ["room.message"],
      }),
    mirror: ({ admin, secret }) =>
      done(admin, "PUT", "tenants/acme/mirror", { prefix: `in.t.acme.r.${secret}`, percent: 0 }),
    async mappings({ stage, admin, secret }) {
      const ask = asker(stage.admin_url, await stage.tokenFor("officer", "ops", "admin"));
      assert.equal((await ask("PUT", "schemas/drill", ping())).status, 200);
      await done(admin, "PUT", "tenants/acme/mappings", {
        subject: `in.t.acme.r.${secret}`,
        schema_id: "drill",
        message: "t.Ping",
      });
    },
    async policies({ stage, admin, secret }) {
      const ask = asker(stage.admin_url, await stage.tokenFor("officer", "ops", "admin"));
      const sha256 = await upload(ask, OLD_RULE);
      await done(admin, "POST", "policies/deploy", {
        tenant: "acme",
        name: secret,
        sha256,
        room: "unused",
      });
    },
  },
};
/** The name is stored only as the author of an action, and is erased with the tenant. */
const EVE = "planted-eve-name-secret";
const plantedBy = (goes: keyof typeof PLANTINGS) =>
  ["dan", EVE].flatMap((user) => Object.keys(PLANTINGS[goes]).map((what) => plantedOf(user, what)));
/** For rooms and hooks, whose names remain. */
const nickOf = (user: string) => user === EVE ? "eve" : user;
const plantedOf = (user: string, what: string) =>
  `planted-${nickOf(user)}-${what.replace(" ", "-")}-secret`;

/** Each can be found after planting: otherwise its absence would prove nothing. */
async function plants(stage: Stage): Promise<void> {
  const admin = new HttpPeer(stage.admin_url, await stage.tokenFor("officer", "acme", "admin"));
  for (const user of ["dan", EVE]) {
    const peer = new HttpPeer(stage.http_url, await stage.tokenFor(user, "acme"));
    for (const goes of ["user", "tenant"] as const) {
      for (const [what, plant] of Object.entries(PLANTINGS[goes])) {
        const secret = plantedOf(user, what);
        await plant({ stage, user, secret, nick: nickOf(user), peer, admin });
        // The metadata of members is not stored.
        if (what === "pusher") continue;
        await seen(
          `${secret} is kept`,
          () => found(stage, [secret]),
          (places) => places.length > 0,
        );
      }
    }
  }
}

/** The content of a history. */
async function historyOf(stage: Stage, room: string): Promise<string> {
  const peer = new HttpPeer(stage.http_url, await stage.tokenFor("carl", "acme"));
  const { status, body } = await peer.call("GET", `rooms/${room}/messages?limit=1000`);
  assert.equal(status, 200);
  return JSON.stringify(body);
}

/** As encoded in a bucket's key. */
const asKey = (text: string) => ENCODED_KEYS.encode([text]);

/** What is stored, and where. */
async function found(stage: Stage, secrets: readonly string[]): Promise<string[]> {
  const { folder, left, readable } = stage;
  const places = await findBytes(folder, [...secrets, ...secrets.map(asKey)]);
  const in_files = [...places].flatMap(([secret, paths]) =>
    paths.map((path) => `${secret} in ${path}`)
  )
    .filter((place) => left === undefined || !left.test(place));
  return [...in_files, ...await readable?.(secrets) ?? []];
}

/** What a reader of a NATS's streams can find, including deleted entries, whose bytes may still be in the files. */
async function inStreams(url: string, secrets: readonly string[]): Promise<string[]> {
  const connection = await connectNats({ servers: url });
  await using _end = atEnd(() => connection.close());
  const manager = await jetstreamManager(connection);
  const places = new Set<string>();
  for await (const { config: { name }, state } of manager.streams.list()) {
    if (state.messages === 0 || name === "ARQON_AUDIT") continue;
    const consumer = await jetstream(connection).consumers.get(name);
    let left = (await consumer.info()).num_pending;
    if (left === 0) continue;
    for await (const message of await consumer.consume()) {
      const text = `${message.subject} ${message.headers ?? ""} ${message.string()}`;
      // A tombstone with the key stays in its bucket for a day at most, and has no value.
      const is_delete = message.headers?.get("KV-Operation") === "DEL";
      for (const secret of secrets) {
        if (text.includes(secret) || (!is_delete && text.includes(asKey(secret)))) {
          places.add(`${secret} in ${name}`);
        }
      }
      if (--left === 0) break;
    }
  }
  return [...places];
}

interface Store {
  readonly store: string;
  readonly count: number;
  readonly stays?: string;
}

/** The remains of everything planted. */
async function leftOf(stage: Stage, token: string): Promise<string[]> {
  const all = [
    ...secretsOf("ann"),
    ...secretsOf("bob"),
    ...plantedBy("user"),
    ...plantedBy("tenant"),
    EVE,
  ];
  // An admin's requests are in the audit log, too, which remains: embedded it is in one file with the rest.
  const audit = await fetch(`${stage.admin_url}/v1/audit?tenant=acme&limit=1000`, {
    headers: { authorization: `Bearer ${token}` },
  });
  assert.equal(audit.status, 200);
  const audited = await audit.text();
  const is_kept = (text: string) => stage.readable === undefined && audited.includes(text);
  return await found(stage, all.filter((text) => !is_kept(text)));
}

async function drills(stage: Stage): Promise<void> {
  for (const user of ["ann", "bob"]) await lives(stage, user);
  await plants(stage);
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

  // A user: exported, erased, and then nothing is left but the state that the application has set.
  const bobs = await lines("&user=bob");
  assert.ok(has(bobs, "bob") >= PLANTED / 2 - STATE, "messages and growing ones");
  assert.equal(has(bobs, "ann"), 0, "and nothing of others");
  await call("POST", "data/erase", { tenant: "acme", user: "bob" });
  for (const { store, stays } of await stocks("&user=bob")) assert.ok(stays, `${store} has some`);
  for (const room of ["orders", "chat"]) {
    const history = () => historyOf(stage, room);
    const remaining = await seen("bob has left", history, (text) => has(text, "bob") === 0, 5_000);
    assert.ok(has(remaining, "ann") > 0, "what others wrote is there");
  }
  assert.deepEqual(await found(stage, secretsOf("bob").slice(STATE)), []);
  await call("POST", "data/erase", { tenant: "acme", user: "dan" });
  const dans = plantedBy("user").filter((text) => text.includes("dan"));
  assert.deepEqual(await found(stage, dans), []);

  // The tenant.
  assert.equal(has(await lines(""), "ann"), PLANTED / 2);
  await call("POST", "data/erase", { tenant: "acme", all: true });
  const left = (await stocks("")).filter(({ store }) => !["journal", "usage"].includes(store));
  assert.deepEqual(left, []);
  assert.equal(has(await lines(""), "ann") + has(await lines(""), "bob"), 0);
  for (const room of ["orders", "chat"]) {
    assert.equal(has(await historyOf(stage, room), "ann"), 0);
  }
  await until("its policies are no longer in force", async () => {
    const { here } = await call("GET", "policies?tenant=acme");
    return here.state === "active" && here.policies === 0;
  });
  const peer = new HttpPeer(stage.http_url, await stage.tokenFor("carl", "acme"));
  const state = await peer.call("GET", "rooms/orders/state/ann-0");
  assert.equal(state.body.result.exists, false);
  assert.deepEqual(await leftOf(stage, token), []);
}

Deno.test("embedded: a user and a tenant are exported and erased, and no file has a byte of them", async () => {
  await using data_dir = await temporaryFolder();
  await using receiver = new Receiver();
  const config = `[admin]\noperator_tenants = ["ops"]\n${SHIELDS}${ROOMS}`;
  await using bus = await startLocalBus(config, { data_dir: data_dir.path });
  const { url, http_url, admin_url } = bus;
  await drills({
    url,
    http_url,
    admin_url,
    receiver,
    folder: data_dir.path,
    tokenFor: (user, tenant, role = undefined) =>
      bus.tokenFor({ user, tenant, ...(role === undefined ? {} : { role }) }),
  });
});

Deno.test("nats: a user and a tenant are exported and erased, and no stream has anything of them", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  await using receiver = new Receiver();
  const config = `[nats]\nurls = ["${nats.url}"]\n${issuer.config}${ROOMS}`;
  await using _brain = await startServer("brain", config, issuer.dir);
  await using shield = await startServer("shield", `${config}${SHIELDS}`, issuer.dir);
  const http_url = new URL(shield.ready.url ?? "").origin.replace(/^ws/, "http");
  await drills({
    url: `${http_url.replace(/^http/, "ws")}/v1/socket`,
    http_url,
    receiver,
    admin_url: shield.ready.admin_url ?? "",
    folder: nats.store,
    // Purged is not overwritten. Logs of tenants are not among them.
    left: /\/(KV_|OBJ_)?ARQON_/,
    readable: (secrets) => inStreams(nats.url, secrets),
    tokenFor: (user, tenant, role) =>
      issuer.tokenFor({ sub: user, tenant_id: tenant, ...(role === undefined ? {} : { role }) }),
  });
});
