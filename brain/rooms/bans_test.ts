/** Bans as rooms write, lift and sweep them, on an embedded Spine. The Shield's tests have their effect. */
import assert from "node:assert/strict";
import { QUIET } from "../../shared/testing/logs.ts";
import {
  banKey,
  BANS_BUCKET,
  decodeBan,
  encodeBan,
  EVERY_ROOM,
} from "../../shared/records/bans.ts";
import type { Ban } from "../../shared/records/bans.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { until } from "../../shared/testing/until.ts";
import { BanBook } from "./ban_book.ts";
import type { BanCommand } from "./commands/command.ts";
import { accepted, refused, sendAtOnce } from "./testing/command_probe.ts";
import { withRooms, withTestBed } from "./testing/room_test_bed.ts";

async function stored(spine: Spine, room_id: string, user_id: string): Promise<Ban | undefined> {
  const bucket = await spine.keyValue(BANS_BUCKET);
  const entry = await bucket.get(banKey("acme", room_id, user_id));
  return entry && decodeBan(entry.value);
}

const HOUR_MS = 3_600_000;
/** Limits that nobody reaches. */
const MANY = { bans_per_tenant: 100, bans_max: 1_000 };

const ban = (user_id: string, more = {}) => ({ name: "ban", data: { user_id, ...more } });

Deno.test("a ban is in the bucket when its command is answered, and an unban removes it", async () => {
  await withRooms({ now: () => 1_000_000 }, async ({ spine, metric }) => {
    const data = { user_id: "u2", reason: "spam", ttl_ms: 5_000 };
    const { version, epoch } = await accepted(spine, { name: "ban", data, sender: "ann" });
    const common = { user_id: "u2", by: "ann", created_ms: 1_000_000 };
    assert.deepEqual(await stored(spine, EVERY_ROOM, "u2"), {
      ...common,
      room_id: EVERY_ROOM,
      until_ms: 1_005_000,
      reason: "spam",
    });
    await accepted(spine, { ...ban("u2", { scope: "room" }), sender: "ann" });
    assert.deepEqual(await stored(spine, "lobby", "u2"), {
      ...common,
      room_id: "lobby",
      until_ms: 0,
      reason: "",
    });
    await until("both are counted", async () => await metric("brain_bans") === 2);
    const unban = { name: "unban", data: { user_id: "u2" } };
    assert.deepEqual(await accepted(spine, unban), { version: version + 2, epoch });
    assert.equal(await stored(spine, EVERY_ROOM, "u2"), undefined);
    assert.ok(await stored(spine, "lobby", "u2"), "the other scope stays");
    await accepted(spine, unban);
    const { events } = await accepted(spine, { name: "get", data: { events_after: 0 } });
    const shown = events.map((
      { op, scope, ttl_ms }: Record<string, unknown>,
    ) => [op, scope, ttl_ms]);
    assert.deepEqual(shown, [
      ["ban", "tenant", 5_000],
      ["ban", "room", undefined],
      ["unban", "tenant", undefined],
      ["unban", "tenant", undefined],
    ]);
  });
});

Deno.test("a ban that its expectation refuses is not stored", async () => {
  await withRooms({}, async ({ spine }) => {
    assert.equal(await refused(spine, { ...ban("u2"), expect_version: 3 }), "409 version-conflict");
    assert.equal(await stored(spine, EVERY_ROOM, "u2"), undefined);
  });
});

Deno.test("a repeated ban command does not ban again after an unban", async () => {
  await withRooms({}, async ({ spine }) => {
    const once = { ...ban("u2"), command_id: "x" };
    const first = await accepted(spine, once);
    await accepted(spine, { name: "unban", data: { user_id: "u2" } });
    assert.deepEqual(await accepted(spine, once), first);
    assert.equal(await stored(spine, EVERY_ROOM, "u2"), undefined);
  });
});

