/** The users banned by the bans of a bucket. `signals_test.ts` tests open connections. */
import assert from "node:assert/strict";
import { banKey, EVERY_ROOM } from "../../shared/records/bans.ts";
import { within } from "../../shared/spine/testing/conformance.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { until } from "../../shared/testing/until.ts";
import type { Bans } from "./bans.ts";
import { banOf, putBan, testBans } from "./testing/bans.ts";
import { SPINE_NOW_MS, testSpine } from "../testing/spine.ts";

const ann = { tenant_id: "acme", user_id: "ann" };
const UNTIL_MS = SPINE_NOW_MS + 60_000;

/** `entry` if the user is rejected, `room` if the user may do nothing in the lobby. */
function refusals(bans: Bans, who = ann): Record<string, string> {
  const tried = { entry: () => bans.requireEntry(who), room: () => bans.requireRoom(who, "lobby") };
  const refused: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(tried)) {
    try {
      attempt();
    } catch (error) {
      refused[name] = (error as { reason: string }).reason;
    }
  }
  return refused;
}

/** Waits until a ban of another user is reported: then every earlier write has been reported. */
async function settled(spine: Spine, test: Awaited<ReturnType<typeof testBans>>): Promise<void> {
  const user_id = `marker-${test.arrived.items.length}`;
  await putBan(test.bucket, "markers", banOf({ user_id }));
  await test.arrived.until((items) => items.some((ban) => ban.user_id === user_id), user_id);
  await spine.flush();
}

Deno.test("no user is admitted before all bans are known; then the stored bans are in force", async () => {
  await using engine = testSpine();
  const first = await engine.spine.keyValue("ARQON_BANS");
  await putBan(first, "acme", banOf({ reason: "spam", until_ms: UNTIL_MS }));
  using test = await testBans(engine.spine);
  const { bans } = test;
  assert.deepEqual(refusals(bans), { entry: "spine-unavailable" });
  assert.equal(bans.check().ok, false);
  assert.match(bans.check().detail, /cannot be read/);
  await within(bans.ready, "the bans");
  assert.deepEqual(refusals(bans), { entry: "banned", room: "banned" });
  assert.throws(() => bans.requireEntry(ann), {
    code: 403,
    message: "You are banned from this tenant until 2026-01-02T03:05:05.000Z: spam",
  });
  assert.deepEqual(bans.check(), { ok: true, since_ms: SPINE_NOW_MS, detail: "1 ban" });
});

Deno.test("a ban applies to its user in its tenant, whichever issuer signed the token, and to no other user", async () => {
  await using engine = testSpine();
  using test = await testBans(engine.spine);
  const { bans, bucket } = test;
  await bans.ready;
  await putBan(bucket, "acme", banOf({ room_id: "lobby", reason: "spam" }));
  await putBan(bucket, "acme", banOf({ user_id: "bob" }));
  await settled(engine.spine, test);
  assert.deepEqual(refusals(bans), { room: "room-banned" });
  assert.throws(() => bans.requireRoom(ann, "lobby"), {
    message: "You are banned from room lobby: spam",
  });
  bans.requireRoom(ann, "other");
  assert.deepEqual(refusals(bans, { ...ann, user_id: "bob" }), { entry: "banned", room: "banned" });
  for (const who of [{ ...ann, user_id: "an" }, { ...ann, tenant_id: "globex" }]) {
    assert.deepEqual(refusals(bans, who), {});
  }
  const other_issuer = { ...ann, issuer: "https://other.example.com", user_key: "other\nann" };
  assert.deepEqual(refusals(bans, other_issuer), { room: "room-banned" });
});

