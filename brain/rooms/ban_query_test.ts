/** Bans listed by command: scopes, pages, cursors, and bans that were lifted or have expired. */
import assert from "node:assert/strict";
import { banKey, BANS_BUCKET, encodeBan, EVERY_ROOM } from "../../shared/records/bans.ts";
import { until } from "../../shared/testing/until.ts";
import { accepted, refused, sendAtOnce } from "./testing/command_probe.ts";
import { withRooms, withTestBed } from "./testing/room_test_bed.ts";

interface Row {
  readonly user_id: string;
  readonly scope: string;
}

const ban = (user_id: string, more = {}) => ({ name: "ban", data: { user_id, ...more } });
const bans = (data = {}, more = {}) => ({ name: "room.bans", data, ...more });
const names = ({ bans }: { bans: Row[] }) => bans.map(({ user_id, scope }) => [scope, user_id]);

Deno.test("bans are listed with all that is known of them, those of the tenant first", async () => {
  await withRooms({ now: () => 1_000_000 }, async ({ spine }) => {
    await accepted(spine, { ...ban("zoe", { reason: "spam", ttl_ms: 5_000 }), sender: "mod" });
    await accepted(spine, { ...ban("ann", { scope: "room" }), sender: "mod" });
    await accepted(spine, { ...ban("bob", { scope: "room" }), room: "elsewhere" });
    await accepted(spine, { ...ban("eve"), tenant: "other" });
    const common = { by: "mod", created_ms: 1_000_000 };
    const zoe = { user_id: "zoe", scope: "tenant", until_ms: 1_005_000, reason: "spam", ...common };
    const ann = { user_id: "ann", scope: "room", until_ms: 0, reason: "", ...common };
    assert.deepEqual(await accepted(spine, bans()), { bans: [zoe, ann], count: 2 });
    assert.deepEqual(await accepted(spine, bans({ scope: "tenant" })), { bans: [zoe], count: 1 });
    assert.deepEqual(await accepted(spine, bans({ scope: "room" })), { bans: [ann], count: 1 });
    assert.deepEqual(await accepted(spine, bans({}, { tenant: "third" })), { bans: [], count: 0 });
  });
});

Deno.test("every ban is on exactly one page, and one lifted between pages on none", async () => {
  await withRooms({}, async ({ spine }) => {
    for (const user of ["b", "a", "d", "c", "e"]) await accepted(spine, ban(user));
    const first = await accepted(spine, bans({ limit: 2 }));
    assert.deepEqual(first.bans.map(({ user_id }: Row) => user_id), ["a", "b"]);
    assert.equal(first.count, 5);
    await accepted(spine, { name: "unban", data: { user_id: "c" } });
    const second = await accepted(spine, bans({ limit: 2, after: first.next }));
    const third = second.next === undefined
      ? { bans: [] }
      : await accepted(spine, bans({ limit: 2, after: second.next }));
    const rest = [...second.bans, ...third.bans].map(({ user_id }: Row) => user_id);
    assert.deepEqual(rest, ["d", "e"]);
    assert.equal(third.next, undefined);
    assert.equal(await refused(spine, bans({ after: "nowhere" })), "400 invalid-command");
  });
});

Deno.test("a page ends before it is too large for the Spine", async () => {
  await withRooms({}, async ({ spine }) => {
    const bucket = await spine.keyValue(BANS_BUCKET);
    const wide = "\u0001".repeat(256);
    for (let index = 0; index < 400; index++) {
      const user_id = `u${String(index).padStart(3, "0")}`;
      const one = { user_id, room_id: EVERY_ROOM, until_ms: 0, created_ms: 1 };
      await bucket.put(
        banKey("acme", EVERY_ROOM, user_id),
        encodeBan({ ...one, reason: wide, by: wide }),
      );
    }
    await until("all are known", async () => (await accepted(spine, bans())).count === 400);
    assert.equal((await accepted(spine, bans())).bans.length, 100, "unless a limit is given");
    const seen: string[] = [];
    let pages = 0;
    for (let after: string | undefined, more = true; more; pages++) {
      const page = await accepted(spine, bans({ limit: 1_000, ...(after && { after }) }));
      seen.push(...page.bans.map(({ user_id }: Row) => user_id));
      after = page.next;
      more = after !== undefined;
    }
    assert.deepEqual(seen, seen.toSorted());
    assert.deepEqual([new Set(seen).size, seen.length], [400, 400]);
    assert.ok(pages > 1, "3 KB each do not fit into one page");
  });
});

Deno.test("an expired ban is not listed, even before it is swept", async () => {
  let now_ms = 1_000_000;
  await withRooms({ now: () => now_ms }, async ({ spine }) => {
    await accepted(spine, ban("short", { ttl_ms: 10 }));
    await accepted(spine, ban("long", { ttl_ms: 60_000 }));
    now_ms += 10;
    const list = await accepted(spine, bans());
    assert.deepEqual([names(list), list.count], [[["tenant", "long"]], 1]);
  });
});

Deno.test("an unreadable stored ban is listed: it is enforced nevertheless", async () => {
  await withTestBed(async ({ spine, start }) => {
    const bucket = await spine.keyValue(BANS_BUCKET);
    await bucket.put(banKey("acme", "lobby", "u2"), new Uint8Array([1]));
    await start("b1");
    const row = { user_id: "u2", scope: "room", until_ms: 0, reason: "", by: "", created_ms: 0 };
    assert.deepEqual((await accepted(spine, bans())).bans, [row]);
  });
});

Deno.test("a ban made through a room is in that room's list at once, on any Brain", async () => {
  await withTestBed(async ({ spine, cluster, start }) => {
    cluster.owner = () => "b2";
    await start("b1");
    await start("b2");
    for (let index = 0; index < 50; index++) {
      await accepted(spine, ban(`u${index}`));
      const { bans: rows } = await accepted(spine, bans({ limit: 1_000 }));
      assert.ok(rows.some(({ user_id }: Row) => user_id === `u${index}`), `u${index}`);
    }
  });
});

Deno.test("a Brain reads a limited number of a tenant's lists at once; the next ones have to retry, and another tenant's are read", async () => {
  await withRooms({}, async ({ spine, handle }) => {
    await accepted(spine, ban("ann"));
    const all = Array.from({ length: 70 }, () => bans());
    const codes = await sendAtOnce(handle, [...all, { ...bans(), tenant: "globex" }]);
    assert.equal(codes.pop(), 0);
    assert.deepEqual(codes.filter((code) => code === 0).length, 56);
    assert.deepEqual(codes.filter((code) => code === 429).length, 14);
    assert.equal((await accepted(spine, bans())).count, 1);
  });
});
