/**
 * `GET /v1/why` on a real bus: rejected handshakes and unreadable frames, found by user, by connection and by address.
 * `why_test.ts` has the outcome of messages, `arq/arq_why_test.ts` their admission. Also a subscription that replaces
 * another.
 */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openBinary, openText, RawClient } from "./peers/raw_client.ts";

const CONFIG = `
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
  /** The refusals that a query finds. */
  refusals(query: string): Promise<Shown[]>;
}

async function withBus(work: (world: World) => Promise<void>): Promise<void> {
  await using bus = await startLocalBus(CONFIG);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const refusals = async (query: string) => (await admin.read(`/v1/why?${query}`)).refusals;
  await work({ bus, admin, refusals });
}

/** Tries to connect, and is refused. */
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
    const frame = await dan.frame();
    assert.equal(frame.kind, "err");
    const [found] = await refusals(`connection=${connection_id}`);
    assert.deepEqual([found?.stage, found?.user_id], ["operation", "dan"]);
    assert.equal(found?.detail, frame.kind === "err" ? frame.message : "");
    assert.deepEqual(await refusals("user=dan"), [found]);
    assert.deepEqual(await refusals(`address=${remote_ip}`), [found]);
  });
});

// The answer of `why` about a subscription that replaces another one in the same millisecond, on a real bus.

Deno.test("a subscription that replaces another in the same millisecond gets later messages", async () => {
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
  // A millisecond may end between two frames, but not between all of these.
  for (let at = 0; at < 20; at++) {
    const [twice, patterned] = [`twice-${at}`, `pattern-${at}-a`];
    // The ledger assigns a number to a room at its first message.
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
