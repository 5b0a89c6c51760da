/**
 * Writes of backends' signals, with several Shields on one engine: once, in order, and within limits. Tests with
 * sockets, processes and NATS are in `tests/signals_test.ts`.
 */
import assert from "node:assert/strict";
import { type SignalKind, writeEnvelope } from "@arqon/proto";
import { banKey, decodeBan, EVERY_ROOM } from "../../../shared/records/bans.ts";
import { decodeRevocation, revocationKey } from "../../../shared/records/revocations.ts";
import { tenantSubject } from "../../../shared/subjects/subject.ts";
import { until } from "../../../shared/testing/until.ts";
import { holderOf } from "../../auth/testing/revocations.ts";
import { Kept, signalled, type TestSignals } from "./testing/signals.ts";
import { SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";

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
  assert.deepEqual(decodeBan((await test.one.bans.bucket.get(KEY))!.value), {
    user_id: "ann",
    room_id: EVERY_ROOM,
    until_ms,
    reason: "spam",
    by: "signal",
    created_ms: SPINE_NOW_MS,
  });
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
  const order = (headers: Record<string, string>) => ({
    headers,
    signal: { kind: "REVOKE", target: "ann", reason: "lost" },
  });
  test.say(order({ target_kind: "token" }));
  await test.done();
  assert.equal(await stored("user"), undefined);
  const until_ms = SPINE_NOW_MS + 2_592_000_000;
  const rest = { reason: "lost", by: "signal", created_ms: SPINE_NOW_MS, until_ms };
  assert.deepEqual(await stored("token"), {
    kind: "token",
    id: "ann",
    issued_before_ms: 0,
    ...rest,
  });
  test.say(order({}));
  await test.done();
  assert.deepEqual(await stored("user"), {
    kind: "user",
    id: "ann",
    issued_before_ms: SPINE_NOW_MS,
    ...rest,
  });
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
    [
      { signal: { kind: "BAN", target: "ann" }, tenant_id: "globex" },
      /the envelope's tenant differs/,
    ],
  ];
  for (const [value, says] of wrong) {
    await using test = await cluster(3);
    const writes = test.watch();
    test.say(value);
    await test.done();
    const lines = test.shields.flatMap(({ lines }) => lines).filter((line) =>
      line.includes("a control signal was dropped")
    );
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

Deno.test("the queue of a burst is bounded", async () => {
  await using test = await cluster(1, [], 10_000);
  const message = (target: string) => ({
    subject: SUBJECT,
    payload: writeEnvelope({ signal: { kind: "BAN", target, reason: "", until_ms: 0 } }),
  });
  for (let n = 0; n < 1_200; n++) {
    test.one.writes.take(message(`u${n}`));
  }
  assert.deepEqual(test.one.writes.dropped, { busy: 200 });
  await test.done();
  assert.equal((await test.one.bans.bucket.keys()).length, 1_000);
  // A dropped order can be repeated.
  test.one.writes.take(message("u1100"));
  await test.done();
  assert.equal((await test.one.bans.bucket.keys()).length, 1_001);
});
