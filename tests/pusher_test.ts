/**
 * The Pusher endpoint with Pusher's own libraries, unchanged: `pusher-js` and Laravel Echo as clients, `pusher` as the
 * backend, which signs channels and requests. Clients of the bus itself are in the same rooms.
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import Echo from "laravel-echo";
import type Backend from "pusher";
import pusher_js from "pusher-js";
import { runArq, succeeds } from "../arq/testing/run_arq.ts";
import { connect } from "../sdk/typescript/mod.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { until } from "../shared/testing/until.ts";
import { freePort } from "./harness/free_ports.ts";
import { initFolder, type ServedBus, startServe, tokenOf } from "./harness/serve_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { APP, backendOf, placeOf, Pusher, pusherConfig } from "./peers/pusher_peer.ts";

const OTHER = { appId: "app-2", key: "key-2", secret: "another app's secret" };
const CONFIG = `
[journal]
journal = "all"
#constant journal.flush_ms = 10
#constant pusher.presence_members = 3
${pusherConfig("client_events = true\nsubscription_count = true\n")}
[[pusher.apps]]
id = "${OTHER.appId}"
key = "${OTHER.key}"
secret_file = "secret.txt"
tenant = "other"
`;

interface World extends AsyncDisposable {
  readonly bus: ServedBus;
  readonly folder: string;
  readonly backend: Backend;
  /** Where clients request signatures. */
  readonly auth: string;
  client(key?: string, user?: string): Pusher;
}

/** A backend that signs every channel, for the user in the query. */
function startAuth(backend: Backend): Promise<{ url: string; close(): void }> {
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => body += chunk);
    request.on("end", () => {
      const form = new URLSearchParams(body);
      if (request.url?.startsWith("/user") === true) {
        const id = new URL(request.url, "http://x").searchParams.get("user") ?? "ann";
        void Promise.resolve(backend.authenticateUser(form.get("socket_id") ?? "", { id }))
          .then((word) => response.end(JSON.stringify(word)));
        return;
      }
      const user = new URL(request.url ?? "", "http://x").searchParams.get("user") ?? "ann";
      const channel = form.get("channel_name") ?? "";
      // The types require `id`, the protocol requires `user_id`.
      const member = { id: user, user_id: user, user_info: { name: user.toUpperCase() } };
      const data = channel.startsWith("presence-") ? member : undefined;
      const signed = Promise.resolve(
        backend.authorizeChannel(form.get("socket_id") ?? "", channel, data),
      );
      response.setHeader("content-type", "application/json");
      signed.then((word) => response.end(JSON.stringify(word)));
    });
  });
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      resolve({ url: `http://127.0.0.1:${port}/auth`, close: () => void server.close() });
    })
  );
}

