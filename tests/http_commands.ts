/**
 * What a backend does with rooms over HTTP: state, locks, presence, moderation, each on any Shield of a bus. Only the
 * steps; `accounts_test.ts` runs them on two Shields and NATS.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { send } from "./peers/own_connections.ts";
import { PresenceClient } from "./peers/presence_client.ts";

/** The user of a token; `claims` are additional claims. */
export interface Who {
  readonly user: string;
  readonly role?: "user" | "service" | "admin";
  readonly tenant?: string;
  readonly claims?: Record<string, unknown>;
}

/** A bus with two addresses, which may be the same. */
export interface TwoWays {
  /** `http://host:port` of each. */
  readonly urls: readonly [string, string];
  tokenFor(who: Who): Promise<string>;
}

/** Longer than any wait of a test. */
const LONG_MS = 600_000;

async function peers(bus: TwoWays, who: Who): Promise<[HttpPeer, HttpPeer]> {
  const token = await bus.tokenFor(who);
  return [new HttpPeer(bus.urls[0], token), new HttpPeer(bus.urls[1], token)];
}

async function client(bus: TwoWays, who: Who, at: 0 | 1 = 0): Promise<PresenceClient> {
  const url = `${bus.urls[at].replace(/^http/, "ws")}/v1/socket`;
  return await PresenceClient.open(url, await bus.tokenFor(who));
}

/** Reads, writes, deletes, conditions; clients are notified as usual. */
export async function state(bus: TwoWays): Promise<void> {
  const [ann, there] = await peers(bus, { user: "ann" });
  using bob = await client(bus, { user: "zoe is let in" }, 1);
  assert.equal((await bob.sub("state")).code, 0);
  const path = `rooms/state/state/${encodeURIComponent("a/b ü%")}`;
  const first = await ann.done("PUT", path, '{"value": {"n":9007199254740993, "x": 1.0}}');
  const { version } = first;
  const message = await bob.nextOther();
  assert.equal(message.type, "ROOM_UPDATE");
  const { key, op, by } = message.data as Record<string, unknown>;
  assert.deepEqual([key, op, by], ["a/b ü%", "set", "ann"]);
  const { epoch } = first;
  const read = await send(
    `${bus.urls[1]}/v1/${path}?after_version=${version}&epoch=${epoch}`,
    await bus.tokenFor({ user: "ann" }),
    "GET",
  );
  assert.equal(read.headers.get("cache-control"), "no-store");
  assert.match(await read.text(), /"value":\{"n":9007199254740993,"x":1\.0\},"exists":true/);
  const stale = { value: 1, expect_version: 9 };
  assert.equal(await there.refused("PUT", path, stale), "409 version-conflict");
  const other_epoch = `${path}?expect_version=${version}&epoch=0`;
  assert.equal(await there.refused("DELETE", other_epoch), "409 version-conflict");
  const once = `${path}?expect_version=${version}&epoch=${epoch}&command_id=once`;
  const deleted = await there.done("DELETE", once);
  assert.deepEqual(deleted, { version: version + 1, epoch });
  assert.deepEqual(await ann.done("DELETE", once), deleted, "repeated, applied once");
  const { exists, value, events } = await ann.done("GET", `${path}?events_after=${version}`);
  assert.deepEqual([exists, value, events.length, events[0].op], [false, null, 1, "delete"]);
  const empty = { version: version + 1, epoch, state: {} };
  assert.deepEqual(await there.done("GET", "rooms/state/state"), empty);
  const generic = { name: "set", data: { key: "k", value: [1] }, id: 7 };
  const { body } = await ann.call("POST", "rooms/state/commands", generic);
  const result = { version: version + 2, epoch };
  assert.deepEqual(body, { op: "ack", id: 7, code: 0, result });
}

