/**
 * `GET /v1/why` for every path that delivers a message later than fan-out: recovery from a position, history pages,
 * event streams and streams. Its answer is compared with what the client received.
 */
import assert from "node:assert/strict";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { proxied } from "./harness/tcp_proxy.ts";
import { Receiver, SECRET } from "./hooks/receiver.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openText, type RawClient } from "./peers/raw_client.ts";
import { secretFile } from "../shared/config/testing/secret_file.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[admin]
operator_tenants = ["default"]
${durableRooms("log-*")}
[[rooms]]
room = "live-*"
`;

/** More than the kernel and two proxied sockets buffer. */
const MESSAGES_MAX = 5_000;

interface World {
  readonly bus: TestBus;
  readonly admin: AdminClient;
  /** Publishes over HTTP, and receives nothing. */
  readonly backend: HttpPeer;
}

async function withBus(work: (world: World) => Promise<void>, more = ""): Promise<void> {
  await using bus = await startLocalBus(CONFIG + more);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  await work({ bus, admin, backend: new HttpPeer(bus.http_url, await bus.tokenFor()) });
}

const client = async ({ bus }: World, user: string): Promise<RawClient> =>
  await openText(bus.url, await bus.tokenFor({ user }));

async function publish({ backend }: World, room: string, message_id: string, data: unknown = {}) {
  const { status } = await backend.call("POST", `rooms/${room}/messages`, {
    type: "t",
    data,
    message_id,
  });
  assert.equal(status, 200);
}

/** The messages up to the one with that id. */
async function receive(one: RawClient, last: string): Promise<string[]> {
  const ids: string[] = [];
  while (ids.at(-1) !== last) {
    const frame = await one.json();
    if (frame.op === "msg" && frame.message_id !== undefined) ids.push(frame.message_id);
  }
  return ids;
}

/** The answers about a message for a user's connections, the oldest first: by id, and by its room and offset. */
async function words({ admin }: World, message_id: string, user: string): Promise<string> {
  const shown = async (query: string) => {
    const { connections } = await admin.read(`/v1/why?user=${user}&${query}`);
    return connections.toSorted((a: { began_ms: number }, b: { began_ms: number }) =>
      a.began_ms - b.began_ms
    ).map(({ outcomes: [outcome] }: Account) => `${outcome.state} ${outcome.why ?? ""}`.trim())
      .join();
  };
  const { messages } = await admin.read(`/v1/why?message_id=${message_id}`);
  assert.equal(messages.length, 1, `${message_id} is known once`);
  const [{ room_id, offset }] = messages;
  const by_id = await shown(`message_id=${message_id}`);
  if (offset > 0) assert.equal(await shown(`room=${room_id}&offset=${offset}`), by_id);
  return by_id;
}

interface Account {
  readonly outcomes: readonly [{ readonly state: string; readonly why?: string }];
}

Deno.test("messages omitted by a filter or no_echo are caught up with by a later SUB of the same connection", async () => {
  await withBus(async (world) => {
    using bob = await client(world, "bob");
    await ask(bob, { op: "sub", room: "log-1", filter: "data.n > 5", no_echo: true });
    await publish(world, "log-1", "filtered", { n: 1 });
    await ask(bob, { op: "pub", room: "log-1", type: "t", data: { n: 9 }, message_id: "echoed" });
    assert.equal(await words(world, "filtered", "bob"), "left_out filter");
    assert.equal(await words(world, "echoed", "bob"), "left_out echo");
    // The same with a position: what is skipped there is omitted, too.
    await ask(bob, {
      op: "sub",
      room: "log-1",
      filter: "data.n > 5",
      no_echo: true,
      after_offset: 0,
      epoch: await epochOf(world, "log-1"),
    });
    await publish(world, "log-1", "third", { n: 7 });
    assert.deepEqual(await receive(bob, "third"), ["third"]);
    assert.equal(await words(world, "filtered", "bob"), "left_out filter");
    assert.equal(await words(world, "echoed", "bob"), "left_out echo");
    bob.send({
      op: "sub",
      room: "log-1",
      id: 7,
      after_offset: 0,
      epoch: await epochOf(world, "log-1"),
    });
    assert.deepEqual(await receive(bob, "third"), ["filtered", "echoed", "third"]);
    for (const id of ["filtered", "echoed"]) {
      assert.equal(await words(world, id, "bob"), "caught_up");
    }
    assert.equal(await words(world, "third", "bob"), "sent");
  });
});

async function epochOf({ backend }: World, room: string): Promise<string> {
  return (await backend.call("GET", `rooms/${room}/messages?limit=1`)).body.epoch;
}

/** The answers about a message that a user has read over HTTP. */
async function readsOf({ admin }: World, message_id: string, user: string): Promise<string[]> {
  const { reads } = await admin.read(`/v1/why?message_id=${message_id}&user=${user}`);
  return reads.map(({ how, user_id }: { how: string; user_id: string }) => `${how} ${user_id}`);
}

Deno.test("a page of history or of a stream that was read over HTTP is reported for its user", async () => {
  await withBus(async (world) => {
    const { bus } = world;
    const cat = await bus.tokenFor({ user: "cat" });
    for (const id of ["a", "b"]) await publish(world, "log-1", id);
    const page = await new HttpPeer(bus.http_url, cat).call("GET", "rooms/log-1/messages?limit=1");
    assert.equal(page.body.messages.length, 1);
    assert.deepEqual(await readsOf(world, "a", "cat"), ["history cat"]);
    assert.deepEqual(await readsOf(world, "b", "cat"), []);
    assert.deepEqual(await readsOf(world, "a", "bob"), []);
    const url = `${bus.http_url}/v1/streams/log-2`;
    const headers = { authorization: `Bearer ${cat}`, "content-type": "application/json" };
    const made = await fetch(url, { method: "PUT", headers });
    assert.equal(made.status, 201, await made.text());
    const first = made.headers.get("stream-next-offset");
    for (const id of ["s", "t", "u"]) await publish(world, "log-2", id);
    assert.deepEqual(await readsOf(world, "s", "cat"), []);
    const read = await fetch(`${url}?offset=-1`, { headers });
    assert.equal((await read.json()).length, 3);
    for (const id of ["s", "u"]) assert.deepEqual(await readsOf(world, id, "cat"), ["stream cat"]);
    await publish(world, "log-2", "v");
    const polled = await fetch(`${url}?offset=${first}&live=long-poll`, { headers });
    assert.equal((await polled.json()).length, 4);
    assert.deepEqual(await readsOf(world, "v", "cat"), ["stream cat"]);
    await publish(world, "log-2", "w");
    const next = polled.headers.get("stream-next-offset");
    const live = await fetch(`${url}?offset=${next}&live=sse`, { headers });
    const reader = live.body!.getReader();
    const { value } = await reader.read();
    assert.match(new TextDecoder().decode(value), /event: data/);
    assert.deepEqual(await readsOf(world, "w", "cat"), ["stream cat"]);
    await reader.cancel();
  });
});

Deno.test("messages that wait for a pattern's authorization are reported", async () => {
  await using receiver = new Receiver();
  receiver.answer = () => Response.json({ allow: true });
  const hook = `