Deno.test("a ban ends with its time, its deletion or its change", async () => {
  await using engine = testSpine();
  using test = await testBans(engine.spine);
  const { bans, bucket, clock, stats } = test;
  await bans.ready;
  await putBan(bucket, "acme", banOf({ until_ms: UNTIL_MS }));
  await settled(engine.spine, test);
  clock.now_ms = UNTIL_MS - 1;
  assert.deepEqual(refusals(bans), { entry: "banned", room: "banned" });
  clock.now_ms = UNTIL_MS;
  assert.deepEqual(refusals(bans), {});

  await putBan(bucket, "acme", banOf());
  await settled(engine.spine, test);
  assert.deepEqual(refusals(bans), { entry: "banned", room: "banned" });
  await bucket.delete(banKey("acme", EVERY_ROOM, "ann"));
  await settled(engine.spine, test);
  assert.deepEqual(refusals(bans), {});

  const before = stats.bans;
  await putBan(bucket, "acme", banOf());
  await putBan(bucket, "acme", banOf({ until_ms: UNTIL_MS }));
  await settled(engine.spine, test);
  assert.deepEqual(refusals(bans), {}, "a past end replaces the ban without an end");
  assert.equal(
    stats.bans,
    before + 2,
    "it is kept until a Brain deletes it: this clock may be wrong",
  );
});

Deno.test("a clock that was ahead has no bans lifted once it is right, also where there is no space", async () => {
  await using engine = testSpine();
  using test = await testBans(engine.spine, 2);
  const { bans, bucket, clock } = test;
  clock.now_ms += 86_400_000;
  await bans.ready;
  for (const user_id of ["ann", "bob"]) {
    await putBan(bucket, "acme", banOf({ user_id, until_ms: UNTIL_MS }));
  }
  await putBan(bucket, "globex", banOf());
  await test.arrived.count(1);
  assert.deepEqual(test.arrived.items.map(({ tenant_id }) => tenant_id), ["globex"]);
  assert.deepEqual(refusals(bans), {}, "by this clock it is over");
  clock.now_ms -= 86_400_000;
  assert.deepEqual(refusals(bans), { entry: "banned", room: "banned" });
  const globex = { tenant_id: "globex", user_id: "any" };
  assert.deepEqual(refusals(bans, globex), { entry: "spine-unavailable" });
});

Deno.test("an unreadable ban keeps its user out without an end, and is counted", async () => {
  await using engine = testSpine();
  using test = await testBans(engine.spine);
  const { bans, bucket, stats, lines } = test;
  await bans.ready;
  await bucket.put(banKey("acme", EVERY_ROOM, "ann"), new Uint8Array([1, 2]));
  await bucket.put(banKey("acme", "lobby", "bob"), new TextEncoder().encode("{}"));
  await bucket.put(["acme", "lobby"], new Uint8Array());
  await putBan(bucket, "acme", banOf({ user_id: "eve" }));
  const eve = await bucket.get(banKey("acme", EVERY_ROOM, "eve"));
  assert.ok(eve !== undefined);
  await bucket.put(banKey("acme", "lobby", "carl"), eve.value);
  await settled(engine.spine, test);
  assert.deepEqual(refusals(bans), { entry: "banned", room: "banned" });
  for (const user_id of ["bob", "carl"]) {
    assert.deepEqual(refusals(bans, { ...ann, user_id }), { room: "room-banned" });
  }
  assert.deepEqual(stats.ban_problems, { malformed: 4 });
  assert.ok(lines.some((line) => line.includes("the key of a ban is malformed")), lines.join("\n"));
});

Deno.test("a tenant with more bans than the limit admits no one until there is room; other tenants do", async () => {
  await using engine = testSpine();
  using test = await testBans(engine.spine, 2);
  const { bans, bucket, stats } = test;
  await bans.ready;
  for (const user_id of ["u1", "u2"]) await putBan(bucket, "acme", banOf({ user_id }));
  await putBan(bucket, "globex", banOf());
  await test.arrived.count(3);
  const free = { tenant_id: "globex", user_id: "free" };
  assert.deepEqual(refusals(bans, { ...ann, user_id: "u1" }), { entry: "banned", room: "banned" });
  assert.deepEqual(refusals(bans, free), { entry: "spine-unavailable" });
  assert.deepEqual(refusals(bans, { ...ann, user_id: "spared" }), {});
  assert.deepEqual([stats.bans, stats.ban_problems["unheld"]], [2, 1]);
  assert.match(bans.check().detail, /2 bans; 1 tenant has more/);
  await bucket.delete(banKey("acme", EVERY_ROOM, "u1"));
  await until("the listing", () => bans.check().detail === "2 bans");
  assert.deepEqual(refusals(bans, free), {});
});