/** Acquires, renews and releases a lock that no connection holds. */
export async function locks(bus: TwoWays): Promise<void> {
  const [ann, there] = await peers(bus, { user: "ann" });
  const [bob] = await peers(bus, { user: "zoe is let in" });
  const at = "rooms/locked/lock";
  const key = "rooms/locked/state/k";
  const first = await ann.done("POST", at, { ttl_ms: LONG_MS });
  const locked = await there.call("DELETE", at);
  assert.deepEqual(
    [locked.status, locked.body.reason],
    [409, "locked"],
    "the same user, by accident",
  );
  assert.ok(Number(locked.headers.get("retry-after")) > 1);
  assert.ok(locked.body.retry_after_ms > 1_000);
  assert.equal(await there.refused("POST", at, { ttl_ms: 1 }), "409 locked");
  assert.equal(await there.refused("PUT", key, { value: 1 }), "409 locked");
  assert.equal(
    await there.refused("DELETE", `${at}?fence=${first.fence + 1}`),
    "409 fence-mismatch",
  );
  const renewed = await there.done("POST", at, { fence: first.fence, ttl_ms: LONG_MS });
  assert.equal(renewed.fence, first.fence);
  assert.ok(renewed.until_ms >= first.until_ms);
  await there.done("PUT", key, { value: 1, fence: first.fence });
  await ann.done("DELETE", `${at}?fence=${first.fence}`);

  const mine = await ann.done("POST", at, { holder_id: "worker-1", ttl_ms: LONG_MS });
  assert.ok(mine.fence > first.fence, "fences only grow");
  const again = await there.done("POST", at, { holder_id: "worker-1", ttl_ms: LONG_MS });
  assert.equal(again.fence, mine.fence, "the same holder, on the other Shield");
  const { lock } = await bob.done("GET", "rooms/locked/state");
  assert.deepEqual([lock.holder, lock.fence], ["ann", mine.fence]);
  assert.match(lock.connection_id, /^http:[A-Za-z0-9_-]{16}:worker-1$/);
  for (
    const body of [{ holder_id: "worker-2" }, {}, { holder_id: lock.connection_id.slice(0, 32) }]
  ) {
    assert.equal(await ann.refused("POST", at, body), "409 locked");
  }
  assert.equal(await bob.refused("DELETE", `${at}?holder_id=worker-1`), "409 locked", "not ann");
  // A connection of the same user that comes and goes releases nothing.
  const passing = await client(bus, { user: "ann" });
  assert.equal((await passing.sub("locked", { presence: true })).code, 0);
  assert.equal((await passing.command("locked", "room.unlock")).reason, "locked");
  passing[Symbol.dispose]();
  using watcher = await client(bus, { user: "zoe is let in" }, 1);
  await watcher.sub("locked", { presence: true, observer: true });
  await watcher.untilAny(() => watcher.members.size === 0);
  assert.equal(await bob.refused("PUT", key, { value: 2 }), "409 locked", "and it still stands");
  await there.done("PUT", key, { value: 2, holder_id: "worker-1" });
  await there.done("DELETE", `${key}?holder_id=worker-1`);
  await there.done("DELETE", `${at}?holder_id=worker-1`);

  await ann.done("POST", at, { ttl_ms: 50 });
  for (;;) {
    const { op, cause } = (await watcher.nextOther()).data as { op: string; cause?: string };
    if (op === "unlock" && cause === "expired") break;
  }
  await bob.done("POST", at);
}

/** Lists and counts members, with the grant for it. */
export async function presence(bus: TwoWays): Promise<void> {
  const [ann, there] = await peers(bus, { user: "ann" });
  using first = await client(bus, { user: "u1" }, 0);
  using second = await client(bus, { user: "u2" }, 1);
  using third = await client(bus, { user: "u2" }, 0);
  await first.sub("here", { presence: true, meta: { mood: "fine" } });
  for (const one of [second, third]) await one.sub("here", { presence: true });
  await first.untilAny(() => first.members.size === 3);
  for (const one of [ann, there]) {
    await until(
      "three members",
      async () => (await one.done("GET", "rooms/here/presence/count")).connections === 3,
    );
    assert.deepEqual(await one.done("GET", "rooms/here/presence/count"), {
      connections: 3,
      users: 2,
    });
    const seen: string[] = [];
    for (let path = "rooms/here/presence?limit=2";;) {
      const { members, next, connections } = await one.done("GET", path);
      assert.equal(connections, 3);
      assert.ok(members.length <= 2);
      seen.push(...members.map(({ connection_id }: { connection_id: string }) => connection_id));
      if (next === undefined) break;
      path = `rooms/here/presence?limit=2&after=${encodeURIComponent(next)}`;
    }
    const all = [first, second, third].map(({ connection_id }) => connection_id);
    assert.deepEqual(seen.toSorted(), all.toSorted());
  }
  const granted = (action: string): Who => (
    { user: "eve", claims: { grants: [{ room: "here", actions: [action] }] } }
  );
  const [without] = await peers(bus, granted("command"));
  const [only] = await peers(bus, granted("presence"));
  for (const path of ["rooms/here/presence", "rooms/here/presence/count"]) {
    assert.equal(await without.refused("GET", path), "403 not-granted");
    await only.done("GET", path);
  }
  assert.equal(await only.refused("GET", "rooms/here/state"), "403 not-granted");
}

