/** The room classes' admin API, over real settings on the embedded Spine. */
import assert from "node:assert/strict";
import { TENANT_RULES_MAX, TENANTS_BUCKET } from "../../shared/records/tenant_settings.ts";
import { tenantClasses, testRooms } from "../settings/testing/room_classes.ts";

const ROOMS = "/v1/tenants/acme/rooms";
const CONFIG = { room: "chat-*", durable: true, history_size: 50 };

Deno.test("classes are set, listed, explained and removed, and are in force once answered", async () => {
  await using test = await testRooms(CONFIG);
  const set = await test.ask("PUT", ROOMS, { room: "vip-*", max_members: 3 });
  assert.equal(set.status, 200, JSON.stringify(set.body));
  const [vip] = tenantClasses({ room: "vip-*", max_members: 3 });
  assert.deepEqual(set.body, {
    tenant: "acme",
    changed: true,
    version: 1,
    revision: set.body.revision,
    by: "root",
    changed_ms: set.body.changed_ms,
    rooms: [vip],
    here: { node_id: "s1", in_force: true },
  });
  assert.equal(test.started.classes.of("acme", "vip-1").max_members, 3);
  const { body: all } = await test.ask("GET", "/v1/rooms/classes");
  assert.deepEqual([all.node_id, all.truncated], ["s1", false]);
  const words = all.classes.map(({ source, tenant, pattern }: Record<string, string>) =>
    `${source} ${tenant} ${pattern}`
  );
  assert.deepEqual(words, ["config * chat-*", "tenant acme vip-*"]);
  assert.deepEqual([all.classes[0].durable, all.classes[0].max_members], [true, null]);
  const { body: own } = await test.ask("GET", ROOMS);
  assert.deepEqual([own.version, own.here], [1, { node_id: "s1", version: 1, problem: null }]);
  const removed = await test.ask("DELETE", `${ROOMS}?room=vip-*`);
  assert.deepEqual([removed.body.changed, removed.body.rooms], [true, []]);
  const twice = await test.ask("DELETE", `${ROOMS}?room=vip-*`);
  assert.deepEqual([twice.status, twice.body.changed], [200, false]);
  assert.equal(test.started.classes.of("acme", "vip-1").source, "default");
  assert.match(test.lines.join(""), /tenant_id=acme version=1 by=root .*classes were changed/);
});

Deno.test("the class of a pattern is replaced as a whole, at its position", async () => {
  await using test = await testRooms();
  await test.ask("PUT", ROOMS, { room: "a", durable: true, history_size: 7 });
  await test.ask("PUT", ROOMS, { room: "b" });
  const { body } = await test.ask("PUT", ROOMS, { room: "a", echo: false });
  assert.deepEqual(body.rooms, tenantClasses({ room: "a", echo: false }, { room: "b" }));
  const again = await test.ask("PUT", ROOMS, { room: "a", echo: false });
  assert.deepEqual([again.body.changed, again.body.version], [false, 3]);
});

Deno.test("explain names the class that applies, its owner, and the overruled ones", async () => {
  await using test = await testRooms(CONFIG, { tenant: "acme", room: "*", presence: false });
  await test.ask("PUT", ROOMS, { room: "chat-vip*", cache_last: true, durable: true });
  const explain = async (room: string, tenant = "acme") =>
    (await test.ask("GET", `/v1/rooms/classes/explain?tenant=${tenant}&room=${room}`)).body;
  const vip = await explain("chat-vip1");
  assert.deepEqual([vip.node_id, vip.tenant, vip.room], ["s1", "acme", "chat-vip1"]);
  assert.deepEqual([vip.class.pattern, vip.class.cache_last], ["chat-vip*", true]);
  const patterns = vip.others.map(({ pattern }: { pattern: string }) => pattern);
  assert.deepEqual(patterns, ["chat-*", "*", ""]);
  assert.equal(vip.why, "chat-vip* of the tenant's settings has the longest pattern that matches");
  assert.match((await explain("lobby")).why, /^\* of the configuration for tenant acme has/);
  assert.match((await explain("chat-1")).why, /^chat-\* of the configuration has/);
  const none = await explain("lobby", "globex");
  assert.deepEqual([none.class.source, none.others], ["default", []]);
  assert.equal(none.why, "no class matches: the defaults apply");
});