Deno.test("a tenant's number of bans is limited; another ban of the same user does not count", async () => {
  const config = { brain: { bans_per_tenant: 3 } };
  await withRooms({ config }, async ({ spine, handle }) => {
    const burst = ["a", "b", "c", "d", "e"].map((user, index) => ({
      ...ban(user),
      room: `room-${index}`,
    }));
    const codes = await sendAtOnce(handle, burst);
    assert.deepEqual(codes.toSorted(), [0, 0, 0, 429, 429]);
    assert.equal(await refused(spine, ban("f")), "429 ban-limit");
    assert.equal((await accepted(spine, { name: "get" })).version, 0, "no version for a refusal");
    const standing = burst[codes.indexOf(0)]!;
    await accepted(spine, { ...standing, data: { ...standing.data, ttl_ms: 1 } });
    await accepted(spine, { ...ban("f"), tenant: "other" });
    await accepted(spine, { name: "unban", data: standing.data });
    await until("there is space again", async () => (await refused(spine, ban("f"))) === "0 ");
  });
});

Deno.test("tenants that fill limits.bans leave room for the bans of another", async () => {
  const config = { brain: { bans_per_tenant: 5 }, limits: { bans: 10 } };
  await withRooms({ config }, async ({ spine, handle }) => {
    for (const tenant of ["one", "two"]) {
      await sendAtOnce(handle, [..."abcde"].map((user) => ({ ...ban(user), tenant })));
    }
    assert.equal(await refused(spine, { ...ban("f"), tenant: "two" }), "429 ban-limit");
    assert.equal(await refused(spine, ban("a")), "0 ");
  });
});

Deno.test("a tenant with large bans leaves room in the bucket for those of another", async () => {
  await withTestBed(async ({ spine }) => {
    const bucket = overriding(await spine.keyValue(BANS_BUCKET), { limit_bytes: 30_000 });
    const book = new BanBook({ bucket, ...MANY, log: QUIET, ...new Clocks() });
    await book.ready;
    const from = { user_id: "mod" };
    const reason = "\u0001".repeat(256);
    const put = (tenant_id: string, user_id: string) => {
      const command = { kind: "ban", scope: "tenant", user_id, reason, from };
      return book.ban({ tenant_id, room_id: "lobby" }, command as unknown as BanCommand);
    };
    const all = Array.from({ length: 100 }, (_, at) => put("acme", `u${at}`));
    const stored = (await Promise.allSettled(all)).filter(({ status }) => status === "fulfilled");
    assert.ok(stored.length > 5 && stored.length < 18, `${stored.length}`);
    await assert.rejects(put("acme", "more"), { reason: "ban-limit" });
    await put("acme", "u0");
    await put("globex", "u0");
    book.stop();
  });
});

/** The clocks of a Brain, which the test moves. */
class Clocks {
  wall_ms = 1_700_000_000_000;
  #monotonic_ms = 0;
  readonly now = () => this.wall_ms;
  readonly monotonic_ms = () => this.#monotonic_ms;

  pass(ms: number): void {
    this.wall_ms += ms;
    this.#monotonic_ms += ms;
  }
}

Deno.test("expired bans are swept, a minute late, by one Brain", async () => {
  const clocks = new Clocks();
  await withTestBed(async ({ spine, cluster, start }) => {
    // b1 owns the rooms, and the bans of the tenants that hash to it: all of them.
    cluster.owner = () => "b1";
    const one = await start("b1", clocks);
    const two = await start("b2", clocks);
    await accepted(spine, ban("short", { ttl_ms: 10 }));
    await accepted(spine, ban("long", { ttl_ms: 2 * HOUR_MS }));
    await accepted(spine, ban("ever"));
    clocks.pass(HOUR_MS);
    await until("it is swept", async () => await stored(spine, EVERY_ROOM, "short") === undefined);
    await until("it is counted", async () => await one.metric("brain_bans_swept_total") === 1);
    assert.equal(await two.metric("brain_bans_swept_total"), 0);
    assert.ok(await stored(spine, EVERY_ROOM, "long"));
    assert.ok(await stored(spine, EVERY_ROOM, "ever"));
  });
});

