/**
 * `GET /v1/why` on a real bus: the ledger's outcome of messages, compared with what clients received; and rejected
 * handshakes and unreadable frames, found by user, by connection and by address. `shield/ledger/ledger_test.ts`
 * compares the ledger itself with a list, `arq/arq_why_test.ts` has the admission of messages.
 */
import assert from "node:assert/strict";
import { encodePub, encodeSub, writeEnvelope } from "@arqon/proto";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { BODY_BYTES, type Slow, slow, SLOW_LIMITS, TOGETHER } from "./harness/slow_reader.ts";
import { proxied } from "./harness/tcp_proxy.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openBinary, openText, RawClient } from "./peers/raw_client.ts";
import { seen, until } from "../shared/testing/until.ts";

const CONFIG = `
[admin]
operator_tenants = ["default"]
[limits]${SLOW_LIMITS}
[[rooms]]
room = "drop-*"
slow_reader = "drop-oldest"
[[rooms]]
room = "latest-*"
slow_reader = "latest"
${durableRooms("log-*")}
`;

interface World {
  readonly bus: TestBus;
  readonly admin: AdminClient;
}

async function withBus(work: (world: World) => Promise<void>): Promise<void> {
  await using bus = await startLocalBus(CONFIG);
  await work({ bus, admin: new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" })) });
}

async function client({ bus }: World, user: string, tenant = "default"): Promise<RawClient> {
  return await openText(bus.url, await bus.tokenFor({ user, tenant }));
}

const publish = (one: RawClient, room: string, message_id: string) =>
  ask(one, { op: "pub", room, type: "t", data: 1, message_id });

/** The outcomes of a message for a user's connections, the oldest connection first. */
async function outcomes({ admin }: World, message_id: string, user: string, more = "") {
  const path = `/v1/why?message_id=${message_id}&user=${user}${more}`;
  const { connections, messages } = await admin.read(path);
  assert.equal(messages.length, 1, `${message_id} was heard`);
  const sorted = connections.toSorted((a: { began_ms: number }, b: { began_ms: number }) =>
    a.began_ms - b.began_ms
  );
  return sorted.map(({ outcomes: [outcome] }: { outcomes: Record<string, unknown>[] }) => outcome);
}

async function word(world: World, message_id: string, user: string): Promise<string> {
  const all = await outcomes(world, message_id, user);
  return all.map(({ state, why = "" }: Record<string, unknown>) => `${state} ${why}`.trim()).join();
}

Deno.test("sent, echo, never subscribed, unsubscribed, kicked, banned, disconnected, and another tenant", async () => {
  await withBus(async (world) => {
    using ann = await client(world, "ann");
    using bob = await client(world, "bob");
    using cat = await client(world, "cat");
    using eve = await client(world, "bob", "other");
    await ask(ann, { op: "sub", room: "hall", no_echo: true });
    await ask(bob, { op: "sub", room: "hall", batch: true });
    await ask(eve, { op: "sub", room: "hall" });
    await publish(ann, "hall", "one");
    assert.equal(await word(world, "one", "ann"), "left_out echo");
    assert.equal(await word(world, "one", "bob"), "sent");
    assert.equal(await word(world, "one", "cat"), "not_subscribed never");
    assert.equal(await word(world, "one", "nobody"), "");
    await ask(bob, { op: "unsub", room: "hall" });
    await publish(ann, "hall", "two");
    assert.equal(await word(world, "two", "bob"), "not_subscribed unsubscribed");
    assert.equal(await word(world, "one", "bob"), "sent");
    await ask(cat, { op: "sub", room: "hall" });
    const kicked = await world.admin.ask("POST", "/v1/rooms/default/hall/kick", { user_id: "cat" });
    assert.equal(kicked.status, 200, kicked.text);
    await publish(ann, "hall", "three");
    assert.equal(await word(world, "three", "cat"), "not_subscribed kick");
    assert.equal(await word(world, "two", "cat"), "not_subscribed");
    const banned = await world.admin.ask("POST", "/v1/rooms/default/hall/ban", {
      user_id: "cat",
      scope: "tenant",
    });
    assert.equal(banned.status, 200, banned.text);
    assert.equal((await cat.closed()).code, 4403);
    await publish(ann, "hall", "four");
    const [gone] = await outcomes(world, "four", "cat");
    assert.deepEqual([gone.state, gone.why], ["not_connected", "banned"]);
    const { messages } = await world.admin.read("/v1/why?message_id=one&tenant=other");
    assert.deepEqual(messages, []);
    const unknown = await world.admin.read("/v1/why?message_id=none&user=bob");
    assert.deepEqual([unknown.messages, unknown.ledgers.length], [[], 1]);
    assert.ok(unknown.ledgers[0].since_ms > 1.7e12, "it says how far back it goes");
  });
});

Deno.test("fifty messages with the longest ids are one question, though each character is escaped", async () => {
  await withBus(async (world) => {
    using ann = await client(world, "ann");
    await ask(ann, { op: "sub", room: "hall" });
    const trace_id = "1af7651916cd43dd8448eb211c80319c";
    for (let number = 100; number < 160; number++) {
      const message_id = `${"\u0001".repeat(253)}${number}`;
      await ask(ann, { op: "pub", room: "hall", type: "t", data: 1, trace_id, message_id });
    }
    const path = `/v1/why?trace=${trace_id}&user=ann`;
    const { messages, connections, truncated } = await world.admin.read(path);
    assert.deepEqual([messages.length, truncated], [50, true]);
    const states = connections[0].outcomes.map(({ state }: { state: string }) => state);
    assert.deepEqual(states, messages.map(() => "sent"));
  });
});

Deno.test("messages with the same X-Twist-ID are distinguished", async () => {
  await withBus(async (world) => {
    using ann = await client(world, "ann");
    using bob = await client(world, "bob");
    await ask(bob, { op: "sub", room: "hall" });
    const headers = { "x-twist-id": "019b7c5d-7c88-7000-8000-000000000001" };
    const trace_id = "0af7651916cd43dd8448eb211c80319c";
    const one = { op: "pub", room: "hall", type: "t", data: 1, headers, trace_id };
    await ask(ann, { ...one, message_id: "first" });
    await ask(bob, { op: "unsub", room: "hall" });
    using cat = await client(world, "cat");
    await ask(cat, { op: "sub", room: "hall" });
    await ask(ann, { ...one, message_id: "second" });
    assert.equal(await word(world, "first", "bob"), "sent");
    assert.equal(await word(world, "second", "bob"), "not_subscribed unsubscribed");
    assert.equal(await word(world, "second", "cat"), "sent");
    const path = `/v1/why?twist=${headers["x-twist-id"]}&user=cat`;
    const { messages, connections } = await world.admin.read(path);
    assert.deepEqual(
      messages.map(({ message_id }: { message_id: string }) => message_id),
      ["first", "second"],
    );
    assert.deepEqual(
      connections[0].outcomes.map(({ state }: { state: string }) => state),
      ["not_connected", "sent"],
    );
  });
});

/** Compares the bus's answers about every tenth message, and the totals, with what the client received. */
async function compare(world: World, room: string, user: string, { sent, got }: Slow) {
  const path = `/v1/why?user=${user}&room=${room}&since_ms=0`;
  const { connections: [{ room: account }] } = await world.admin.read(path);
  assert.deepEqual([account.due, account.sent], [sent, got.size]);
  assert.equal(account.missed_count, sent - got.size);
  const states = new Set<string>();
  for (let number = 1; number <= sent; number += 7) {
    const outcome = await word(world, `${room}.${number}`, user);
    assert.equal(outcome === "sent", got.has(number), `${number}: ${outcome}`);
    states.add(outcome);
  }
  return states;
}

/** Whatever is missing follows a GAP, and no GAP reports anything that is not missing. */
function assertGapsTell(received: readonly number[]): void {
  let last = 0;
  let has_gap = false;
  for (const number of received) {
    if (number > 0) {
      assert.equal(number > last + 1, has_gap, `${number} after ${last}`);
      last = number;
    }
    has_gap = number === 0;
  }
  assert.ok(received.includes(0), "nothing was dropped");
}

Deno.test("drop-oldest and latest: exactly what a slow reader did not get is reported, to it and to operators", async () => {
  await withBus(async (world) => {
    const dropped = await slow(world.bus, "drop-1", "dropped", "ann");
    assertGapsTell(dropped.received);
    const outcome = await compare(world, "drop-1", "ann", dropped);
    assert.deepEqual([...outcome].toSorted(), ["left_out slow_reader", "sent"]);
    const conflated = await slow(world.bus, "latest-1", "conflated", "bob");
    const replaced = await compare(world, "latest-1", "bob", conflated);
    assert.deepEqual([...replaced].toSorted(), ["left_out conflated", "sent"]);
  });
});

Deno.test("what a slow reader had not read when its room stopped being durable is left out as lost", async () => {
  await using bus = await startLocalBus(
    CONFIG.replace("[limits]", "[limits]\n#constant limits.recovery_bytes = 67_108_864"),
  );
  const world = {
    bus,
    admin: new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" })),
  };
  const classes = "/v1/tenants/default/rooms";
  await world.admin.ask("PUT", classes, { room: "once-*", durable: true });
  using publisher = await openBinary(bus.url, bus.token);
  const room_id = "once-1";
  const event = { type: "t", data: new Uint8Array(BODY_BYTES) };
  const send = async (message_id: string) => {
    const request_id = 1;
    publisher.send(encodePub(writeEnvelope({ room_id, event, message_id, request_id })));
    const answer = await publisher.frame();
    assert(answer.kind === "ack" && answer.ack.code === 0);
  };
  // More than the kernel and two proxied sockets take.
  for (let number = 1; number <= 300; number++) await send(`old-${number}`);
  const { proxy, url } = proxied(bus);
  await using _proxy = proxy;
  using reader = await openBinary(url, await bus.tokenFor({ user: "ann" }));
  proxy.pause();
  reader.send(encodeSub({ room_id, request_id: 1, epoch: "*" }));
  await seen("first", () => word(world, "old-1", "ann"), (state) => state === "caught_up");
  await send("new");
  for (const one of ["old-300", "new"]) assert.equal(await word(world, one, "ann"), "behind", one);
  const removed = await world.admin.ask("DELETE", `${classes}?room=once-*`);
  assert.equal(removed.status, 200, removed.text);
  for (const one of ["old-300", "new"]) {
    assert.equal(await word(world, one, "ann"), "left_out lost", one);
  }
  await send("plain");
  assert.equal(await word(world, "old-1", "ann"), "caught_up");
  proxy.resume();
  await seen("the rest", () => word(world, "plain", "ann"), (state) => state === "sent");
});

Deno.test("disconnect: what was still queued when the slow reader was disconnected is reported", async () => {
  await withBus(async (world) => {
    const { sent, got } = await slow(world.bus, "plain", "disconnected", "cat");
    assert.ok(got.size < sent);
    const words: string[] = [];
    // Those sent together with the one that was too many may have come when nobody was there any longer.
    for (let number = 1; number <= sent - TOGETHER; number += 5) {
      const outcome = await word(world, `plain.${number}`, "cat");
      // What the kernel had may have arrived; what was never handed over has not.
      if (outcome.startsWith("queued")) assert.ok(!got.has(number), `${number} came`);
      if (got.has(number)) assert.equal(outcome, "sent");
      words.push(outcome);
    }
    assert.ok(words.includes("sent") && words.includes("queued slow-consumer"), words.join());
    const { connections: [gone] } = await world.admin.read("/v1/why?user=cat");
    assert.deepEqual([gone.ended.code, gone.ended.reason], [4429, "slow-consumer"]);
  });
});

Deno.test("an admin of a tenant queries its own; odd queries are refused", async () => {
  await withBus(async (world) => {
    const { bus, admin } = world;
    using ann = await client(world, "ann");
    using eve = await client(world, "ann", "other");
    for (const [one, id] of [[ann, "ours"], [eve, "theirs"]] as const) {
      await ask(one, { op: "sub", room: "hall" });
      await publish(one, "hall", id);
    }
    const token = await bus.tokenFor({ role: "admin", tenant: "other" });
    const other = new AdminClient(bus.admin_url, token);
    const path = "/v1/why?user=ann&message_id=";
    assert.deepEqual((await other.read(`${path}ours`)).messages, []);
    const { messages, connections } = await other.read(`${path}theirs`);
    assert.deepEqual([messages.length, connections.length], [1, 1]);
    assert.equal((await other.get(`${path}ours&tenant=default`)).status, 403);
    assert.equal((await other.get("/v1/why?address=127.0.0.1")).status, 400);
    assert.equal((await admin.get("/v1/why?address=127.0.0.1")).status, 200);
    for (
      const query of [
        ...["", "room=a", "user=a&connection=b", "trace=x", "offset=1", "user=a&user=b"],
        ...["room=hall&offset=0", `trace=${"-".repeat(32)}`, `twist=${"0".repeat(31)}-`],
      ]
    ) {
      assert.equal((await admin.get(`/v1/why?${query}`)).status, 400, query);
    }
    const user = new AdminClient(bus.admin_url, bus.token);
    assert.equal((await user.get("/v1/why?user=a")).status, 403);
  });
});

Deno.test("nothing is reported of a deleted tenant's users, and all of a later tenant of its name", async () => {
  await withBus(async (world) => {
    const { admin } = world;
    using ann = await client(world, "ann", "other");
    using bob = await client(world, "bob", "other");
    using mine = await client(world, "bob");
    for (const one of [ann, bob, mine]) await ask(one, { op: "sub", room: "hall" });
    for (const one of [ann, mine]) await publish(one, "hall", "former");
    const over = { user: "bob", tenant: "other", ttl_seconds: -3_600 };
    await knock(world.bus, await world.bus.tokenFor(over));
    bob.socket.close();
    const facts = async (tenant: string) => {
      const path = `/v1/why?tenant=${tenant}&user=bob&message_id=former`;
      const { messages, connections, refusals } = await admin.read(path);
      const ended = connections.filter((one: { ended?: object }) => one.ended);
      return [messages, ended, refusals].map(({ length }) => length).join();
    };
    await until("the connection has ended", async () => await facts("other") === "1,1,1");
    const erased = await admin.ask("POST", "/v1/data/erase", { tenant: "other", all: true });
    assert.equal(erased.status, 200, erased.text);
    await until("nothing is reported", async () => await facts("other") === "0,0,0");
    assert.equal(await facts("default"), "1,0,0");
    await publish(ann, "hall", "later");
    const path = "/v1/why?tenant=other&user=ann&message_id=later";
    const { messages, connections } = await admin.read(path);
    assert.deepEqual([messages.length, connections[0].outcomes[0].state], [1, "sent"]);
  });
});

interface Shown {
  readonly stage: string;
  readonly reason: string;
  readonly detail: string;
  readonly user_id: string;
  readonly connection_id: string;
  readonly remote_ip: string;
  readonly count: number;
}

/** The refusals that a query finds. */
const refusalsOf = async ({ admin }: World, query: string): Promise<Shown[]> =>
  (await admin.read(`/v1/why?${query}`)).refusals;

/** Tries to connect, and is refused. */
async function knock(bus: TestBus, token: string, resume?: string): Promise<void> {
  const url = resume === undefined ? bus.url : `${bus.url}?resume=${resume}`;
  using client = new RawClient(url, { token });
  await client.closed();
}

const reasons = (shown: readonly Shown[]) => shown.map(({ reason }) => reason);

Deno.test("a token that has ended is found by its user; any other bad one by its address alone", async () => {
  await withBus(async (world) => {
    const { bus } = world;
    const refusals = (query: string) => refusalsOf(world, query);
    const ended = await bus.tokenFor({ user: "eve", ttl_seconds: -3_600 });
    await knock(bus, ended, "c-of-eve");
    await knock(bus, ended, "c-of-eve");
    const [found, ...more] = await refusals("user=eve");
    assert.deepEqual(more, []);
    assert.ok(found !== undefined);
    assert.deepEqual(
      [found.stage, found.reason, found.user_id, found.connection_id, found.count],
      ["handshake", "token-expired", "eve", "c-of-eve", 2],
    );
    assert.deepEqual(await refusals("connection=c-of-eve"), [found]);
    assert.deepEqual(await refusals("user=eve&tenant=other"), [], "it is the tenant's own");
    // Not signed by a known issuer: its claims are not believed.
    const [head, body] = ended.split(".");
    await knock(bus, `${head}.${body}.${"A".repeat(342)}`, "c-of-bob");
    assert.deepEqual(await refusals("connection=c-of-bob"), []);
    assert.deepEqual(reasons(await refusals("user=eve")), ["token-expired"]);
    const all = await refusals(`address=${found.remote_ip}`);
    assert.deepEqual(reasons(all), ["token-expired", "token-signature"]);
    assert.deepEqual(all.map(({ user_id }) => user_id), ["eve", ""]);
    assert.match(all[1]!.detail, /signature/);
  });
});

Deno.test("a banned user who reconnects is found by the previous connection", async () => {
  await withBus(async (world) => {
    const { bus, admin } = world;
    const refusals = (query: string) => refusalsOf(world, query);
    const token = await bus.tokenFor({ user: "cat" });
    using cat = await openBinary(bus.url, token);
    const { connections } = await admin.read("/v1/connections?user=cat");
    const { connection_id } = connections[0];
    const banned = await admin.ask("POST", "/v1/rooms/default/hall/ban", {
      user_id: "cat",
      scope: "tenant",
    });
    assert.equal(banned.status, 200, banned.text);
    assert.equal((await cat.closed()).code, 4403);
    await knock(bus, token, connection_id);
    const found = await refusals(`connection=${connection_id}`);
    assert.deepEqual(reasons(found.filter(({ stage }) => stage === "handshake")), ["banned"]);
    assert.deepEqual(await refusals("user=cat"), found);
  });
});

Deno.test("a frame that cannot be read is found by connection, user and address", async () => {
  await withBus(async (world) => {
    const { bus, admin } = world;
    const refusals = (query: string) => refusalsOf(world, query);
    using dan = await openBinary(bus.url, await bus.tokenFor({ user: "dan" }));
    const { connections } = await admin.read("/v1/connections?user=dan");
    const { connection_id, remote_ip } = connections[0];
    dan.send(new Uint8Array([0x01, 0xff, 0xff]));
    const received = await dan.frame();
    assert.equal(received.kind, "err");
    const [found] = await refusals(`connection=${connection_id}`);
    assert.deepEqual([found?.stage, found?.user_id], ["operation", "dan"]);
    assert.equal(found?.detail, received.kind === "err" ? received.message : "");
    assert.deepEqual(await refusals("user=dan"), [found]);
    assert.deepEqual(await refusals(`address=${remote_ip}`), [found]);
  });
});

Deno.test("a subscription that replaces another in the same millisecond gets later messages", async () => {
  await withBus(async (world) => {
    using ann = await client(world, "ann");
    using bob = await client(world, "bob");
    const subscribe = async (rooms: readonly string[]) => {
      for (const room of rooms) bob.send({ op: "sub", room, id: 1 });
      for (let at = 0; at < rooms.length; at++) assert.equal((await bob.json()).code, 0);
    };
    // A millisecond may end between two frames, but not between all of these.
    for (let at = 0; at < 20; at++) {
      const twice = `twice-${at}`;
      const patterned = `pattern-${at}-a`;
      // The ledger assigns a number to a room at its first message.
      await subscribe([twice]);
      await publish(ann, twice, `first-${twice}`);
      await publish(ann, patterned, `first-${patterned}`);
      await bob.json();
      await subscribe([twice, twice, `pattern-${at}-*`, patterned]);
      for (const room of [twice, patterned]) {
        await publish(ann, room, `then-${room}`);
        assert.equal((await bob.json()).room, room);
        assert.equal(await word(world, `then-${room}`, "bob"), "sent", room);
      }
    }
  });
});
