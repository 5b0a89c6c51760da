/**
 * Kicks and bans of open connections, on a real engine with connections that keep their frames. Writes of backends'
 * signals, with several Shields on one engine: once, in order, and within limits. Tests with sockets, processes and
 * NATS are in `tests/signals_test.ts`.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type EnvelopeInput, type SignalKind, writeEnvelope } from "@arqon/proto";
import { banKey, decodeBan, EVERY_ROOM } from "../../../shared/records/bans.ts";
import { roomSubject, tenantSubject } from "../../../shared/subjects/subject.ts";
import { exactSubject } from "../../../shared/spine/testing/subjects.ts";
import { ConnectionTable } from "../../connection/connection_table.ts";
import { readOrder } from "./signal_writes.ts";
import { turnsDuring } from "../../../shared/testing/turns_during.ts";
import { until } from "../../../shared/testing/until.ts";
import { Kept, signalled, type TestSignals } from "./testing/signals.ts";
import { SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";
import { decodeRevocation, revocationKey } from "../../../shared/records/revocations.ts";
import { holderOf } from "../../auth/testing/revocations.ts";

async function testSignals(connections: readonly Kept[]) {
  const engine = testSpine();
  const shield = await signalled(engine.spine, connections);
  const say = async (envelope: EnvelopeInput | Uint8Array, tenant = "acme") => {
    const payload = envelope instanceof Uint8Array ? envelope : writeEnvelope(envelope);
    engine.spine.publish(tenantSubject("signals", tenant), payload);
    await engine.spine.flush();
  };
  const end = async () => {
    await shield[Symbol.asyncDispose]();
    await engine[Symbol.asyncDispose]();
  };
  return { ...shield, spine: engine.spine, say, [Symbol.asyncDispose]: end };
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

/** A revocation of a user's tokens so far, or of one token. */
function revoked(kind: "user" | "token", id: string) {
  const about = { kind, id, issued_before_ms: kind === "user" ? 1 : 0, until_ms: 9 };
  return { ...about, reason: "lost phone", by: "root", created_ms: 1 };
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
  test.removals.revoke(({ user_id }) => user_id === "ann" ? revoked("user", "ann") : undefined);
  await until("both end", () => test.stats.kicks["revoked"] === 2);
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
  test.removals.revoke(({ token_id }) => token_id === "t1" ? revoked("token", "t1") : undefined);
  await until("the subscription ends", () => bob.failed.length > 0);
  assert.deepEqual([bob.failed, bob.ended], [["not-granted"], false]);
  assert.deepEqual([...bob.subscriptions.keys()], ["news"]);
});