for (const [by, step_ms] of [["forward", HOUR_MS], ["back", -HOUR_MS]] as const) {
  Deno.test(`a wall clock that was set ${by}, or a Brain that has begun, within an hour ends no ban for good`, async () => {
    await withTestBed(async ({ spine }) => {
      const bucket = await spine.keyValue(BANS_BUCKET);
      const clocks = new Clocks();
      const stored: Ban = {
        user_id: "u2",
        room_id: EVERY_ROOM,
        reason: "",
        by: "ann",
        created_ms: clocks.wall_ms,
        until_ms: clocks.wall_ms + 2 * HOUR_MS,
      };
      await bucket.put(banKey("acme", EVERY_ROOM, "u2"), encodeBan(stored));
      const log = QUIET;
      const book = new BanBook({ bucket, ...MANY, log, ...clocks });
      await book.ready;
      const swept = () => book.sweep(() => true);
      // Expired by the clock, which is wrong.
      clocks.wall_ms += 3 * HOUR_MS;
      assert.equal(await swept(), 0);
      clocks.pass(HOUR_MS - 1);
      assert.equal(await swept(), 0);
      clocks.wall_ms += step_ms;
      clocks.pass(HOUR_MS);
      assert.equal(await swept(), 0, "set once more");
      clocks.pass(HOUR_MS);
      assert.equal(await swept(), 1);
      book.stop();
    });
  });
}

Deno.test("a Brain whose clock is wrong by hours ends no ban and makes no expired one, if the store has a clock", async () => {
  await withTestBed(async ({ spine }) => {
    const bucket = await spine.keyValue(BANS_BUCKET);
    const clocks = new Clocks();
    let store_ms = clocks.wall_ms;
    const shared = overriding(bucket, { storeTime: () => Promise.resolve(store_ms) });
    const until_ms = store_ms + 48 * HOUR_MS;
    const first = { user_id: "u2", room_id: EVERY_ROOM, reason: "", by: "ann" };
    const key = banKey("acme", EVERY_ROOM, "u2");
    await bucket.put(key, encodeBan({ ...first, created_ms: store_ms, until_ms }));
    clocks.wall_ms += 72 * HOUR_MS;
    const book = new BanBook({ bucket: shared, ...MANY, log: QUIET, ...clocks });
    await book.ready;
    clocks.pass(2 * HOUR_MS);
    store_ms += 2 * HOUR_MS;
    assert.equal(await book.sweep(() => true), 0);
    clocks.wall_ms -= 100 * HOUR_MS;
    const from = { user_id: "ann" };
    const command = {
      kind: "ban",
      scope: "tenant",
      user_id: "u3",
      ttl_ms: 5_000,
      reason: "",
      from,
    };
    await book.ban({ tenant_id: "acme", room_id: "lobby" }, command as unknown as BanCommand);
    assert.equal((await stored(spine, EVERY_ROOM, "u3"))?.until_ms, store_ms + 5_000);
    book.stop();
  });
});

Deno.test("an unreadable stored ban counts, is reported, and is not swept", async () => {
  await withTestBed(async ({ spine, start }) => {
    const bucket = await spine.keyValue(BANS_BUCKET);
    await bucket.put(["acme", EVERY_ROOM, "u2"], new Uint8Array([1]));
    await bucket.put(["what is this"], new Uint8Array([1]));
    const node = await start("b1");
    await until("it is counted", async () => await node.metric("brain_bans") === 1);
    assert.ok(node.lines.some((line) => line.includes('msg="a stored ban cannot be read"')));
    await accepted(spine, { name: "unban", data: { user_id: "u2" } });
    await until("it is removed", async () => await node.metric("brain_bans") === 0);
  });
});
