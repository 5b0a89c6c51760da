/**
 * Kicks and bans of open connections, on a real engine with connections that keep their frames. Tests with sockets and
 * Brains are in `tests/signals_test.ts`.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type EnvelopeInput, writeEnvelope } from "@arqon/proto";
import { EVERY_ROOM } from "../../../shared/records/bans.ts";
import { roomSubject, tenantSubject } from "../../../shared/subjects/subject.ts";
import { exactSubject } from "../../../shared/spine/testing/subjects.ts";
import { ConnectionTable } from "../../connection/connection_table.ts";
import { readOrder } from "./signal_writes.ts";
import { turnsDuring } from "../../../shared/testing/turns_during.ts";
import { until } from "../../../shared/testing/until.ts";
import { Kept, signalled } from "./testing/signals.ts";
import { SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";

async function testSignals(connections: readonly Kept[]) {
  const engine = testSpine();
  const shield = await signalled(engine.spine, connections);
  const say = async (envelope: EnvelopeInput | Uint8Array, tenant = "acme") => {
    const payload = envelope instanceof Uint8Array ? envelope : writeEnvelope(envelope);
    engine.spine.publish(tenantSubject("signals", tenant), payload);
    await engine.spine.flush();
  };
  return {
    ...shield,
    spine: engine.spine,
    say,
    async [Symbol.asyncDispose]() {
      await shield[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}

function kick(target: string, target_kind: string, change: EnvelopeInput = {}): EnvelopeInput {
  return {
    tenant_id: "acme",
    room_id: "lobby",
    headers: { target_kind },
    signal: { kind: "DISCONNECT", target, reason: "rude", until_ms: 0 },
    ...change,
  };
}

const KICKED = { room: "lobby", kind: "DISCONNECT", target: "lobby", reason: "rude" };

Deno.test("a kick ends the user's subscriptions to that room, with the reason, and nothing else", async () => {
  const binary = new Kept("c1", "ann", ["lobby", "other"]);
  const text = new Kept("c2", "ann", ["lobby"], true);
  const elsewhere = new Kept("c3", "ann", ["other"]);
  const bob = new Kept("c4", "bob", ["lobby"]);
  const foreign = new Kept("c5", "ann", ["lobby"], false, "globex");
  await using test = await testSignals([binary, text, elsewhere, bob, foreign]);
  await test.say(kick("ann", "user"));
  assert.deepEqual(binary.signals, [{ ...KICKED, until_ms: 0 }]);
  assert.deepEqual(text.signals, [KICKED]);
  assert.deepEqual([...binary.subscriptions.keys()], ["other"]);
  assert.equal(text.subscriptions.size, 0);
  for (const spared of [elsewhere, bob, foreign]) {
    assert.deepEqual([spared.frames.length, spared.subscriptions.size], [0, 1], spared.id);
  }
  assert.deepEqual(test.stats.kicks, { kick: 2 });
});

Deno.test("one connection can be kicked by its id, in its own tenant only", async () => {
  const one = new Kept("c1", "ann", ["lobby"]);
  const two = new Kept("c2", "ann", ["lobby"]);
  const foreign = new Kept("c3", "ann", ["lobby"], false, "globex");
  await using test = await testSignals([one, two, foreign]);
  await test.say(kick("c1", "connection"));
  await test.say(kick("c3", "connection"));
  await test.say(kick("nobody", "connection"));
  assert.equal(one.subscriptions.size, 0);
  for (const spared of [two, foreign]) assert.equal(spared.subscriptions.size, 1);
  assert.deepEqual(test.stats.kicks, { kick: 1 });
  assert.deepEqual(test.writes.dropped, {});
});

Deno.test("an order of another tenant than the subject's does nothing, and is counted", async () => {
  const ann = new Kept("c1", "ann", ["lobby"]);
  await using test = await testSignals([ann]);
  const drain = { kind: "DRAIN" as const, target: "ann", reason: "", until_ms: 0 };
  await test.say(new Uint8Array([255, 255]));
  await test.say({ ...kick("ann", "user"), tenant_id: "globex" });
  await test.say(kick("ann", "user"), "globex");
  await test.say(kick("ann", "everybody"));
  await test.say(kick("", "user"));
  await test.say(kick("ann", "user", { room_id: "*" }));
  await test.say(kick("ann", "user", { signal: drain }));
  await test.say({ tenant_id: "acme", room_id: "lobby", event: { type: "chat" } });
  assert.deepEqual([ann.frames.length, ann.subscriptions.size], [0, 1]);
  assert.deepEqual(test.writes.dropped, { malformed: 5, foreign: 2, "unknown-kind": 1 });
  assert.deepEqual(test.stats.kicks, {});
  assert.equal(test.lines.length, 8);
});

Deno.test("without a room, a DISCONNECT ends all connections of a user, or one connection", async () => {
  const one = new Kept("c1", "ann", ["lobby"]);
  const two = new Kept("c2", "ann", [], true);
  const bob = new Kept("c3", "bob", []);
  const foreign = new Kept("c4", "ann", [], false, "globex");
  await using test = await testSignals([one, two, bob, foreign]);
  const order = (target: string) => ({
    signal: { kind: "DISCONNECT" as const, target, reason: "rude", until_ms: 0 },
  });
  await test.say(order("ann"));
  for (const ended of [one, two]) {
    assert.deepEqual(ended.failed, ["disconnected"]);
    const [{ kind, target, reason }] = ended.signals as [Record<string, unknown>];
    assert.deepEqual([kind, target, reason], ["DISCONNECT", ended.id, "rude"]);
  }
  assert.deepEqual([bob.failed, foreign.failed], [[], []]);
  await test.say(order("c4"));
  assert.deepEqual(foreign.failed, [], "of another tenant");
  await test.say({ ...order("c3"), headers: { target_kind: "user" } });
  assert.deepEqual(bob.failed, [], "no user has this id");
  await test.say(order("c3"));
  assert.deepEqual(bob.failed, ["disconnected"]);
  assert.deepEqual(test.stats.kicks, { signal: 3 });
});

Deno.test("signals that clients publish to a room remove nobody", async () => {
  const ann = new Kept("c1", "ann", ["signals"]);
  await using test = await testSignals([ann]);
  const { spine } = test;
  const room = roomSubject("in", "acme", "signals");
  for (const subject of [room, exactSubject("in.sys.t.acme.signals")]) {
    spine.publish(subject, writeEnvelope(kick("ann", "user", { room_id: "signals" })));
  }
  await spine.flush();
  assert.deepEqual([ann.frames.length, ann.subscriptions.size], [0, 1]);
});

Deno.test("a ban from the tenant ends the user's connections, a ban from a room their subscription to it", async () => {
  const one = new Kept("c1", "ann", ["lobby"]);
  const two = new Kept("c2", "ann", [], true);
  const bob = new Kept("c3", "bob", ["lobby", "other"]);
  const idle = new Kept("c4", "bob", ["other"]);
  await using test = await testSignals([one, two, bob, idle]);
  const until_ms = SPINE_NOW_MS + 1_000;
  const ban = { tenant_id: "acme", reason: "spam", until_ms };
  test.removals.ban({ ...ban, room_id: EVERY_ROOM, user_id: "ann" });
  test.removals.ban({ ...ban, room_id: "lobby", user_id: "bob" });
  test.removals.ban({ ...ban, room_id: EVERY_ROOM, user_id: "nobody" });
  await until("bob is removed", () => bob.subscriptions.size === 1);
  const signal = { kind: "BAN", target: "ann", reason: "spam", until_ms };
  for (const banned of [one, two]) {
    assert.deepEqual(banned.signals, [{ room: "", ...signal }]);
    assert.deepEqual(banned.failed, ["banned"]);
  }
  assert.deepEqual(bob.signals, [{ room: "lobby", ...signal, target: "lobby" }]);
  assert.deepEqual([...bob.subscriptions.keys()], ["other"]);
  assert.deepEqual([bob.failed.length, idle.frames.length], [0, 0]);
  assert.deepEqual(test.stats.kicks, { ban: 2, "room-ban": 1 });
  // Bans are reported again after each listing.
  test.removals.ban({ ...ban, room_id: EVERY_ROOM, user_id: "ann" });
  test.removals.ban({ ...ban, room_id: "lobby", user_id: "bob" });
  assert.deepEqual(test.stats.kicks, { ban: 2, "room-ban": 1 });
});

Deno.test("a revocation ends only connections with the revoked token, and sends them the reason", async () => {
  const old = new Kept("c1", "ann", ["lobby"]);
  const text = new Kept("c2", "ann", [], true);
  const bob = new Kept("c3", "bob", ["lobby"]);
  const gone = new Kept("c4", "ann", []);
  gone.ended = true;
  await using test = await testSignals([old, text, bob, gone]);
  const revocation = { kind: "user", id: "ann", issued_before_ms: 1, until_ms: 9 } as const;
  const rest = { reason: "lost phone", by: "root", created_ms: 1 };
  test.removals.revoke(({ user_id }) => user_id === "ann" ? { ...revocation, ...rest } : undefined);
  for (const connection of [old, text]) {
    assert.deepEqual(connection.failed, ["token-revoked"]);
    const [{ room: _, ...signal }] = connection.signals as [Record<string, unknown>];
    assert.equal(signal.kind, "REVOKE");
    assert.deepEqual([signal.target, signal.reason], ["ann", "lost phone"]);
  }
  assert.deepEqual([bob.failed, bob.signals, gone.failed], [[], [], []]);
  assert.deepEqual(test.stats.kicks, { revoked: 2 });
});

Deno.test("a revoked token that has lent a room to a connection ends that subscription alone", async () => {
  const bob = new Kept("c1", "bob", ["lobby", "news"]);
  const grant = { actions: ["subscribe"] } as const;
  const lender = { ...bob.identity, token_id: "t1" };
  bob.more_grants = [{ ...grant, room: "lobby", lender }, { ...grant, room: "news" }];
  await using test = await testSignals([bob]);
  const revocation = { kind: "token", id: "t1", issued_before_ms: 0, until_ms: 9 } as const;
  const rest = { reason: "lost phone", by: "root", created_ms: 1 };
  test.removals.revoke(({ token_id }) =>
    token_id === "t1" ? { ...revocation, ...rest } : undefined
  );
  assert.deepEqual([bob.failed, bob.ended], [["not-granted"], false]);
  assert.deepEqual([...bob.subscriptions.keys()], ["news"]);
});

Deno.test("many connections of one user are kicked, banned or ended in slices", async () => {
  const many = () => Array.from({ length: 400 }, (_, at) => new Kept(`c${at}`, "ann", ["lobby"]));
  const until_ms = SPINE_NOW_MS + 1_000;
  const banned = { tenant_id: "acme", user_id: "ann", reason: "spam", until_ms };
  const revocation = { kind: "user", id: "ann", issued_before_ms: 1, until_ms: 9 } as const;
  const rest = { reason: "lost phone", by: "root", created_ms: 1 };
  type Test = Awaited<ReturnType<typeof testSignals>>;
  const acts: Readonly<Record<string, (test: Test) => unknown>> = {
    kick: (test) => test.say(kick("ann", "user")),
    "room-ban": ({ removals }) => removals.ban({ ...banned, room_id: "lobby" }),
    ban: ({ removals }) => removals.ban({ ...banned, room_id: EVERY_ROOM }),
    revoked: ({ removals }) => removals.revoke(() => ({ ...revocation, ...rest })),
    signal: (test) => test.say({ ...kick("ann", "user"), room_id: "" }),
  };
  for (const [cause, act] of Object.entries(acts)) {
    const connections = many();
    await using test = await testSignals(connections);
    const { turns } = await turnsDuring(async () => {
      await act(test);
      await until(cause, () => test.stats.kicks[cause] === connections.length);
    });
    assert(turns >= 20, `${cause}: ${turns} turns`);
    assert(connections.every(({ frames }) => frames.length === 1), cause);
  }
});

Deno.test("many simultaneous signals are carried out in slices", async () => {
  const connections = Array.from(
    { length: 4_000 },
    (_, at) => new Kept(`c${at}`, `user-${at % 400}`, ["lobby"]),
  );
  await using test = await testSignals(connections);
  const { turns } = await turnsDuring(async () => {
    const ban = { tenant_id: "acme", reason: "spam", until_ms: SPINE_NOW_MS + 1_000 };
    for (let at = 0; at < 400; at++) {
      test.removals.ban({ ...ban, room_id: EVERY_ROOM, user_id: `user-${at}` });
    }
    await until("all are banned", () => connections.every(({ failed }) => failed.length === 1));
  });
  assert(turns >= 100, `${turns} turns`);
});

Deno.test("after the end no signal is received", async () => {
  const ann = new Kept("c1", "ann", ["lobby"]);
  await using test = await testSignals([ann]);
  test.stop();
  await test.say(kick("ann", "user"));
  assert.deepEqual([ann.frames.length, ann.subscriptions.size], [0, 1]);
});

Deno.test("any bytes on a control subject give an order or a problem", () => {
  const subject = tenantSubject("signals", "acme");
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    const payload = new Uint8Array(bytes);
    assert.ok("problem" in readOrder({ subject, payload }, SPINE_NOW_MS));
  }));
});

Deno.test("the table finds a user's connections, and removes ended ones", () => {
  const connections = ["c1", "c2", "c3"].map((id) => new Kept(id, id === "c3" ? "bob" : "ann", []));
  const table = new ConnectionTable<Kept>();
  for (const connection of connections) table.add(connection);
  const ids = (list: Iterable<Kept>) => [...list].map(({ id }) => id);
  assert.deepEqual(ids(table), ["c1", "c2", "c3"]);
  assert.deepEqual(ids(table.ofUser("acme", "ann")), ["c1", "c2"]);
  assert.deepEqual(ids(table.ofUser("globex", "ann")), []);
  assert.equal(table.ofTenant("acme", "c3")?.id, "c3");
  assert.equal(table.ofTenant("globex", "c3"), undefined);
  for (const connection of connections) {
    assert.equal(table.delete(connection), true);
    assert.equal(table.delete(connection), false);
  }
  assert.deepEqual([table.size, table.ofUser("acme", "ann").length], [0, 0]);
});
