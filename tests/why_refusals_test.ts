/**
 * `GET /v1/why` on a real bus: who never came in, and whose frames were no messages, found by user, by connection and
 * by address. The outcome of messages is `why_test.ts`. Also the way in of a message, and a subscription that takes
 * the place of another.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openBinary, openText, RawClient } from "./peers/raw_client.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[admin]
operator_tenants = ["default"]
`;

interface Shown {
  readonly stage: string;
  readonly reason: string;
  readonly detail: string;
  readonly user_id: string;
  readonly connection_id: string;
  readonly remote_ip: string;
  readonly count: number;
}

interface World {
  readonly bus: TestBus;
  readonly admin: AdminClient;
  /** The refusals that a question finds. */
  refusals(query: string): Promise<Shown[]>;
}

async function withBus(work: (world: World) => Promise<void>): Promise<void> {
  await using bus = await startLocalBus(CONFIG);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const refusals = async (query: string) => (await admin.read(`/v1/why?${query}`)).refusals;
  await work({ bus, admin, refusals });
}

/** Tries to come in, and is not let. */
async function knock(bus: TestBus, token: string, resume?: string): Promise<void> {
  const url = resume === undefined ? bus.url : `${bus.url}?resume=${resume}`;
  using client = new RawClient(url, { token });
  await client.closed();
}

const reasons = (shown: readonly Shown[]) => shown.map(({ reason }) => reason);