Deno.test("invalid requests are refused with invalid-settings, which names the problem and the expected form", async () => {
  await using test = await testRooms();
  for (
    const [body, named] of [
      [{}, /^Invalid settings: room: missing; expected a string/],
      [{ room: "a.b" }, /: room: "a\.b" is not allowed; expected a room id or a prefix/],
      [{ room: "a", history_size: 0 }, /: history_size: 0 is out of range; expected .* from 1 to/],
      [{ room: "a", durable: "yes" }, /: durable: "yes" is a string; expected true or false/],
      [{ room: "a", durible: true }, /: durible: unknown key; did you mean "durable"\?/],
      [{ room: "a", tenant: "acme" }, /: tenant: unknown member; the path names the tenant/],
      [{ room: "a", cache_last: true }, /: cache_last: .* expected durable = true beside it/],
      [{ room: "a", replicas: 2 }, /: replicas: 2 is not allowed; expected 1, 3 or 5/],
      [{ room: "a", replicas: 4 }, /: replicas: 4 is not allowed; expected 1, 3 or 5/],
      [{ room: "a", replicas: null }, /: replicas: null is null; expected one of 1, 3, 5/],
      [{ room: "a", slow_reader: "drop" }, /: slow_reader: .* expected one of "disconnect"/],
      [{ room: "a", max_members: 1.5, echo: 1 }, /: max_members: .*; echo: /],
      ["[]", /not a JSON object; expected one class/],
      ["{", /JSON/],
    ] as const
  ) {
    const refused = await test.ask("PUT", ROOMS, body);
    assert.deepEqual(
      [refused.status, refused.body.reason],
      [400, "invalid-settings"],
      JSON.stringify(body),
    );
    assert.match(refused.body.detail, named);
  }
  for (
    const [method, path] of [
      ["DELETE", ROOMS],
      ["DELETE", `${ROOMS}?room=`],
      ["GET", "/v1/rooms/classes/explain"],
      ["GET", "/v1/rooms/classes/explain?tenant=acme"],
      ["GET", "/v1/rooms/classes/explain?tenant=acme&room=a.b"],
      ["GET", "/v1/rooms/classes/explain?tenant=*&room=a"],
      ["GET", "/v1/tenants/a%20b/rooms"],
    ] as const
  ) {
    const refused = await test.ask(method, path);
    assert.deepEqual([refused.status, refused.body.reason], [400, "invalid-settings"], path);
  }
  assert.equal((await test.ask("GET", ROOMS)).body.version, 0, "nothing was written");
});

Deno.test("a tenant has a limited number of classes", async () => {
  await using test = await testRooms();
  const rooms = Array.from({ length: TENANT_RULES_MAX }, (_, n) => ({ room: `r${n}` }));
  await test.settings.change("acme", "root", (before) => ({
    ...before,
    rooms: tenantClasses(...rooms),
  }));
  const refused = await test.ask("PUT", ROOMS, { room: "one-more" });
  assert.equal(refused.status, 400);
  assert.match(refused.body.detail, /tenant acme has 1000 room classes, which is the limit/);
  assert.equal((await test.ask("PUT", ROOMS, { room: "r0", echo: false })).status, 200);
});

Deno.test("unknown paths and methods, other bodies, and unreadable settings are refused", async () => {
  await using test = await testRooms();
  assert.equal((await test.ask("GET", "/v1/rooms/classes/nothing")).status, 404);
  assert.equal((await test.ask("POST", ROOMS, {})).status, 405);
  assert.equal((await test.ask("constructor", ROOMS)).status, 405);
  assert.equal((await test.ask("PUT", ROOMS, { room: "x".repeat(5_000) })).status, 413);
  const bucket = await test.engine.spine.keyValue(TENANTS_BUCKET);
  await bucket.put(["acme"], new TextEncoder().encode("damage"));
  while (test.settings.problem("acme") === undefined) await test.engine.spine.flush();
  for (const [method, body] of [["GET", undefined], ["PUT", { room: "a" }]] as const) {
    const refused = await test.ask(method, ROOMS, body);
    assert.deepEqual([refused.status, refused.body.reason], [409, "settings-conflict"]);
  }
});

Deno.test("the metric counts classes by their source", async () => {
  await using test = await testRooms(CONFIG, { tenant: "acme", room: "x" });
  await test.ask("PUT", ROOMS, { room: "a" });
  const text = await test.metrics();
  assert.match(text, /^shield_room_classes\{source="config"\} 2$/m);
  assert.match(text, /^shield_room_classes\{source="tenant"\} 1$/m);
});