async function start(): Promise<World> {
  const folder = await initFolder(CONFIG);
  await Deno.writeTextFile(`${folder.path}/secret.txt`, `${OTHER.secret}\n`);
  const bus = await startServe(folder.path);
  const backend = backendOf(bus.url);
  const auth = await startAuth(backend);
  const clients: Pusher[] = [];
  return {
    bus,
    backend,
    folder: folder.path,
    auth: auth.url,
    client(key = APP.key, user = "ann") {
      const made = new Pusher(key, {
        ...placeOf(bus.url),
        channelAuthorization: { endpoint: `${auth.url}?user=${user}`, transport: "ajax" },
        userAuthentication: {
          endpoint: `${new URL(auth.url).origin}/user?user=${user}`,
          transport: "ajax",
        },
      });
      clients.push(made);
      return made;
    },
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.disconnect();
      auth.close();
      await bus.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

type ReceivedEvent = [event: string, data: unknown];

/** Joins and waits until the client is subscribed; returns what it receives from then on. */
async function join(client: Pusher, name: string): Promise<ReceivedEvent[]> {
  const received: ReceivedEvent[] = [];
  const channel = client.subscribe(name);
  let problem: unknown;
  channel.bind("pusher:subscription_error", (error: unknown) => problem = error);
  channel.bind_global((event: string, data: unknown) => {
    if (!event.startsWith("pusher:")) received.push([event, data]);
  });
  await until(() => `in ${name}: ${JSON.stringify(problem)}`, () => channel.subscribed);
  return received;
}

async function publicChannel(world: World, ann: Pusher): Promise<void> {
  const { backend } = world;
  const one = await join(ann, "news");
  const other = await join(world.client(), "news");
  const { status } = await backend.trigger("news", "tick", { n: 1 });
  assert.equal(status, 200);
  await backend.trigger(["news", "old-news"], "tick", "words", {
    socket_id: ann.connection.socket_id,
  });
  await backend.triggerBatch([{ channel: "news", name: "last", data: [1] }]);
  await until("three", () => other.length === 3 && one.length === 2);
  assert.deepEqual(other, [["tick", { n: 1 }], ["tick", "words"], ["last", [1]]]);
  assert.deepEqual(one, [["tick", { n: 1 }], ["last", [1]]]);
  // The ledger, and with it the bill, agrees.
  const admin = new AdminClient(world.bus.admin_url, await tokenOf(world.folder, "admin"));
  const user = `user=pusher:${ann.connection.socket_id}&room=pusher:news`;
  const { body } = await admin.ask("GET", `/v1/why?${user}&since_ms=${Date.now() - 60_000}`);
  const { due, sent, missed } = body.connections[0].room;
  const outcomes = missed.map(({ outcome }: { outcome: object }) => outcome);
  assert.deepEqual([due, sent, outcomes], [3, 2, [{ state: "left_out", why: "echo" }]]);
}

async function privateChannel(world: World, ann: Pusher): Promise<void> {
  const { bus, backend } = world;
  const received = await join(ann, "private-App.User.1");
  await backend.trigger("private-App.User.1", "hello", { to: "ann" });
  await until("hello", () => received.length === 1);
  // Another app's signature is invalid.
  const signed = await backendOf(bus.url, OTHER).authorizeChannel("1.1", "private-App.User.1");
  const bad = world.client();
  (bad.config as unknown as { channelAuthorizer: unknown }).channelAuthorizer = (
    _: unknown,
    done: (error: null, auth: unknown) => void,
  ) => done(null, signed);
  const refused = bad.subscribe("private-App.User.1");
  let error: { status?: number; type?: string } | undefined;
  refused.bind("pusher:subscription_error", (event: typeof error) => error = event);
  await until("refused", () => error !== undefined);
  assert.deepEqual([error?.type, error?.status], ["AuthError", 401]);
}

async function clientEvents(world: World, ann: Pusher): Promise<void> {
  const mine = await join(ann, "private-chat");
  const theirs = await join(world.client(), "private-chat");
  assert.equal(ann.channel("private-chat").trigger("client-typing", { on: true }), true);
  await until("typing", () => theirs.length === 1);
  assert.deepEqual(theirs, [["client-typing", { on: true }]]);
  assert.deepEqual(mine, []);
}

async function presence(world: World, ann: Pusher): Promise<void> {
  const { backend } = world;
  await join(ann, "presence-room");
  const waved: string[] = [];
  const gone: unknown[] = [];
  const come: string[] = [];
  ann.channel("presence-room")
    .bind("client-wave", (_: unknown, { user_id }: { user_id: string }) => waved.push(user_id))
    .bind("pusher:member_added", ({ id }: { id: string }) => come.push(id))
    .bind("pusher:member_removed", (member: unknown) => gone.push(member));
  const bob = world.client(APP.key, "bob");
  const second = world.client(APP.key, "bob");
  await join(bob, "presence-room");
  await join(second, "presence-room");
  const channel = bob.channel("presence-room") as unknown as {
    members: { count: number; me: unknown; get(id: string): unknown };
  };
  assert.equal(channel.members.count, 2);
  assert.deepEqual(channel.members.me, { id: "bob", info: { name: "BOB" } });
  assert.deepEqual(channel.members.get("ann"), { id: "ann", info: { name: "ANN" } });
  const users = await backend.get({ path: "/channels/presence-room/users" });
  assert.deepEqual(await users.json(), { users: [{ id: "ann" }, { id: "bob" }] });
  const count = await backend.get({
    path: "/channels/presence-room",
    params: { info: "user_count" },
  });
  assert.deepEqual(await count.json(), { occupied: true, user_count: 2 });
  bob.channel("presence-room").trigger("client-wave", {});
  await until("a wave", () => waved.length > 0);
  assert.deepEqual(waved, ["bob"]);
  bob.disconnect();
  second.disconnect();
  await until("bob has left", () => gone.length > 0);
  assert.deepEqual(gone, [{ id: "bob", info: { name: "BOB" } }]);
  for (const user of ["c", "d", "e"]) {
    const more = world.client(APP.key, user);
    const joined = more.subscribe("presence-room");
    let event: { type?: string } | undefined;
    joined.bind("pusher:subscription_error", (error: typeof event) => event = error);
    await until(user, () => joined.subscribed || event !== undefined);
    const { members } = joined as unknown as { members: { members: Record<string, unknown> } };
    const there = Object.keys(members?.members ?? {}).join();
    assert.equal(event?.type, user === "e" ? "LimitReached" : undefined, `who is there: ${there}`);
    // Other members are notified of a join a moment after the joining client.
    if (user !== "e") await until(`${user} has joined`, () => come.includes(user));
  }
  await until("e has left again", () => gone.length > 1);
  const rest = await backend.get({ path: "/channels/presence-room/users" });
  assert.deepEqual(await rest.json(), { users: [{ id: "ann" }, { id: "c" }, { id: "d" }] });
}

async function sameRooms(world: World, ann: Pusher): Promise<void> {
  const { bus, backend, folder } = world;
  const received = await join(ann, "news");
  const token = await tokenOf(folder, "user");
  await using sdk = await connect({ url: bus.url, token });
  const room = sdk.room("pusher:news");
  const messages = room.subscribe();
  await messages.ready;
  await room.publish("from-bus", { n: 2 });
  await until("of the bus", () => received.some(([event]) => event === "from-bus"));
  await backend.trigger("news", "from-pusher", { n: 3 });
  for await (const message of messages) {
    if (message.type !== "from-pusher") continue;
    assert.deepEqual(message.json(), { n: 3 });
    break;
  }
  await until("of Pusher's backend", () => received.some(([event]) => event === "from-pusher"));
  // Events that look like the protocol's own are not forwarded.
  const before = received.length;
  await room.publish("pusher:error", { code: 4001 });
  await room.publish("after", 1);
  await until("after", () => received.length > before);
  assert.deepEqual(received.slice(before), [["after", 1]]);
}

async function users({ backend, client }: World): Promise<void> {
  const eve = client(APP.key, "eve");
  const other = client(APP.key, "max");
  const received: unknown[] = [];
  for (const one of [eve, other]) {
    one.signin();
    await one.user.signinDonePromise;
    one.user.bind("note", (data: unknown) => received.push([one === eve, data]));
    await until("its own channel is joined", () => one.user.user_data !== null);
    await until("it may be sent to", () => one.user.serverToUserChannel?.subscribed === true);
  }
  await backend.sendToUser("eve", "note", { n: 1 });
  await until("the note is here", () => received.length > 0);
  assert.deepEqual(received, [[true, { n: 1 }]]);
  const refusals: unknown[] = [];
  other.connection.bind("message", (message: { event: string }) => {
    if (message.event === "pusher:subscription_error") refusals.push(message);
  });
  other.send_event("pusher:subscribe", { channel: "#server-to-user-eve", auth: "" });
  await until("another's channel is refused", () => refusals.length > 0);
  const forger = client();
  await until("it is in", () => forger.connection.state === "connected");
  const user_data = JSON.stringify({ id: "eve" });
  forger.send_event("pusher:signin", { auth: `${APP.key}:none`, user_data });
  await until("a wrong signature ends it", () => forger.connection.state === "disconnected");
  const { status } = await backend.terminateUserConnections("eve");
  assert.equal(status, 200);
  await until("eve is out", () => eve.connection.state === "disconnected");
  assert.equal(other.connection.state, "connected");
}

async function counted(world: World): Promise<void> {
  // Who receives all rooms is a subscriber of none.
  const token = await tokenOf(world.folder, "user");
  await using sdk = await connect({ url: world.bus.url, token });
  await sdk.room("pusher:*").subscribe().ready;
  await join(world.client(APP.key, "zoe"), "presence-counted");
  const zed = world.client();
  await join(zed, "counted.one");
  await join(world.client(), "counted.one");
  const { backend } = world;
  const channels = ["presence-counted", "counted.one"];
  const info = "user_count,subscription_count";
  const users = { user_count: 1, subscription_count: 1 };
  const both = { subscription_count: 2 };
  const answer = await backend.trigger(channels, "t", {}, { info });
  assert.deepEqual(await answer.json(), {
    channels: { "presence-counted": users, "counted.one": both },
  });
  const batch = await backend.triggerBatch([
    { channel: "counted.one", name: "t", data: 1, info },
    { channel: "nobody", name: "t", data: 1 },
    { channel: "presence-counted", name: "t", data: 1, info: "user_count" },
  ]);
  assert.deepEqual(await batch.json(), { batch: [both, {}, { user_count: 1 }] });
  const get = async (path: string, params: Record<string, string> = {}) =>
    await (await backend.get({ path, params })).json();
  const listed = async (params: Record<string, string> = {}) =>
    (await get("/channels", params)).channels;
  assert.deepEqual(await listed({ filter_by_prefix: "counted.", info: "subscription_count" }), {
    "counted.one": both,
  });
  assert.deepEqual(await listed({ filter_by_prefix: "presence-c", info }), {
    "presence-counted": users,
  });
  const all = await listed();
  assert.deepEqual([all["counted.one"], all["presence-counted"], all.nobody], [{}, {}, undefined]);
  assert.deepEqual(await get("/channels/counted.one"), { occupied: true });
  assert.deepEqual(await get("/channels/nobody", { info: "subscription_count" }), {
    occupied: false,
    subscription_count: 0,
  });
  for (
    const [path, params] of [
      ["/channels", { info: "user_count" }],
      ["/channels/counted.one", { info: "user_count" }],
      ["/channels", { info: "ages" }],
    ] as const
  ) await assert.rejects(backend.get({ path, params }), /400|Unexpected status/);
  const received = await join(world.client(), "elsewhere");
  await assert.rejects(backend.trigger("elsewhere", "t", {}, { info: "ages" }));
  assert.deepEqual(received, []);
}

/** The events of `pusher-js` about a channel's subscriber count. */
async function countedEvents({ bus, client, folder }: World): Promise<void> {
  const counts: number[] = [];
  const channel = client().subscribe("crowd");
  channel.bind(
    "pusher:subscription_count",
    (event: { subscription_count: number }) => counts.push(event.subscription_count),
  );
  const last = async (count: number) =>
    await until(() => `${count} of ${counts}`, () => counts.at(-1) === count);
  await last(1);
  const second = client();
  await join(second, "crowd");
  await last(2);
  await using sdk = await connect({ url: bus.url, token: await tokenOf(folder, "user") });
  await sdk.room("pusher:crowd").subscribe().ready;
  await last(3);
  second.unsubscribe("crowd");
  await last(2);
  assert.equal(channel.subscriptionCount, 2);
}

async function otherApps(world: World): Promise<void> {
  const { bus, backend } = world;
  const received = await join(world.client(OTHER.key), "news");
  await backend.trigger("news", "not-yours", {});
  await backendOf(bus.url, OTHER).trigger("news", "yours", {});
  await until("yours", () => received.length > 0);
  assert.deepEqual(received, [["yours", {}]]);
}

async function otherSecret({ bus, folder, client }: World): Promise<void> {
  const open = client(OTHER.key);
  await join(open, "news");
  const secret = "the next secret of the other app";
  const next = backendOf(bus.url, { ...OTHER, secret });
  const reload = async (text: string, line: RegExp) => {
    await Deno.writeTextFile(`${folder}/secret.txt`, text);
    bus.signal("SIGHUP");
    await until("it was read again", () => line.test(bus.log()));
  };
  await reload("short", /pusher\.apps\[1\]\.secret_file.* is too short/);
  assert.equal((await backendOf(bus.url, OTHER).trigger("news", "t", {})).status, 200);
  await reload(secret, /changed="?pusher\.apps\[1\]\.secret_file/);
  assert.equal((await next.trigger("news", "t", {})).status, 200);
  await assert.rejects(backendOf(bus.url, OTHER).trigger("news", "t", {}));
  // An existing connection accepts the new signature, and no longer the previous one.
  for (const [backend, is_taken] of [[backendOf(bus.url, OTHER), false], [next, true]] as const) {
    const channel = `private-${is_taken}`;
    (open.config as unknown as { channelAuthorizer: unknown }).channelAuthorizer = (
      { socketId }: { socketId: string },
      done: (error: null, auth: unknown) => void,
    ) =>
      void Promise.resolve(backend.authorizeChannel(socketId, channel)).then((word) =>
        done(null, word)
      );
    const joined = open.subscribe(channel);
    let error: unknown;
    joined.bind("pusher:subscription_error", (event: unknown) => error = event);
    await until(channel, () => joined.subscribed || error !== undefined);
    assert.equal(joined.subscribed, is_taken);
  }
}

async function laravel(world: World): Promise<void> {
  const { bus, backend } = world;
  const echo = new Echo({
    broadcaster: "pusher",
    key: APP.key,
    Pusher: pusher_js,
    ...placeOf(bus.url),
    channelAuthorization: { endpoint: `${world.auth}?user=laravel`, transport: "ajax" },
  });
  const received: unknown[] = [];
  let is_in = false;
  echo.private("orders.1").subscribed(() => is_in = true)
    .listen("OrderShipped", (event: unknown) => received.push(event));
  await until("Echo is in", () => is_in);
  await backend.trigger("private-orders.1", "App\\Events\\OrderShipped", { id: 1 });
  await until("an order", () => received.length === 1);
  assert.deepEqual(received, [{ id: 1 }]);
  echo.disconnect();
}

async function refused(world: World): Promise<void> {
  const { bus } = world;
  const stranger = world.client("no-such-key");
  const errors: unknown[] = [];
  stranger.connection.bind("error", (error: unknown) => errors.push(error));
  await until("failed", () => stranger.connection.state === "disconnected");
  assert.match(JSON.stringify(errors), /"code":4001/);
  const forged = backendOf(bus.url, { ...APP, secret: "not the app's secret" });
  const problem = await forged.trigger("news", "x", {}).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.match(JSON.stringify(problem), /"status":401/);
}

/** A client that has only the public key costs the tenant's journal nothing, in its own block or with others. */
async function journalled({ bus, client, folder }: World): Promise<void> {
  const admin = new AdminClient(bus.admin_url, await tokenOf(folder, "admin"));
  const rooms = async () =>
    (await admin.decisions("default")).filter(({ hook }) => hook === "on_subscribe")
      .map(({ room }) => room);
  for (const room of ["alone-1", "alone-2"]) {
    await join(client(), room);
    await until(
      `${room} is in the journal`,
      async () => (await rooms()).includes(`pusher:${room}`),
    );
  }
}

const STEPS: readonly (readonly [string, (world: World, ann: Pusher) => Promise<void>])[] = [
  ["a public channel hears what the backend publishes, but for the excepted socket", publicChannel],
  ["a private channel is for those whom the backend has signed for", privateChannel],
  ["client events reach the others of a private channel", clientEvents],
  ["a presence channel knows users, and tells who comes and goes", presence],
  ["rooms of the bus and channels are the same", sameRooms],
  ["another app's clients and backend have other rooms", otherApps],
  ["a secret that was changed in its file counts from the next reload on", otherSecret],
  ["a user who has signed in is sent to and ended by the backend alone", users],
  ["channels are listed and counted, alone and with events", counted],
  ["clients learn how many subscribers a channel has", countedEvents],
  ["Laravel Echo works with the host and the key changed", laravel],
  ["who subscribes is in the journal", journalled],
  ["who is not let in is told why, and does not come again", refused],
];

Deno.test("pusher-js and the backend's library work as they are", async (t) => {
  await using world = await start();
  const ann = world.client();
  for (const [name, run] of STEPS) await t.step(name, () => run(world, ann));
});

// A backup is restored under connected clients: what they receive, and what they miss, since the protocol has no
// positions.

// The types require `id`, the protocol requires `user_id`.
const MEMBER = { id: "ann", user_id: "ann" };

type RoomEvent = [channel: string, event: string, data: unknown];

/** Joins those channels; returns everything that it receives from then on. */
function listen(client: Pusher, names: readonly string[]): RoomEvent[] {
  const received: RoomEvent[] = [];
  for (const name of names) {
    client.subscribe(name).bind_global((event: string, data: unknown) =>
      received.push([name, event, data])
    );
  }
  return received;
}

Deno.test("a backup is restored under Pusher clients: they reconnect, receive new messages, and no gap is reported", async () => {
  const port = freePort();
  await using folder = await initFolder(`${pusherConfig()}${durableRooms("pusher:*")}`, port);
  const url = `ws://127.0.0.1:${port}`;
  const backend = backendOf(url);
  const client = new Pusher(APP.key, {
    ...placeOf(url),
    channelAuthorization: {
      transport: "ajax",
      endpoint: "",
      customHandler: ({ socketId, channelName }, done) =>
        void Promise.resolve(backend.authorizeChannel(socketId, channelName, MEMBER))
          .then((word) => done(null, word)),
    },
  });
  await using _end = atEnd(() => client.disconnect());
  const run = (...args: string[]) => runArq(args, { cwd: folder.path });
  const user = ["--token", await tokenOf(folder.path, "user")];
  const received = listen(client, ["orders", "presence-room"]);
  const has = (name: string, event: string, times = 1) =>
    until(
      () => `${event} on ${name}: ${JSON.stringify(received)}`,
      () => received.filter(([one, what]) => one === name && what === event).length === times,
    );
  const kept = async (url: string) => {
    const args = ["room", "history", "pusher:orders", "--all", "--json", "--url", url, ...user];
    const lines = succeeds(await run(...args)).trim().split("\n");
    return lines.map((line) => JSON.parse(line).type);
  };
  {
    await using bus = await startServe(folder.path);
    await has("orders", "pusher:subscription_succeeded");
    await has("presence-room", "pusher:subscription_succeeded");
    await backend.trigger("orders", "before", { n: 1 });
    await has("orders", "before");
    const admin = ["--admin-url", bus.admin_url, "--token", await tokenOf(folder.path, "admin")];
    succeeds(await run("backup", `${folder.path}/bus.tar`, ...admin));
    await backend.trigger("orders", "lost", { n: 2 });
    await has("orders", "lost");
    assert.deepEqual(await kept(bus.url), ["before", "lost"]);
  }
  succeeds(await run("restore", `${folder.path}/bus.tar`, "--force"));
  await using bus = await startServe(folder.path);
  await has("orders", "pusher:subscription_succeeded", 2);
  await has("presence-room", "pusher:subscription_succeeded", 2);
  await backend.trigger("orders", "after", { n: 3 });
  await has("orders", "after");
  const news = received.filter(([, event]) => !event.startsWith("pusher:"));
  assert.deepEqual(news, [
    ["orders", "before", { n: 1 }],
    ["orders", "lost", { n: 2 }],
    ["orders", "after", { n: 3 }],
  ]);
  assert.deepEqual(await kept(bus.url), ["before", "after"]);
});