[webhooks]
private_hosts = ["127.0.0.1"]
[[hooks]]
id = "gate"
tenant = "default"
url = "${receiver.url}"
secret_file = "${secretFile(SECRET)}"
events = []
before = ["subscribe"]
#constant hooks.before_timeout_ms = 10_000
`;
  await withBus(async (world) => {
    using bob = await client(world, "bob");
    await ask(bob, { op: "sub", room: "live-*", no_echo: true });
    await publish(world, "live-1", "first");
    await publish(world, "live-1", "second");
    assert.deepEqual(await receive(bob, "second"), ["first", "second"]);
    for (const id of ["first", "second"]) assert.equal(await words(world, id, "bob"), "sent");
    bob.send({ op: "pub", room: "live-2", type: "t", data: 1, message_id: "own", id: 9 });
    await publish(world, "live-2", "other");
    assert.deepEqual(await receive(bob, "other"), ["other"]);
    assert.equal(await words(world, "own", "bob"), "left_out echo");
  }, hook);
});

Deno.test("messages for a client that does not read are queued in the Shield, and sent once it reads", async () => {
  await withBus(async (world) => {
    const { bus } = world;
    const { proxy, url } = proxied(bus);
    await using _proxy = proxy;
    using bob = await openText(url, await bus.tokenFor({ user: "bob" }));
    await ask(bob, { op: "sub", room: "live-1" });
    proxy.pause();
    let last = "";
    for (let number = 0; number < MESSAGES_MAX; number++) {
      last = `m${number}`;
      await publish(world, "live-1", last, "x".repeat(60_000));
      if (number % 5 === 0 && await words(world, last, "bob") === "queued") break;
    }
    assert.equal(await words(world, last, "bob"), "queued");
    assert.equal(await words(world, "m0", "bob"), "sent");
    proxy.resume();
    await receive(bob, last);
    assert.equal(await words(world, last, "bob"), "sent");
  }, "[limits]\nmessages_per_second = 100_000\nbytes_per_second = 1_000_000_000\n");
});

Deno.test("a message in no ledger is found in the log of the given room, by any id", async () => {
  await withBus(async (world) => {
    const { admin } = world;
    await publish(world, "log-1", "kept");
    assert.deepEqual((await admin.read("/v1/why?message_id=kept")).messages, []);
    const { messages: [kept] } = await admin.read("/v1/why?message_id=kept&room=log-1");
    assert.deepEqual([kept.offset, kept.heard, typeof kept.stored_ms], [1, [], "number"]);
    for (const id of [`trace=${kept.trace_id}`, `twist=${kept.twist_id}`, "offset=1"]) {
      const { messages } = await admin.read(`/v1/why?${id}&room=log-1`);
      assert.deepEqual(messages, [kept], id);
    }
    assert.deepEqual((await admin.read("/v1/why?message_id=other&room=log-1")).messages, []);
  }, "[ledger]\nenabled = false\n");
});
