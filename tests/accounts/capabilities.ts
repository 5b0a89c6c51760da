/**
 * The features of a bus that use NATS, one function for each: it uses the feature and checks the effect. The caller
 * then checks for missing permissions.
 */
import assert from "node:assert/strict";
import { headers } from "@nats-io/nats-core";
import { connect as connectNats } from "@nats-io/transport-deno";
import { connect } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { HttpSocket } from "@arqon/sdk/http";
import { reduced } from "@arqon/sdk/reducers";
import { runArq, succeeds } from "../../arq/testing/run_arq.ts";
import { atEnd } from "../../shared/testing/at_end.ts";
import { serving } from "../../shared/testing/serving.ts";
import { until } from "../../shared/testing/until.ts";
import { ping } from "../../shield/schema/testing/schemas.ts";
import { adminRequests, withoutUnknown } from "../admin/admin_requests.ts";
import { locks, moderation, presence, state, tenants, type TwoWays } from "../http_commands.ts";
import { shippedAccounts } from "../harness/documented_accounts.ts";
import { startNats } from "../harness/nats_server.ts";
import { EventReader } from "../peers/event_reader.ts";
import { asker, GOOD_RULE, OLD_RULE, putPolicy, rolloutBody, upload } from "../rollout_traffic.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { send } from "../peers/own_connections.ts";
import type { AccountsWorld } from "./world.ts";
import { builtReducer } from "../../shared/testing/reducers.ts";

type Capability = (world: AccountsWorld) => Promise<void>;