Deno.test("many connections of one user are kicked, banned or ended in slices", async () => {
  const many = () => Array.from({ length: 400 }, (_, at) => new Kept(`c${at}`, "ann", ["lobby"]));
  const until_ms = SPINE_NOW_MS + 1_000;
  const banned = { tenant_id: "acme", user_id: "ann", reason: "spam", until_ms };
  type Test = Awaited<ReturnType<typeof testSignals>>;
  const acts: Readonly<Record<string, (test: Test) => unknown>> = {
    kick: (test) => test.say(kick("ann", "user")),
    "room-ban": ({ removals }) => removals.ban({ ...banned, room_id: "lobby" }),
    ban: ({ removals }) => removals.ban({ ...banned, room_id: EVERY_ROOM }),
    revoked: ({ removals }) => removals.revoke(() => revoked("user", "ann")),
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
  const connection = (at: number) => new Kept(`c${at}`, `user-${at % 400}`, ["lobby"]);
  const connections = Array.from({ length: 4_000 }, (_, at) => connection(at));
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

const SUBJECT = tenantSubject("signals", "acme");
const KEY = banKey("acme", EVERY_ROOM, "ann");
const encoder = new TextEncoder();

/** Shields on one engine, and a backend that sends to all of them. */
async function cluster(shields_count: number, connections: readonly Kept[] = [], most?: number) {
  const engine = testSpine();
  const { spine } = engine;
  const shields: TestSignals[] = [];
  for (let n = 0; n < shields_count; n++) {
    shields.push(await signalled(spine, n === 0 ? connections : [], most));
  }
  const [one] = shields as [TestSignals];
  return {
    shields,
    one,
    /** Counts the writes of a bucket. */
    watch() {
      const writes: string[] = [];
      one.bans.bucket.watch([], ({ type }) => void writes.push(type));
      return writes;
    },
    say(value: unknown, subject = SUBJECT) {
      const text = typeof value === "string" ? value : JSON.stringify(value);
      spine.publish(subject, encoder.encode(text));
    },
    signal(kind: SignalKind, change: Record<string, unknown> = {}) {
      this.say({ signal: { kind, target: "ann", ...change } });
    },
    /** Resolves once all sent orders are carried out. */
    async done() {
      await spine.flush();
      for (const { writes } of shields) await writes.idle;
    },
    async [Symbol.asyncDispose]() {
      for (const shield of shields) await shield[Symbol.asyncDispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}

Deno.test("a BAN is written once for any number of Shields, and takes effect on each of them", async () => {
  const ann = new Kept("c1", "ann", ["lobby"]);
  await using test = await cluster(5, [ann]);
  const writes = test.watch();
  const until_ms = SPINE_NOW_MS + 60_000;
  test.signal("BAN", { reason: "spam", until_ms });
  for (const { bans } of test.shields) await bans.arrived.count(1);
  const about = { user_id: "ann", room_id: EVERY_ROOM, until_ms, reason: "spam" };
  const ban = { ...about, by: "signal", created_ms: SPINE_NOW_MS };
  assert.deepEqual(decodeBan((await test.one.bans.bucket.get(KEY))!.value), ban);
  await test.done();
  await until("the write", () => writes.length > 0);
  assert.deepEqual(writes, ["put"]);
  assert.deepEqual(ann.failed, ["banned"]);
  test.signal("UNBAN");
  await until("the second write", () => writes.length > 1);
  assert.deepEqual(writes, ["put", "delete"]);
  for (const { bans } of test.shields) await until("the end", () => bans.stats.bans === 0);
});

Deno.test("the last of bans and unbans in quick succession wins, whichever Shield writes", async () => {
  await using test = await cluster(4);
  for (const last of ["BAN", "UNBAN"] as const) {
    for (let n = 0; n < 20; n++) {
      const kind = n % 2 === (last === "BAN" ? 1 : 0) ? "BAN" : "UNBAN";
      test.say({ sender: `${last}-${n}`, signal: { kind, target: "ann" } });
    }
    await test.done();
    const entry = await test.one.bans.bucket.get(KEY);
    assert.equal(entry && decodeBan(entry.value).by, last === "BAN" ? "BAN-19" : undefined);
    // The order of arrival is not deterministic, so the last write of each writer must be the same.
    for (const { lines } of test.shields) {
      const words = lines.filter((line) => line.includes("carried out"));
      assert.ok(words.length > 0, "each was chosen at least once");
      assert.match(words.at(-1)!, new RegExp(`by=${last}-19\\b`));
    }
  }
});

Deno.test("a BAN is written again ten seconds later, though the wall clock was set back by hours", async () => {
  await using test = await cluster(1);
  const { bans: { bucket, clock }, passed } = test.one;
  test.signal("BAN");
  await test.done();
  // Lifted by another way than a signal.
  await bucket.delete(KEY);
  clock.now_ms -= 7_200_000;
  passed.ms += 10_001;
  test.signal("BAN");
  await test.done();
  assert.ok(await bucket.get(KEY) !== undefined);
});

Deno.test("REVOKE hits all tokens so far by the store's clock, though the Shield's is behind", async () => {
  await using test = await cluster(1);
  test.one.store.ahead_ms = 20_000;
  test.signal("REVOKE");
  await test.done();
  const key = revocationKey("acme", { kind: "user", id: "ann" });
  const entry = await test.one.revocations.bucket.get(key);
  assert.equal(decodeRevocation(entry!.value).issued_before_ms, SPINE_NOW_MS + 20_000);
});

Deno.test("a BAN of a room is of that room, and UNBAN lifts what it names", async () => {
  await using test = await cluster(2);
  test.say({ room: "lobby", sender: "mod-7", signal: { kind: "BAN", target: "ann" } });
  await test.done();
  const lobby = banKey("acme", "lobby", "ann");
  assert.equal(decodeBan((await test.one.bans.bucket.get(lobby))!.value).by, "mod-7");
  test.signal("UNBAN");
  await test.done();
  assert.ok(await test.one.bans.bucket.get(lobby) !== undefined, "that was of the tenant");
  test.say({ room: "lobby", signal: { kind: "UNBAN", target: "ann" } });
  await test.done();
  assert.equal(await test.one.bans.bucket.get(lobby), undefined);
});

Deno.test("REVOKE revokes the user's tokens so far or the token with that id, depending on the header", async () => {
  await using test = await cluster(3);
  const stored = async (kind: "user" | "token") => {
    const entry = await test.one.revocations.bucket.get(revocationKey("acme", { kind, id: "ann" }));
    return entry && decodeRevocation(entry.value);
  };
  const signal = { kind: "REVOKE", target: "ann", reason: "lost" };
  const order = (headers: Record<string, string>) => ({ headers, signal });
  test.say(order({ target_kind: "token" }));
  await test.done();
  assert.equal(await stored("user"), undefined);
  const until_ms = SPINE_NOW_MS + 2_592_000_000;
  const rest = { reason: "lost", by: "signal", created_ms: SPINE_NOW_MS, until_ms };
  const token = { kind: "token", id: "ann", issued_before_ms: 0, ...rest };
  assert.deepEqual(await stored("token"), token);
  test.say(order({}));
  await test.done();
  const user = { kind: "user", id: "ann", issued_before_ms: SPINE_NOW_MS, ...rest };
  assert.deepEqual(await stored("user"), user);
  for (const { revocations } of test.shields) {
    await until("the revocation", () => revocations.held.find(holderOf()) !== undefined);
    assert.equal(revocations.held.find(holderOf({ tenant_id: "globex" })), undefined);
  }
  const ids = test.shields.flatMap(({ lines }) => lines).filter((line) => line.includes("REVOKE"));
  assert.equal(ids.length, 2, "carried out once each");
  assert.ok(!ids.join().includes("ann"), "token ids stay out of the log");
});

Deno.test("the problem of a signal is counted and logged once, with the expected form", async () => {
  const wrong: [value: unknown, says: RegExp][] = [
    ['{"signal":', /it begins like JSON and is not JSON/],
    ["ban ann", /neither an Envelope nor JSON such as/],
    [{ kind: "BAN", target: "ann" }, /signal: Invalid input/],
    [{ signal: { kind: "BAN" } }, /signal.target: Invalid input/],
    [{ signal: { kind: "BAN", target: "" } }, /target: expected the id of a user/],
    [{ signal: { kind: "BAN", target: "x".repeat(129) } }, /target: expected the id of a user/],
    [{ signal: { kind: "ban", target: "ann" } }, /expected DISCONNECT, BAN, UNBAN, REVOKE/],
    [{ signal: { kind: "toString", target: "ann" } }, /expected DISCONNECT, BAN/],
    [{ signal: { kind: "BAN", target: "ann", until_ms: 1_767_323_045 } }, /in Unix ms, or 0/],
    [{ signal: { kind: "BAN", target: "ann", until_ms: 1e300 } }, /until_ms/],
    [{ signal: { kind: "BAN", target: "ann", reason: "x".repeat(257) } }, /at most 256/],
    [{ signal: { kind: "BAN", target: "ann" }, room: "a.b" }, /room: character/],
    [{ signal: { kind: "BAN", target: "ann" }, user: "ann" }, /Unrecognized key: \\"user\\"/],
    [{ signal: { kind: "REVOKE", target: "ann" }, room: "lobby" }, /leave the room out/],
    [{ signal: { kind: "BAN", target: "c1" }, headers: { target_kind: "connection" } }, /id of a/],
    [{ signal: { kind: "BAN", target: "ann" }, tenant_id: "globex" }, /envelope's tenant differs/],
  ];
  for (const [value, says] of wrong) {
    await using test = await cluster(3);
    const writes = test.watch();
    test.say(value);
    await test.done();
    const lines = test.shields.flatMap(({ lines }) => lines)
      .filter((line) => line.includes("a control signal was dropped"));
    assert.equal(lines.length, 1, JSON.stringify(value));
    assert.match(lines[0]!, says);
    const counts = test.shields.map(({ writes }) => Object.values(writes.dropped));
    assert.deepEqual(counts.flat(), [1]);
    assert.deepEqual(writes, []);
  }
});

Deno.test("a tenant has at most brain.bans_per_tenant bans, and receives ban-limit beyond", async () => {
  await using test = await cluster(1, [], 2);
  for (const target of ["a", "b", "c", "a"]) test.signal("BAN", { target, reason: target });
  test.say({ signal: { kind: "BAN", target: "d" } }, tenantSubject("signals", "globex"));
  await test.done();
  assert.equal((await test.one.bans.bucket.keys()).length, 3, "two, and one of another tenant");
  assert.deepEqual(test.one.writes.dropped, { limit: 1 });
  assert.match(test.one.lines.join("\n"), /problem=limit kind=BAN tenant_id=acme/);
});

Deno.test("revocations beyond limits.revocations are refused with revocation-limit", async () => {
  await using test = await cluster(1, [], 1);
  const headers = { target_kind: "token" };
  for (const target of ["a", "b"]) test.say({ headers, signal: { kind: "REVOKE", target } });
  await test.done();
  assert.deepEqual(test.one.writes.dropped, { limit: 1 });
});

Deno.test("a tenant that revokes without end leaves room for another's revocations", async () => {
  await using test = await cluster(1, [], 9);
  const headers = { target_kind: "token" };
  const revoke = (target: string, tenant: string) =>
    test.say({ headers, signal: { kind: "REVOKE", target } }, tenantSubject("signals", tenant));
  for (const target of "abcdefghijkl") revoke(target, "acme");
  revoke("a", "globex");
  await test.done();
  const tenants = (await test.one.revocations.bucket.keys()).map(([tenant]) => tenant);
  assert.deepEqual([tenants.length, tenants.includes("globex")], [8, true]);
  assert.deepEqual(test.one.writes.dropped, { limit: 5 });
});

Deno.test("the queue of a burst is bounded, and another tenant's order does not wait behind it", async () => {
  await using test = await cluster(1, [], 10_000);
  const message = (target: string, subject: string = SUBJECT) => ({
    subject,
    payload: writeEnvelope({ signal: { kind: "BAN", target, reason: "", until_ms: 0 } }),
  });
  for (let n = 0; n < 1_200; n++) test.one.writes.take(message(`u${n}`));
  test.one.writes.take(message("v", tenantSubject("signals", "globex")));
  await until("another tenant's", async () => {
    const keys = await test.one.bans.bucket.keys();
    const is_written = keys.some(([tenant]) => tenant === "globex");
    if (is_written) assert.ok(keys.length < 800, `after ${keys.length} writes`);
    return is_written;
  });
  await test.done();
  assert.deepEqual(test.one.writes.dropped, { busy: 311 });
  assert.equal((await test.one.bans.bucket.keys()).length, 890);
  // A dropped order can be repeated.
  test.one.writes.take(message("u1100"));
  await test.done();
  assert.equal((await test.one.bans.bucket.keys()).length, 891);
});