/** Kicks, bans, unbans and lists bans. */
export async function moderation(bus: TwoWays): Promise<void> {
  const [mod, there] = await peers(bus, { user: "mod", role: "service" });
  const [ann] = await peers(bus, { user: "ann" });
  using zoe = await client(bus, { user: "zoe" }, 1);
  await zoe.sub("mods");
  for (
    const [method, path, body] of [
      ["POST", "rooms/mods/kick", { user_id: "zoe" }],
      ["POST", "rooms/mods/bans", { user_id: "zoe" }],
      ["DELETE", "rooms/mods/bans/zoe", undefined],
      ["GET", "rooms/mods/bans", undefined],
      ["POST", "bans", { user_id: "zoe" }],
      ["DELETE", "bans/zoe", undefined],
      ["GET", "bans", undefined],
    ] as const
  ) assert.equal(await ann.refused(method, path, body), "403 command-forbidden", path);

  await mod.done("POST", "rooms/mods/kick", { user_id: "zoe", reason: "rude" });
  assert.deepEqual(await signalOf(zoe), ["DISCONNECT", "mods", "rude"]);
  await zoe.sub("mods");
  const odd = "a/b c";
  await there.done("POST", "rooms/mods/bans", { user_id: odd, ttl_ms: LONG_MS });
  await mod.done("POST", "rooms/mods/bans", { user_id: "zoe", reason: "spam" });
  assert.deepEqual(await signalOf(zoe), ["BAN", "mods", "spam"]);
  const { bans, count } = await mod.done("GET", "rooms/mods/bans?scope=room");
  assert.deepEqual(
    bans.map((
      { user_id, reason, by, until_ms }: Record<string, unknown>,
    ) => [user_id, reason, by, until_ms === 0]),
    [[odd, "", "mod", false], ["zoe", "spam", "mod", true]],
  );
  assert.equal(count, 2);
  const page = await there.done("GET", "rooms/mods/bans?limit=1");
  assert.deepEqual([page.bans[0].user_id, page.count], [odd, 2]);
  const next = `rooms/mods/bans?limit=1&after=${encodeURIComponent(page.next)}`;
  assert.equal((await there.done("GET", next)).bans[0].user_id, "zoe");
  assert.deepEqual((await mod.done("GET", "bans")).bans, [], "of the tenant there is none");
  const [as_zoe, zoe_there] = await peers(bus, { user: "zoe" });
  assert.equal(
    await zoe_there.refused("PUT", "rooms/mods/state/k", { value: 1 }),
    "403 room-banned",
  );
  await mod.done("DELETE", `rooms/mods/bans/${encodeURIComponent(odd)}`);
  await mod.done("DELETE", "rooms/mods/bans/zoe");
  assert.equal((await mod.done("GET", "rooms/mods/bans")).count, 0);

  await there.done("POST", "bans", { user_id: "zoe", reason: "gone" });
  assert.equal((await zoe.raw.closed()).code, 4403);
  await until(
    "zoe stays out",
    async () => (await as_zoe.call("GET", "rooms/mods/state")).status === 403,
  );
  assert.equal(await as_zoe.refused("GET", "rooms/mods/state"), "403 banned");
  const [row] = (await there.done("GET", "bans")).bans;
  assert.deepEqual([row.user_id, row.scope, row.reason, row.by], ["zoe", "tenant", "gone", "mod"]);
  assert.ok(Number.isSafeInteger(row.created_ms));
  await mod.done("DELETE", "bans/zoe");
  await until(
    "zoe is let in",
    async () => (await as_zoe.call("GET", "rooms/mods/state")).status === 200,
  );
}

/** One tenant never sees what another does. */
export async function tenants(bus: TwoWays): Promise<void> {
  const [ours] = await peers(bus, { user: "mod", role: "admin" });
  const [theirs] = await peers(bus, { user: "mod", role: "admin", tenant: "other" });
  await ours.done("PUT", "rooms/shared/state/k", { value: "ours" });
  const lock = await ours.done("POST", "rooms/shared/lock", { holder_id: "w", ttl_ms: LONG_MS });
  await ours.done("POST", "bans", { user_id: "mallory" });
  await ours.done("POST", "rooms/shared/bans", { user_id: "mallory" });
  using member = await client(bus, { user: "ann" });
  await member.sub("shared", { presence: true });
  assert.deepEqual((await theirs.done("GET", "rooms/shared/state")).state, {});
  assert.equal((await theirs.done("GET", "bans")).count, 0);
  assert.equal((await theirs.done("GET", "rooms/shared/bans")).count, 0);
  assert.deepEqual((await theirs.done("GET", "rooms/shared/presence")).members, []);
  const unlock = `rooms/shared/lock?fence=${lock.fence}`;
  assert.equal(await theirs.refused("DELETE", unlock), "409 fence-mismatch");
  const same = "rooms/shared/lock?holder_id=w";
  assert.equal(await theirs.refused("DELETE", same), "409 fence-mismatch");
  await theirs.done("DELETE", "bans/mallory");
  assert.equal((await ours.done("GET", "bans")).count, 1);
  assert.equal(await ours.refused("PUT", "rooms/shared/state/k", { value: 1 }), "409 locked");
  const cross = { name: "room.get", tenant_id: "acme" };
  assert.equal(await theirs.refused("POST", "rooms/shared/commands", cross), "403 tenant-mismatch");
  await ours.done("DELETE", "rooms/shared/lock?holder_id=w");
  await ours.done("DELETE", "bans/mallory");
}

async function signalOf(client: PresenceClient): Promise<unknown[]> {
  for (;;) {
    const { signal } = await client.nextOther();
    if (signal !== undefined) return [signal.kind, signal.target, signal.reason];
  }
}
