/**
 * `arq room` against a real bus, as a person or a script uses it. What needs no bus is in
 * `room_usage_test.ts`, watching in `room_watch_test.ts`.
 */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { startBus } from "../../../tests/harness/bus.ts";
import type { TestBus } from "../../../tests/harness/bus.ts";
import { runArq, startArq } from "../../testing/run_arq.ts";
import type { ArqResult } from "../../testing/run_arq.ts";

const at = (bus: TestBus) => ["--url", bus.url];

const room = (bus: TestBus, name: string, ...args: string[]): Promise<ArqResult> =>
  runArq(["room", name, ...at(bus), ...args]);

/** Runs what must succeed; its stdout. */
async function done(bus: TestBus, name: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await room(bus, name, ...args);
  assert.equal(code, 0, `${name} ${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** Runs what must be refused, and says why. */
async function refused(
  bus: TestBus,
  code: number,
  why: RegExp,
  name: string,
  ...args: string[]
): Promise<void> {
  const result = await room(bus, name, ...args);
  assert.equal(result.code, code, `${name} ${args.join(" ")}: ${result.stderr}`);
  assert.match(result.stderr, why, `${name} ${args.join(" ")}`);
  assert.equal(result.stdout, "");
  assert.doesNotMatch(result.stderr, /eyJ|at .*\.ts:\d/, "no token and no stack trace");
}

async function values(bus: TestBus): Promise<void> {
  const set = await done(bus, "set", "lobby", "topic", "tea");
  const [, first, epoch] = /^topic = "tea" \(version (\d+), epoch (\w+)\)\n$/.exec(set) ?? [];
  assert.ok(epoch !== undefined, set);
  const at = (change: number) => `version ${Number(first) + change - 1}`;
  assert.equal(
    await done(bus, "set", "lobby", "n", "1.0"),
    `n = 1.0 (${at(2)}, epoch ${epoch})\n`,
  );
  await done(bus, "set", "lobby", "big", "[12345678901234567890]");
  await done(bus, "set", "lobby", "below", "-3");
  await done(bus, "set", "lobby", "note", "--", "-x");
  assert.equal(await done(bus, "get", "lobby", "topic"), '"tea"\n');
  assert.equal(await done(bus, "get", "lobby", "n"), "1.0\n");
  assert.equal(await done(bus, "get", "lobby", "big"), "[12345678901234567890]\n");
  const all = await room(bus, "get", "lobby");
  assert.equal(
    all.stdout,
    'topic  "tea"\nn      1.0\nbig    [12345678901234567890]\nbelow  -3\nnote   "-x"\n',
  );
  assert.equal(all.stderr, `lobby: 5 keys (${at(5)}, epoch ${epoch})\n`);
  const json = JSON.parse(await done(bus, "get", "lobby", "topic", "--json"));
  assert.deepEqual([json.value, json.exists, json.epoch], ["tea", true, epoch]);
  assert.equal(`version ${json.version}`, at(5));
  assert.equal(
    await done(bus, "delete", "lobby", "big"),
    `big is deleted (${at(6)}, epoch ${epoch})\n`,
  );
  const none = new RegExp(`^arq: room lobby has no key "big" \\(${at(6)}`);
  await refused(bus, 1, none, "get", "lobby", "big");
  const gone = await room(bus, "get", "lobby", "big", "--json");
  assert.deepEqual([gone.code, JSON.parse(gone.stdout).exists], [1, false]);
}

async function conditions(bus: TestBus): Promise<void> {
  const first = JSON.parse(await done(bus, "set", "cond", "k", "1", "--json"));
  const version = String(first.version);
  await done(bus, "set", "cond", "k", "2", "--expect-version", version);
  const conflict = /The room is at version \d+ \(409 version-conflict\)\n.*arq room get/;
  await refused(bus, 1, conflict, "set", "cond", "k", "3", "--expect-version", version);
  const id = ["--command-id", "job-17", "--json"];
  const once = await done(bus, "set", "cond", "k", "4", ...id);
  await done(bus, "set", "cond", "k", "5");
  assert.equal(await done(bus, "set", "cond", "k", "4", ...id), once, "the first answer again");
  assert.equal(await done(bus, "get", "cond", "k"), "5\n");
}

async function locks(bus: TestBus): Promise<void> {
  const locked = await room(bus, "lock", "jobs", "--ttl", "1m");
  const fence = locked.stdout.trim();
  assert.match(fence, /^\d+$/);
  assert.match(locked.stderr, /^jobs is locked until \d{4}-\d\d-\d\dT.*Z \(version \d+, epoch/);
  await refused(bus, 1, /locked by dev \(409 locked\)\n.*lease ends/, "lock", "jobs");
  await refused(bus, 1, /409 locked/, "set", "jobs", "k", "1");
  await refused(bus, 1, /409 fence-mismatch/, "set", "jobs", "k", "1", "--fence", "1");
  await done(bus, "set", "jobs", "k", "1", "--fence", fence);
  const state = await room(bus, "get", "jobs");
  assert.match(state.stderr, new RegExp(`\nlocked by dev, fence ${fence}, lease until 2`));
  const renewed = await done(bus, "lock", "jobs", "--ttl", "2m", "--fence", fence, "--json");
  assert.equal(String(JSON.parse(renewed).fence), fence);
  assert.match(await done(bus, "unlock", "jobs", "--fence", fence), /^jobs is unlocked \(version/);
  await refused(bus, 1, /409 fence-mismatch/, "unlock", "jobs", "--fence", fence);
  const next = Number((await done(bus, "lock", "jobs", "--ttl", "1")).trim());
  assert.ok(next > Number(fence), "a later lock has a higher fence");
  await refused(bus, 1, /400 invalid-command/, "lock", "elsewhere", "--ttl", "1h");
}

async function members(bus: TestBus): Promise<void> {
  assert.equal(await done(bus, "members", "hall", "--count"), "0 connections of 0 users\n");
  const empty = await room(bus, "members", "hall");
  assert.deepEqual([empty.code, empty.stdout], [0, ""]);
  const ann = await bus.tokenFor({ user: "ann" });
  const meta = ["--presence", "--meta", '{"status":"here"}'];
  const one = await startArq(["sub", "hall", ...meta, ...at(bus), "--token", ann]);
  await one.says("Subscribed");
  const two = await startArq(["sub", "hall", "--presence", ...at(bus), "--token", ann]);
  await two.says("Subscribed");
  await untilCount(bus, "hall", { connections: 2, users: 1 });
  const listed = await room(bus, "members", "hall");
  const lines = listed.stdout.trimEnd().split("\n").sort();
  assert.equal(lines.length, 2);
  assert.equal(lines.filter((line) => / \{"status":"here"\}$/.test(line)).length, 1);
  assert.ok(lines.every((line) => /^ann \S+ 20\d\d-\S+Z/.test(line)), listed.stdout);
  assert.equal(listed.stderr, "hall: 2 connections of 1 user\n");
  const json = (await done(bus, "members", "hall", "--json")).trimEnd().split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(json.map(({ user_id }) => user_id), ["ann", "ann"]);
  one.child.kill("SIGINT");
  await one.result();
  await untilCount(bus, "hall", { connections: 1, users: 1 });
  two.child.kill("SIGKILL");
  await two.result();
  await untilCount(bus, "hall", { connections: 0, users: 0 });
}

/** Presence spreads a moment after it is acknowledged. */
async function untilCount(
  bus: TestBus,
  name: string,
  wanted: { connections: number; users: number },
): Promise<void> {
  let count = { connections: 0, users: 0 };
  await until(() => `${JSON.stringify(count)} in ${name}`, async () => {
    count = JSON.parse(await done(bus, "members", name, "--count", "--json"));
    return count.connections === wanted.connections && count.users === wanted.users;
  });
}

async function kicks(bus: TestBus): Promise<void> {
  const token = ["--token", await bus.tokenFor({ user: "bob" })];
  const sub = await startArq(["sub", "lobby", ...at(bus), ...token]);
  await sub.says("Subscribed");
  const said = await done(bus, "kick", "lobby", "bob", "--reason", "off topic");
  assert.equal(said, "bob is kicked out of room lobby\n");
  const ended = await sub.result();
  assert.deepEqual([ended.code, ended.stdout], [1, ""]);
  assert.match(ended.stderr, /\narq: DISCONNECT in lobby: off topic\n$/);
  const again = await startArq(["sub", "lobby", "--count", "1", ...at(bus), ...token]);
  await again.says("Subscribed");
  await runArq(["pub", "lobby", "1", ...at(bus)]);
  assert.equal((await again.result()).stdout, "1\n", "a kick does not keep out");
  const forbidden = /kick.*403 command-forbidden\)\n.*--role service/;
  await refused(bus, 3, forbidden, "kick", "lobby", "dev", ...token);
}

const TENANT = ["--scope", "tenant"];

async function bans(bus: TestBus): Promise<void> {
  const token = ["--token", await bus.tokenFor({ user: "mallory" })];
  const sub = await startArq(["sub", "lobby", ...at(bus), ...token]);
  await sub.says("Subscribed");
  const said = await done(
    bus,
    "ban",
    "lobby",
    "mallory",
    ...TENANT,
    "--ttl",
    "1h",
    "--reason",
    "spam",
  );
  assert.equal(said, "mallory is banned from the whole tenant for 1h\n");
  const ended = await sub.result();
  assert.equal(ended.code, 3, ended.stderr);
  assert.match(ended.stderr, /You are banned from this tenant until \S+Z: spam \(403 banned\)/);
  const shut = await runArq(["pub", "lobby", "1", ...at(bus), ...token]);
  assert.equal(shut.code, 3);
  assert.match(shut.stderr, /banned.*403 banned/);
  await done(bus, "unban", "lobby", "mallory", ...TENANT);
  await untilPasses(bus, ["pub", "lobby", "1", ...token]);
  const there = await startArq(["sub", "lobby", ...at(bus), ...token]);
  await there.says("Subscribed");
  const only = await done(bus, "ban", "lobby", "mallory", "--reason", "noise");
  assert.equal(only, "mallory is banned from room lobby for 10m\n");
  const put_out = await there.result();
  assert.equal(put_out.code, 1);
  assert.match(put_out.stderr, /\narq: BAN in lobby: noise\n/);
  let last = "";
  await until(() => last, async () => {
    const { code, stderr } = await runArq(["pub", "lobby", "1", ...at(bus), ...token]);
    last = stderr;
    return code === 3 && /403 room-banned/.test(stderr);
  });
  await untilPasses(bus, ["pub", "elsewhere", "1", ...token]);
  await listed(bus);
  await done(bus, "unban", "lobby", "mallory");
  await untilPasses(bus, ["pub", "lobby", "1", ...token]);
}

/** Of a room with those of its tenant, and of a tenant with those of its rooms. */
async function listed(bus: TestBus): Promise<void> {
  await done(bus, "ban", "elsewhere", "eve", ...TENANT, "--forever", "--reason", "\u001b[31mspam");
  const text = await done(bus, "bans", "lobby");
  const [eve = "", mallory, ...more] = text.trimEnd().split("\n");
  assert.match(eve, /^eve tenant without end by dev-service: \\u001b\[31mspam$/);
  assert.match(mallory ?? "", /^mallory room lobby until 20\S+Z by dev-service: noise$/);
  assert.deepEqual(more, []);
  const json = (await done(bus, "bans", "lobby", "--json")).trimEnd().split("\n");
  const [, only] = json.map((line) => JSON.parse(line));
  const { user_id, scope, room_id, until_ms, reason } = only;
  assert.deepEqual([user_id, scope, room_id, reason], ["mallory", "room", "lobby", "noise"]);
  const left_ms = until_ms - Date.now();
  assert.ok(left_ms > 0 && left_ms <= 600_000, `${left_ms}`);
  assert.match(await done(bus, "bans", "elsewhere"), /^eve tenant .*\n$/);
  const admin = await bus.tokenFor({ role: "admin" });
  const all = await runArq(["room", "bans", "--admin-url", bus.admin_url, "--token", admin]);
  assert.equal(all.stdout, text);
  assert.equal(all.stderr, "tenant default: 2 bans\n");
  const other = await runArq(
    ["room", "bans", "--tenant", "other", "--admin-url", bus.admin_url, "--token", admin],
  );
  assert.deepEqual([other.stdout, other.stderr], ["", "tenant other: 0 bans\n"]);
  const user = await runArq(["room", "bans", "lobby", ...at(bus), "--token", bus.token]);
  assert.equal(user.code, 3, user.stderr);
  await done(bus, "unban", "elsewhere", "eve", ...TENANT);
}

/** A ban and its end reach the Shield a moment after the command is answered. */
async function untilPasses(bus: TestBus, args: string[]): Promise<void> {
  let last = "";
  await until(() => last, async () => {
    const { code, stderr } = await runArq([...args, ...at(bus)]);
    last = stderr;
    return code === 0;
  });
}

async function ownDoor(bus: TestBus): Promise<void> {
  await done(bus, "ban", "lobby", "dev", ...TENANT);
  const { code, stderr } = await runArq(["room", "get", "lobby", ...at(bus)]);
  assert.equal(code, 3, stderr);
  await done(bus, "unban", "lobby", "dev", ...TENANT);
  await untilPasses(bus, ["room", "get", "lobby"]);
}

Deno.test("arq room on a running bus", async (t) => {
  await using bus = await startBus();
  await t.step("values come out as they went in, with version and epoch", () => values(bus));
  await t.step(
    "a version that does not hold is refused, a command id counts once",
    () => conditions(bus),
  );
  await t.step("a lock keeps others out, and its fence lets the holder in", () => locks(bus));
  await t.step("members are listed and counted while they are there", () => members(bus));
  await t.step("a kick ends subscriptions, and takes a service's token", () => kicks(bus));
  await t.step("a ban keeps out until it is lifted: of the tenant, of a room", () => bans(bus));
  await t.step("whoever bans the development user can lift it again", () => ownDoor(bus));
});
