/** `arq room class` against a real bus. What needs no bus is in `room_class_usage_test.ts`. */
import assert from "node:assert/strict";
import { startBusWith } from "../../../tests/harness/bus.ts";
import type { TestBus } from "../../../tests/harness/bus.ts";
import { runArq, startArq } from "../../testing/run_arq.ts";

const CONFIG = `
[[rooms]]
room = "chat-*"
max_members = 9
`;

async function arq(bus: TestBus, ...args: string[]) {
  return await runArq(["room", "class", ...args, "--url", bus.url]);
}

async function answered(bus: TestBus, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await arq(bus, ...args);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
}

async function set(bus: TestBus): Promise<void> {
  assert.equal(await answered(bus, "list", "--tenant", "default"), NONE);
  assert.match(
    await answered(bus, "set", "chat-vip*", "--durable", "--history-ttl", "2h", "--no-echo"),
    /^the class of chat-vip\* is set \(durable, 1000 messages, 2h, no echo\): version 1 of the settings of tenant default is in force on this node\n$/,
  );
  await answered(bus, "set", "board", "--tenant", "acme", "--no-presence", "--max-members", "3");
  const listed = await answered(bus, "list");
  assert.match(listed, /^ROOMS +OPTIONS +SOURCE +TENANT\n/);
  assert.match(listed, /\nchat-\* +at most 9 members +config +\*\n/);
  assert.match(listed, /\nchat-vip\* +durable, 1000 messages, 2h, no echo +tenant +default\n/);
  assert.match(listed, /\nboard +no presence, at most 3 members +tenant +acme\n/);
  const acme = JSON.parse(await answered(bus, "list", "--tenant", "acme", "--json"));
  assert.deepEqual(
    acme.rooms.map(({ room, max_members }: Record<string, unknown>) => [room, max_members]),
    [["board", 3]],
  );
}

const NONE = "no room classes are set by tenant default\n";

async function replace(bus: TestBus): Promise<void> {
  await answered(bus, "set", "chat-vip*", "--durable", "--cache-last", "--presence", "--echo");
  const json = JSON.parse(await answered(bus, "explain", "chat-vip1", "--json"));
  assert.deepEqual(
    [json.class.pattern, json.class.cache_last, json.class.history_ttl_seconds, json.class.echo],
    ["chat-vip*", true, 86_400, true],
    "what was not given has its default again",
  );
}

async function explain(bus: TestBus): Promise<void> {
  const text = await answered(bus, "explain", "chat-vip1");
  assert.match(text, /^chat-vip1: chat-vip\* of the tenant's settings has the longest pattern/);
  assert.match(text, /\n {2}durable +true\n {2}history_size +1000\n/);
  assert.match(
    text,
    /\nalso matching, but overruled:\nROOMS.*\nchat-\* +at most 9 members +config/,
  );
  const other = await answered(bus, "explain", "chat-vip1", "--tenant", "acme");
  assert.match(other, /^chat-vip1: chat-\* of the configuration has/);
  assert.match(
    await answered(bus, "explain", "x"),
    /^x: no class is about it: the defaults hold\n/,
  );
}

async function remove(bus: TestBus): Promise<void> {
  assert.match(
    await answered(bus, "remove", "chat-vip*"),
    /^the class of chat-vip\* is removed: version 3 /,
  );
  const again = await arq(bus, "remove", "chat-vip*");
  assert.equal(again.code, 1);
  assert.match(again.stderr, /tenant default has no room class for chat-vip\*/);
  assert.equal(await answered(bus, "list", "--tenant", "default"), NONE);
}

async function filters(bus: TestBus): Promise<void> {
  const filter = 'headers["team"] in claims.teams';
  await answered(bus, "set", "team-*", "--tenant", "acme", "--filter", filter, "--delta", "fossil");
  const listed = await answered(bus, "list", "--tenant", "acme");
  assert(listed.includes(`only ${filter}, deltas`), listed);
  assert.match(
    await answered(bus, "explain", "team-1", "--tenant", "acme"),
    /\n {2}filter +headers/,
  );
  const bad = await arq(bus, "set", "team-*", "--filter", "clams.teams == 1");
  assert.equal(bad.code, 1);
  assert.match(bad.stderr, /there is no "clams"; a filter may use type, .*claims/);
  const where = ["--url", bus.url, "--token", bus.token];
  const heard = await startArq(["sub", "beans", "--count", "1", "--filter", "data > 1", ...where]);
  await heard.says("Subscribed");
  for (const data of ["1", "2"]) await runArq(["pub", "beans", data, ...where]);
  const { code, stdout } = await heard.result();
  assert.deepEqual([code, stdout], [0, "2\n"]);
}

async function roles(bus: TestBus): Promise<void> {
  const where = ["--admin-url", bus.admin_url, "--token", bus.token];
  for (const args of [["list"], ["set", "a"], ["remove", "a"], ["explain", "a"]]) {
    const { code, stderr } = await runArq(["room", "class", ...args, ...where]);
    assert.equal(code, 3, stderr);
    assert.match(stderr, /role-forbidden/);
  }
}

Deno.test("arq room class on a running bus", async (t) => {
  await using bus = await startBusWith(CONFIG);
  await t.step("classes are set and listed, by tenant and with the config's", () => set(bus));
  await t.step("set replaces the class as a whole", () => replace(bus));
  await t.step("explain says which class counts, with its options", () => explain(bus));
  await t.step("a removed class counts no longer", () => remove(bus));
  await t.step("a class has a filter, and so has a subscription", () => filters(bus));
  await t.step("all of it needs role admin", () => roles(bus));
});