const publish = async (world: AccountsWorld, at: 0 | 1, room: string, body: object) => {
  const peer = await world.peer(at);
  const answer = await peer.call("POST", `rooms/${room}/messages`, body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
};

/** State, locks, presence, bans, kicks: each on either Shield. */
const commands: Capability = async ({ url, issuer }) => {
  const bus: TwoWays = {
    urls: [url(0), url(1)],
    tokenFor: ({ user, role = "user", tenant = "acme", claims = {} }) =>
      issuer.tokenFor({ sub: user, role, tenant_id: tenant, ...claims }),
  };
  for (const one of [state, locks, presence, moderation, tenants]) await one(bus);
};

/** Stored by one Shield, received and read at the other, also messages stored meanwhile; the oldest are trimmed. */
const durable: Capability = async (world) => {
  await using ann = await world.connect(0, "ann");
  await using bob = await world.connect(1, "bob");
  await using subscription = bob.room("kept-1").subscribe();
  await subscription.ready;
  for (let n = 0; n < 5; n++) {
    await ann.room("kept-1").publish("t", { n }, { message_id: `m${n}` });
    await ann.room("few-1").publish("t", { n });
  }
  let count = 0;
  for await (const _ of subscription) if (++count === 5) break;
  const { messages } = await history(bob.room("kept-1"), { limit: 3 });
  assert.equal(messages.length, 3);
  const few = async () => (await history(bob.room("few-1"), { limit: 10 })).messages.length;
  await until("the oldest are removed", async () => await few() === 2);
};

/** A tenant with its own durable class has its own stream. */
const ownStream: Capability = async (world) => {
  const peer = await world.peer(1, { tenant_id: "globex" });
  const { status, body } = await peer.call("POST", "rooms/own-1/messages", { type: "t", data: 1 });
  assert.equal(status, 200, JSON.stringify(body));
};

/** A growing body, a growing command, and an abandoned one. */
const growing: Capability = async (world) => {
  const peer = await world.peer(0);
  const text = { "content-type": "text/plain" };
  const grown = await peer.call("POST", "rooms/kept-grown/streams?id=one", "whole", text);
  assert.equal(grown.status, 200, JSON.stringify(grown.body));
  await using ann = await world.connect(1, "ann");
  const room = ann.room("kept-grown");
  await room.command("growing.start", { id: "two", type: "answer" });
  await room.command("growing.append", { id: "two", seq: 1, text: "half" });
  await room.command("growing.finish", { id: "two", seq: 1 });
  await room.command("growing.start", { id: "three", type: "answer" });
  assert.equal(
    (await room.command("growing.list")).json<{ messages: unknown[] }>().messages.length,
    1,
  );
  await until(
    "both are stored",
    async () => (await history(room, { limit: 9 })).messages.length === 2,
  );
};

/** A room as an HTTP stream: created, appended to, read by long-poll at the other Shield, forked, deleted. */
const streams: Capability = async (world) => {
  const token = await world.issuer.tokenFor();
  const type = { "content-type": "text/plain" };
  const ask = async (at: 0 | 1, method: string, path: string, body?: string) => {
    const url = `${world.url(at)}/v1/streams/${path}`;
    const response = await send(url, token, method, body, type);
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return { text, next: response.headers.get("stream-next-offset") };
  };
  const { next } = await ask(0, "PUT", "kept-stream");
  const waiting = ask(1, "GET", `kept-stream?offset=${next}&live=long-poll`);
  await ask(0, "POST", "kept-stream", "one");
  assert.equal((await waiting).text, "one");
  await ask(1, "DELETE", "kept-stream");
};

/** A page's ticket from one Shield is valid at the other; a client without WebSocket uses both. */
const http: Capability = async (world) => {
  const peer = await world.peer(0);
  const { body: { ticket } } = await peer.call("POST", "tickets", { rooms: ["lobby"] });
  using reader = await EventReader.open(`${world.url(1)}/v1/rooms/lobby/events?ticket=${ticket}`);
  await reader.until("subscribed");
  const [first, second] = [0, 1].map((at) => new URL(world.url(at as 0 | 1)).host);
  /** Holds streams back, so that the client polls. */
  let holds = false;
  const held = Promise.withResolvers<Response>();
  await using proxy = serving((request) => {
    const url = new URL(request.url);
    const is_stream = url.pathname === "/v1/connections";
    url.host = (is_stream ? first : second) ?? "";
    if (holds && is_stream && !url.searchParams.has("poll")) return held.promise;
    return fetch(new Request(url, request));
  });
  for (holds of [false, true]) {
    await using bus = await connect({
      url: proxy.url,
      token: await world.issuer.tokenFor(),
      webSocket: HttpSocket,
    });
    assert.equal(bus.welcome.node_id, "shield-0");
    await using messages = bus.room("lobby").subscribe();
    await messages.ready;
    await bus.room("lobby").publish("t", 1);
    assert.equal((await messages.next()).value?.json(), 1);
  }
  held.resolve(new Response());
};

/** Members of a room are recorded in its journal, also in a room that stores messages and has a hook. */
const membership: Capability = async (world) => {
  for (const room_id of ["stage-1", "hooked-1"]) {
    const ann = await world.connect(0, "ann");
    await ann.room(room_id).subscribe({ presence: true }).ready;
    const reader = await world.peer(1, { sub: "reader" });
    const lines = async () => {
      const path = `rooms/${room_id}~members/messages?limit=100`;
      const { status, body } = await reader.call("GET", path);
      return status === 200 ? body.messages.length : 0;
    };
    await until("ann is in the journal", async () => await lines() >= 2);
    await ann.close();
    await until("ann has left", async () => await lines() >= 4);
  }
};

/** Hooks are called for messages and members. */
const hooks: Capability = async (world) => {
  const called = () => world.receiver.taken.map(({ body }) => body.type);
  await until("the hook is called for members", () => called().includes("member.left"));
  await publish(world, 0, "hooked-1", { type: "order", data: { n: 1 } });
  await until("the hook is called for messages", () => called().includes("room.message"));
  assert.deepEqual(world.receiver.problems, []);
};

/** A due schedule is published once, by one of the two. */
const schedules: Capability = async (world) => {
  const admin = await world.admin(0);
  const path = "/v1/tenants/acme/schedules/often";
  const schedule = { room: "kept-due", message: { type: "tick", data: 1 }, every_ms: 1_000 };
  const { status, text } = await admin.ask("PUT", path, schedule);
  assert.equal(status, 200, text);
  await using ann = await world.connect(1, "ann");
  const count = async () => (await history(ann.room("kept-due"), { limit: 9 })).messages.length;
  await until("it was published twice", async () => await count() >= 2);
  assert.equal((await admin.ask("DELETE", path)).status, 200);
};

/** A room program: calls, a snapshot, another module for the tenant's class. */
const reducers: Capability = async (world) => {
  await using ann = await world.connect(0, "ann");
  await using bob = await world.connect(1, "bob");
  for (const [at, client] of [ann, bob, ann, bob, ann, bob].entries()) {
    await reduced<{ add: [number, number] }>(client.room("count-1")).call("add", at);
  }
  const admin = await world.admin(0);
  const wasm = { "content-type": "application/wasm" };
  const class_path = "/v1/tenants/acme/reducers/count-*";
  const deployed = await admin.ask("PUT", class_path, builtReducer("counter_rust"), wasm);
  assert.equal(deployed.status, 200, deployed.text);
  await reduced<{ add: [number, number] }>(ann.room("count-1")).call("add", 7);
  await admin.read("/v1/rooms/acme/count-1/reducer");
  await admin.read("/v1/rooms/acme/count-1/past?offset=2");
};

/** A policy, another one rolled out to the end, one that is rolled back, and a verdict on both Shields. */
const policies: Capability = async (world) => {
  const token = await world.issuer.tokenFor({ role: "admin", sub: "root" });
  const ask = asker(world.shields[0].ready["admin_url"] ?? "", token);
  await putPolicy(ask, "acme", await upload(ask, OLD_RULE));
  const refused = async (at: 0 | 1) => {
    const peer = await world.peer(at);
    return (await peer.call("POST", "rooms/r/messages", { data: "abc9" })).status === 403;
  };
  for (const at of [0, 1] as const) await until("it is in force", () => refused(at));
  const sha256 = await upload(ask, GOOD_RULE);
  const steps = { canary: 0.5, at_least: 1 };
  const begun = await ask("POST", "rollouts/acme", await rolloutBody(ask, "acme", sha256, steps));
  assert.equal(begun.status, 200, JSON.stringify(begun.body));
  for (const order of ["pause", "resume"]) {
    assert.equal((await ask("POST", `rollouts/acme/${order}`)).status, 200, order);
  }
  await until("the rollout has ended", async () => {
    for (let n = 0; n < 10; n++) await publish(world, n % 2 as 0 | 1, "r", { data: "abc1" });
    return (await ask("GET", "rollouts/acme")).body.rollout?.state === "applied";
  });
  assert.equal((await ask("DELETE", "policies/rule?tenant=acme")).status, 200);
};

/** Messages that violate a schema become dead letters. */
const deadLetters: Capability = async (world) => {
  const token = await world.issuer.tokenFor({ role: "admin", sub: "root" });
  const ask = asker(world.shields[0].ready["admin_url"] ?? "", token);
  assert.equal((await ask("PUT", "schemas/checked", ping())).status, 200);
  const mapping = {
    subject: "in.t.acme.r.checked*",
    schema_id: "checked",
    message: "t.Ping",
    mode: "dead-letter",
  };
  assert.equal((await ask("PUT", "tenants/acme/mappings", mapping)).status, 200);
  const peer = await world.peer(1);
  await until("it is refused", async () => {
    const { status } = await peer.call("POST", "rooms/checked-1/messages", { data: { n: "x" } });
    return status === 422 || status === 400;
  });
};

/** The users of the commands: a backup of everything, and a restore into another, empty server. */
const backup: Capability = async ({ issuer: { dir }, natsUrl, nats }) => {
  const file = `${dir}/bus.tar`;
  await using empty = await startNats({ jetstream: true, config: await shippedAccounts() });
  const urls = { backup: natsUrl("backup"), restore: natsUrl("restore") };
  urls.restore = urls.restore.replace(`:${nats.port}`, `:${empty.port}`);
  for (const [name, url] of Object.entries(urls)) {
    await Deno.writeTextFile(`${dir}/${name}.toml`, `[nats]\nurls = ["${url}"]\n`);
    succeeds(await runArq([name, file, "--config", `${dir}/${name}.toml`]));
  }
  assert.deepEqual(empty.violations, []);
};

/** Shadow copies, their verdicts, and the comparison. */
const mirror: Capability = async (world) => {
  const admin = await world.admin(0);
  const rule = { prefix: "in.t.acme.r.mirrored*", percent: 1 };
  const { status, body } = await admin.ask("PUT", "/v1/tenants/acme/mirror", rule);
  assert.equal(status, 200);
  const other = await world.admin(1);
  await other.until(
    "/v1/tenants/acme/mirror",
    "the rule arrives",
    ({ body: { here } }) => here?.version >= body.version ? true : undefined,
  );
  for (const at of [0, 1] as const) await publish(world, at, "mirrored-1", { data: 1 });
  await admin.read("/v1/mirror/diff?tenant=acme");
};

/** A backend on NATS itself: it publishes, reads, sends commands, and receives its tenant's rooms. */
const backend: Capability = async (world) => {
  const token = await world.issuer.tokenFor({ role: "service", sub: "billing" });
  const { port } = world.nats;
  const connection = await connectNats({
    servers: `127.0.0.1:${port}`,
    user: "backend",
    pass: "secret",
    inboxPrefix: "_INBOX_BACKEND",
  });
  await using _end = atEnd(() => connection.close());
  const received: string[] = [];
  connection.subscribe("in.t.acme.r.*", {
    callback: (_, { subject }) => void received.push(subject),
  });
  await connection.flush();
  const ask = async (verb: string, body: object) => {
    const text = JSON.stringify(body);
    const own = headers();
    own.set("authorization", `Bearer ${token}`);
    const options = { timeout: 60_000, headers: own };
    const answer = await connection.request(`api.t.acme.r.lobby.${verb}`, text, options);
    return answer.string();
  };
  const answer = await ask("publish", { type: "paid", data: { n: 1 } });
  await until(`a publish is received: ${answer}`, () => received.includes("in.t.acme.r.lobby"));
  assert.match(await ask("command", { name: "room.get", data: { key: "k" } }), /"code"/);
};

/** Every route of the admin API; changes also write the audit log. */
const administration: Capability = async (world) => {
  const token = await world.issuer.tokenFor({ role: "admin", sub: "root" });
  const base = world.shields[0].ready["admin_url"] ?? "";
  for (const request of await adminRequests()) {
    const { path, body, type } = withoutUnknown(request, request.about("initech"));
    const headers = type === undefined ? {} : { "content-type": type };
    const response = await send(`${base}${path}`, token, request.method, body, headers);
    // Some answers have no end.
    if (response.ok) await response.body?.cancel();
    const problem = response.ok ? "" : await response.text();
    assert.equal(response.status, request.status, `${request.method} ${path}: ${problem}`);
  }
};

/** The stores of the Shields' records: journal, deliveries, usage. */
const stores: Capability = async (world) => {
  const admin = await world.admin(1);
  await publish(world, 0, "kept-1", { type: "t", data: 1, message_id: "asked" });
  await until(
    "the journal has it",
    async () =>
      (await admin.journal("acme")).some((line) =>
        "message_id" in line && line.message_id === "asked"
      ),
  );
  await admin.read("/v1/why?message_id=asked");
  await admin.read("/v1/usage?tenant=acme&by=room,policy,user");
};

/** A stopping Shield hands its connections to the other one, and a Brain hands over its rooms. */
const moving: Capability = async (world) => {
  await using ann = await world.connect(0, "ann");
  await using messages = ann.room("lobby").subscribe({ presence: true });
  await messages.ready;
  await world.brains[0].stop();
  await ann.room("lobby").command("room.set", { key: "after", value: 1 });
  const { status } = await (await world.admin(1)).ask("POST", "/v1/drain", { node_id: "shield-0" });
  assert.equal(status, 202);
  await world.shields[0].status;
  await (await world.peer(1)).done("PUT", "rooms/lobby/state/later", { value: 2 });
};

/** A user, a room and a tenant are erased by `arq`, also in the buckets that only Brains may write. */
const erasure: Capability = async (world) => {
  const claims = (sub: string) => ({ sub, tenant_id: "globex" });
  const admin_url = world.shields[1].ready["admin_url"] ?? "";
  const token = await world.issuer.tokenFor({ ...claims("officer"), role: "admin" });
  const arq = async (...args: string[]) => {
    const asked = ["--admin-url", admin_url, "--token", token, "--json"];
    const stdout = succeeds(await runArq([...args, ...asked]));
    return JSON.parse(stdout);
  };
  for (const sub of ["ann", "bob"]) {
    const peer = await world.peer(0, claims(sub));
    for (const room of ["kept-1", "own-1"]) {
      const { status, body } = await peer.call("POST", `rooms/${room}/messages`, { data: sub });
      assert.equal(status, 200, JSON.stringify(body));
    }
    await peer.done("PUT", "rooms/kept-1/state/by", { value: sub });
    await using client = await connect({
      url: `${world.url(0)}/v1/socket`.replace("http", "ws"),
      token: await world.issuer.tokenFor(claims(sub)),
    });
    await reduced<{ add: [number, number] }>(client.room("count-1")).call("add", 1);
  }
  const admin = new HttpPeer(admin_url, token);
  const stores = async (of = ""): Promise<string[]> => {
    const { body } = await admin.call("GET", `data?tenant=globex${of}`);
    return body.stores.map(({ store }: { store: string }) => store);
  };
  for (const store of ["messages", "rooms"]) assert.ok((await stores()).includes(store), store);
  const failed = ({ stores }: { stores: { failed?: string }[] }) =>
    stores.filter(({ failed }) => failed !== undefined);
  assert.deepEqual(failed(await arq("user", "erase", "bob", "--tenant", "globex", "--yes")), []);
  assert.deepEqual(failed(await arq("room", "erase", "kept-1", "--tenant", "globex", "--yes")), []);
  assert.deepEqual((await stores("&room=kept-1")).filter((one) => one === "rooms"), []);
  assert.deepEqual(failed(await arq("tenant", "delete", "globex", "--yes")), []);
  const counted = ["journal", "usage", "ledger"];
  assert.deepEqual((await stores()).filter((one) => !counted.includes(one)), []);
};

/** In this order: the last one ends a Shield and a Brain. */
export const CAPABILITIES: Readonly<Record<string, Capability>> = {
  commands,
  durable,
  "a stream of one's own": ownStream,
  growing,
  streams,
  http,
  membership,
  hooks,
  schedules,
  reducers,
  policies,
  "dead letters": deadLetters,
  mirror,
  backend,
  administration,
  stores,
  backup,
  erasure,
  moving,
};