Deno.test("a token that has ended is found by its user; any other bad one by its address alone", async () => {
  await withBus(async ({ bus, refusals }) => {
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
    // Not signed by anybody whom the bus knows: what it says of itself is nobody's word.
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

Deno.test("who is banned and comes back is found by the connection that they had", async () => {
  await withBus(async ({ bus, admin, refusals }) => {
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
    assert.deepEqual(
      found.filter(({ stage }) => stage === "handshake").map(({ reason }) => reason),
      [
        "banned",
      ],
    );
    assert.deepEqual(await refusals("user=cat"), found);
  });
});

Deno.test("a frame that cannot be read is found by connection, user and address", async () => {
  await withBus(async ({ bus, admin, refusals }) => {
    using dan = await openBinary(bus.url, await bus.tokenFor({ user: "dan" }));
    const { connections } = await admin.read("/v1/connections?user=dan");
    const { connection_id, remote_ip } = connections[0];
    dan.send(new Uint8Array([0x01, 0xff, 0xff]));
    const said = await dan.frame();
    assert.equal(said.kind, "err");
    const [found] = await refusals(`connection=${connection_id}`);
    assert.deepEqual([found?.stage, found?.user_id], ["operation", "dan"]);
    assert.equal(found?.detail, said.kind === "err" ? said.message : "");
    assert.deepEqual(await refusals("user=dan"), [found]);
    assert.deepEqual(await refusals(`address=${remote_ip}`), [found]);
  });
});

// The way in of a message as `GET /v1/why` tells it on a real bus: by whichever id it is asked for, for the tenant's
// own admin only, and of what was refused.

const JOURNALLED = `[admin]
operator_tenants = ["default"]
[journal]
journal = "all"
#constant journal.flush_ms = 50
[[platform.mirroring.rules]]
prefix = "in.t.*"
percent = 1.0
`;

interface Step {
  readonly step: string;
  readonly outcome: string;
  readonly text: string;
}

/** Publishes, whatever comes of it. */
async function publish(bus: TestBus, claims: object, message: object): Promise<void> {
  using client = await openText(bus.url, await bus.tokenFor(claims));
  client.send({ op: "pub", id: 7, type: "chat", data: 1, ...message });
  while ((await client.json()).id !== 7);
}

/** The only decision that the bus tells of, once it is stored. */
async function decisionOf(admin: AdminClient, query: string) {
  let found: { steps: Step[]; allowed: boolean; message_place: number | null }[] = [];
  await until("the decision is stored", async () => {
    found = (await admin.read(`/v1/why?${query}`)).way_in.decisions;
    return found.length > 0;
  });
  assert.equal(found.length, 1, query);
  return found[0]!;
}

const textOf = (steps: readonly Step[], name: string) =>
  steps.filter(({ step }) => step === name).map(({ outcome, text }) => `${outcome} ${text}`).join();

Deno.test("why: the way in of a message without any id of its own, and of one that no grant allows", async () => {
  await using bus = await startLocalBus(JOURNALLED);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const grants = [{ room: "hall*", actions: ["publish"] }];
  const claims = { user: "ann", tenant: "acme", claims: { grants } };
  {
    using bob = await openText(bus.url, await bus.tokenFor({ user: "bob", tenant: "acme" }));
    bob.send({ op: "sub", room: "hall", id: 1 });
    while ((await bob.json()).id !== 1);
    await publish(bus, claims, { room: "hall" });
    const { twist_id, headers = {} } = await bob.json();
    const twist = twist_id ?? headers["x-twist-id"] ?? headers["X-Twist-ID"];
    const { allowed, steps, message_place } = await decisionOf(
      admin,
      `tenant=acme&twist=${twist}&user=bob`,
    );
    assert.deepEqual([allowed, message_place], [true, 0]);
    assert.equal(textOf(steps, "grant"), "passed hall*");
    assert.match(textOf(steps, "token"), /^passed issuer \S+, .*role user, until 20/);
    assert.ok(textOf(steps, "stamp").endsWith(`X-Twist-ID ${twist}`));
    assert.match(textOf(steps, "mirror"), /^passed copied by rule in\.t\.\* of the configuration/);
  }
  await publish(bus, claims, { room: "den", message_id: "m1" });
  const query = "message_id=m1&tenant=acme";
  const refused = await decisionOf(admin, query);
  assert.deepEqual([refused.allowed, refused.message_place], [false, null]);
  assert.match(refused.steps.at(-1)?.text ?? "", /^403 not-granted/);
  assert.equal(refused.steps.at(-1)?.step, "grant");
  // A tenant's admin is told of its own; another's message is as one that never was.
  const own = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", tenant: "acme" }));
  assert.equal((await own.read("/v1/why?message_id=m1")).way_in.decisions.length, 1);
  const other = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", tenant: "b" }));
  const { way_in, messages } = await other.read("/v1/why?message_id=m1");
  assert.deepEqual([way_in.decisions, way_in.is_whole, messages], [[], true, []]);
  assert.equal((await other.get(`/v1/why?${query}`)).status, 403);
  assert.equal((await admin.get("/v1/why?user=ann&after=1")).status, 400);
  assert.equal((await admin.get("/v1/why?message_id=m1&after=x")).status, 400);
  assert.equal((await admin.read("/v1/why?user=ann")).way_in, null);
});

// What `why` says of a subscription that takes the place of another in the same millisecond, on a real bus.

Deno.test("a subscription that takes the place of another in the same breath gets what comes then", async () => {
  await using bus = await startLocalBus();
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  using ann = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  using bob = await openText(bus.url, await bus.tokenFor({ user: "bob" }));
  const publish = (room: string, message_id: string) =>
    ask(ann, { op: "pub", room, type: "t", data: 1, message_id });
  const subscribe = async (rooms: readonly string[]) => {
    for (const room of rooms) bob.send({ op: "sub", room, id: 1 });
    for (let at = 0; at < rooms.length; at++) assert.equal((await bob.json()).code, 0);
  };
  // A millisecond may end between two frames; it does not between all of these.
  for (let at = 0; at < 20; at++) {
    const [twice, patterned] = [`twice-${at}`, `pattern-${at}-a`];
    // The ledger has a number for a room from its first message on.
    await subscribe([twice]);
    await publish(twice, `first-${twice}`);
    await publish(patterned, `first-${patterned}`);
    await bob.json();
    await subscribe([twice, twice, `pattern-${at}-*`, patterned]);
    for (const room of [twice, patterned]) {
      await publish(room, `then-${room}`);
      assert.equal((await bob.json()).room, room);
      const { connections } = await admin.read(`/v1/why?message_id=then-${room}&user=bob`);
      const [{ outcomes: [outcome] }] = connections;
      assert.equal(outcome.state, "sent", `${room}: ${JSON.stringify(outcome)}`);
    }
  }
});
