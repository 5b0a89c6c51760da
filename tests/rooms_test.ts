/**
 * Room commands as clients on a running bus send them and hear of them: state, locks and fences,
 * kicks, bans. Both planes of a Shield with its Brain; several of each are other tests' business.
 */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus, TokenOptions } from "./harness/test_bus.ts";
import { PresenceClient } from "./peers/presence_client.ts";
import type { Answer } from "./peers/presence_client.ts";
import { openText } from "./peers/raw_client.ts";
import { refusedUpgrade } from "./peers/raw_upgrade.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
drain_ms = 0
[ops]
host = "127.0.0.1"
[brain]
bans_per_tenant = 3
rooms_per_tenant = 4
`;
/** Longer than anything that a test waits for. */
const LONG_MS = 600_000;

async function open(
  bus: TestBus,
  user: string,
  options: TokenOptions = {},
): Promise<PresenceClient> {
  return await PresenceClient.open(bus.url, await bus.tokenFor({ user, ...options }));
}

function refused(answer: Answer, code: number, reason: string): void {
  assert.deepEqual([answer.code, answer.reason], [code, reason], answer.message);
}

function done({ code, result, message }: Answer): Answer["result"] {
  assert.equal(code, 0, message);
  return result;
}

/** The room's events may come between. */
async function heardBy(client: PresenceClient, ...names: string[]): Promise<void> {
  await client.untilAny(() => client.names.join() === names.join());
}

/** Reads, writes and deletes, and the events that others hear of them. */
async function state(bus: TestBus): Promise<void> {
  const room = "state";
  const ann = await open(bus, "ann");
  const bob = await open(bus, "bob");
  await bob.sub(room);
  const set = done(await ann.command(room, "room.set", { data: { key: "k", value: [1] } }));
  const { version } = set;
  assert.ok(Number.isSafeInteger(version) && version > 1, "no room before it can have had it");
  const first = await bob.told();
  const { at_ms, ...event } = first.data as Record<string, unknown>;
  assert.ok(Number.isSafeInteger(at_ms));
  assert.deepEqual({ type: first.type, ...event }, {
    type: "ROOM_UPDATE",
    version,
    epoch: set.epoch,
    first: true,
    op: "set",
    key: "k",
    value: [1],
    by: "ann",
  });
  refused(
    await ann.command(room, "room.delete", { data: { key: "k" }, expect_version: 7 }),
    409,
    "version-conflict",
  );
  const deleted = done(
    await ann.command(room, "delete", { data: { key: "k" }, expect_version: version }),
  );
  assert.deepEqual(deleted, { version: version + 1, epoch: set.epoch });
  const kept = await bob.command(room, "room.get", { data: { key: "k", events_after: version } });
  const { exists, events } = done(kept);
  assert.deepEqual([exists, events.length, events[0].op, events[0].version], [
    false,
    1,
    "delete",
    version + 1,
  ]);
  const whole = await bob.command(room, "room.get", { data: { key: "k", events_after: 0 } });
  assert.deepEqual(done(whole).events.map(({ op }: { op: string }) => op), ["set", "delete"]);
  assert.deepEqual((await bob.told()).data, events[0]);
  const read = { data: { key: "k" }, after_version: version + 1, epoch: set.epoch };
  assert.equal(done(await bob.command(room, "get", read)).exists, false);

  const command = { data: { key: "n", value: 1 }, command_id: "once" };
  const once = done(await ann.command(room, "room.set", command));
  assert.deepEqual(done(await ann.command(room, "room.set", command)), once, "applied once");
  assert.equal((await bob.told()).type, "ROOM_UPDATE");
  assert.equal(done(await ann.command(room, "room.get")).version, version + 2);
  for (const client of [ann, bob]) client[Symbol.dispose]();
}

async function locks(bus: TestBus): Promise<void> {
  const room = "locked";
  const ann = await open(bus, "ann");
  const bob = await open(bus, "bob");
  const write = { data: { key: "k", value: 1 } };
  for (const client of [ann, bob]) await client.sub(room, { presence: true });
  const grant = done(await ann.command(room, "room.lock", { data: { ttl_ms: LONG_MS } }));
  assert.ok(grant.fence > 0 && grant.until_ms > Date.now());
  const { lock } = done(await bob.command(room, "room.get"));
  assert.deepEqual(lock, {
    holder: "ann",
    connection_id: ann.connection_id,
    until_ms: grant.until_ms,
    fence: grant.fence,
  });
  for (const name of ["room.lock", "room.unlock", "room.set"]) {
    const data = name === "room.set" ? write.data : {};
    const answer = await bob.command(room, name, { data });
    assert.equal(answer.code, 409, `${name}: ${answer.reason}`);
    assert.equal(answer.reason, "locked");
  }
  refused(
    await ann.command(room, "room.set", { ...write, fence: grant.fence + 1 }),
    409,
    "fence-mismatch",
  );
  done(await ann.command(room, "room.set", { ...write, fence: grant.fence }));
  done(await ann.command(room, "room.unlock", { fence: grant.fence }));
  refused(
    await ann.command(room, "room.set", { ...write, fence: grant.fence }),
    409,
    "fence-mismatch",
  );

  // A holder whose connection ends loses the lock at once, long before its lease ends.
  done(await ann.command(room, "room.lock", { data: { ttl_ms: LONG_MS } }));
  ann[Symbol.dispose]();
  for (;;) {
    const told = await bob.told();
    const { op, cause } = told.data as { op: string; cause?: string };
    if (op !== "unlock" || cause !== "holder-left") continue;
    break;
  }
  const next = done(await bob.command(room, "room.lock", { data: { ttl_ms: 50 } }));
  assert.ok(next.fence > grant.fence, "fences only grow");
  for (;;) {
    const { op, cause } = (await bob.told()).data as { op: string; cause?: string };
    if (op === "unlock" && cause === "expired") break;
  }
  bob[Symbol.dispose]();
}

async function kicks(bus: TestBus): Promise<void> {
  const room = "kicks";
  const moderator = await open(bus, "mod", { role: "service" });
  const [ann, other, bob] = [
    await open(bus, "ann"),
    await open(bus, "ann"),
    await open(bus, "bob"),
  ];
  for (const client of [ann, other, bob]) await client.sub(room, { presence: true });
  await heardBy(bob, "ann", "ann", "bob");
  refused(
    await bob.command(room, "room.kick", { data: { user_id: "ann" } }),
    403,
    "command-forbidden",
  );

  const one = { connection_id: other.connection_id, reason: "one too many" };
  done(await moderator.command(room, "room.kick", { data: one }));
  const { signal } = await nextSignal(other);
  assert.deepEqual([signal?.kind, signal?.target, signal?.reason], [
    "DISCONNECT",
    room,
    "one too many",
  ]);
  await heardBy(bob, "ann", "bob");
  assert.equal((await other.unsub(room)).reason, "not-subscribed");

  done(await moderator.command(room, "kick", { data: { user_id: "ann", reason: "rude" } }));
  assert.equal((await nextSignal(ann)).signal?.reason, "rude");
  await heardBy(bob, "bob");
  assert.deepEqual([bob.connections, bob.users], [1, 1]);
  done(await ann.sub(room, { presence: true }));
  await heardBy(bob, "ann", "bob");
  refused(await moderator.command(room, "room.kick", { data: {} }), 400, "invalid-command");
  for (const client of [moderator, ann, other, bob]) client[Symbol.dispose]();
}

/** The next signal; the kick or ban that it is about is also a ROOM_UPDATE. */
async function nextSignal(
  client: PresenceClient,
): Promise<Awaited<ReturnType<typeof client.told>>> {
  for (;;) {
    const told = await client.told();
    if (told.signal !== undefined) return told;
    assert.equal(told.type, "ROOM_UPDATE");
  }
}

async function bans(bus: TestBus): Promise<void> {
  const room = "bans";
  const moderator = await open(bus, "mod", { role: "admin" });
  const ann = await open(bus, "ann");
  const bob = await open(bus, "bob");
  for (const client of [ann, bob]) await client.sub(room, { presence: true });
  await heardBy(bob, "ann", "bob");
  const ban = { user_id: "ann", reason: "spam" };
  refused(await ann.command(room, "room.ban", { data: ban }), 403, "command-forbidden");

  done(await moderator.command(room, "room.ban", { data: { ...ban, ttl_ms: LONG_MS } }));
  const { signal } = await nextSignal(ann);
  assert.deepEqual([signal?.kind, signal?.target, signal?.reason], ["BAN", "ann", "spam"]);
  assert.equal((await ann.raw.closed()).code, 4403);
  await heardBy(bob, "bob");
  const token = await bus.tokenFor({ user: "ann" });
  assert.deepEqual(await refusedUpgrade(bus.http_url, { token }), ["403", "banned"]);
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const post = { method: "POST", headers, body: '{"type":"t"}' };
  for (
    const [path, init] of [["auth/check", { headers }], [`rooms/${room}/messages`, post]] as const
  ) {
    const answer = await fetch(`${bus.http_url}/v1/${path}`, init);
    const problem = await answer.json();
    assert.deepEqual([answer.status, problem.reason], [403, "banned"], path);
    assert.match(problem.detail, /spam/);
  }
  done(await moderator.command(room, "room.unban", { data: { user_id: "ann" } }));
  (await reconnected(bus, token))[Symbol.dispose]();

  done(await moderator.command(room, "room.ban", { data: { user_id: "bob", scope: "room" } }));
  const told = await nextSignal(bob);
  assert.deepEqual([told.room, told.signal?.kind, told.signal?.target], [room, "BAN", room]);
  refused(await bob.sub(room), 403, "room-banned");
  const { bans: [row], count } = done(await moderator.command(room, "room.bans"));
  const { created_ms, ...kept_out } = row;
  assert.ok(Math.abs(created_ms - Date.now()) < LONG_MS);
  const why = { until_ms: 0, reason: "", by: "mod" };
  assert.deepEqual([kept_out, count], [{ user_id: "bob", scope: "room", ...why }, 1]);
  refused(await bob.command(room, "room.get"), 403, "room-banned");
  done(await bob.sub("other"));
  done(await moderator.sub(room, { presence: true, observer: true }));
  await heardBy(moderator);
  done(await moderator.command(room, "unban", { data: { user_id: "bob", scope: "room" } }));
  for (;;) {
    // The unban reaches the Shield by its watch, after the answer of the command.
    const { code, reason } = await bob.sub(room, { presence: true });
    if (code === 0) break;
    assert.equal(reason, "room-banned");
  }
  for (const client of [moderator, ann, bob]) client[Symbol.dispose]();
}

/** A lifted ban lets in once the Shield has heard of it. */
async function reconnected(bus: TestBus, token: string) {
  for (;;) {
    const [status, reason] = await refusedUpgrade(bus.http_url, { token });
    if (status === "101") return await openText(bus.url, token);
    assert.deepEqual([status, reason], ["403", "banned"]);
  }
}

async function limits(bus: TestBus): Promise<void> {
  const tenant = { tenant: "small" };
  const moderator = await open(bus, "mod", { role: "service", ...tenant });
  for (let index = 0; index < 3; index++) {
    done(await moderator.command("r0", "room.ban", { data: { user_id: `u${index}` } }));
  }
  refused(await moderator.command("r0", "room.ban", { data: { user_id: "u3" } }), 429, "ban-limit");
  done(await moderator.command("r0", "room.ban", { data: { user_id: "u0", scope: "tenant" } }));
  const write = { data: { key: "k", value: 1 } };
  for (const room of ["r1", "r2", "r3"]) done(await moderator.command(room, "room.set", write));
  refused(await moderator.command("r4", "room.set", write), 429, "room-limit");
  done(await moderator.command("r3", "room.set", write));
  moderator[Symbol.dispose]();
}

Deno.test("rooms on a running bus", async (t) => {
  await using bus = await startLocalBus(CONFIG);
  await t.step("state is read, written, deleted and heard of", () => state(bus));
  await t.step("a lock keeps others out until its holder is done or gone", () => locks(bus));
  await t.step("a kick ends subscription and membership, no more", () => kicks(bus));
  await t.step("a ban ends connections and bars the way back", () => bans(bus));
  await t.step("bans and rooms of a tenant are bounded", () => limits(bus));
});
