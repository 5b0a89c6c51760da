/**
 * `arq room` against a real bus, as a person or a script uses it: values, locks and programs under a lock, members,
 * kicks, bans, classes. `command_lines_test.ts` has what needs no bus, `kept_test.ts` has
 * stored messages.
 */
import assert from "node:assert/strict";
import { sharedByTests } from "../../../shared/testing/shared_by_tests.ts";
import { found, until } from "../../../shared/testing/until.ts";
import { startBus, startBusWith, type TestBus } from "../../../tests/harness/bus.ts";
import {
  type ArqProcess,
  type ArqResult,
  runArq,
  startArq,
  succeeds,
} from "../../testing/run_arq.ts";

const CONFIG = `
[[rooms]]
room = "chat-*"
max_members = 9
`;

/** For all tests but the one that kills its own. */
const running = sharedByTests(() => startBusWith(CONFIG));

const at = (bus: TestBus) => ["--url", bus.url];

const room = (bus: TestBus, name: string, ...args: string[]): Promise<ArqResult> =>
  runArq(["room", name, ...at(bus), ...args]);

/** Runs a command that must succeed; returns its stdout. */
async function done(bus: TestBus, name: string, ...args: string[]): Promise<string> {
  return succeeds(await room(bus, name, ...args));
}

/** Runs a command that must be refused, for this reason. */
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
  assert.equal(await done(bus, "set", "lobby", "n", "1.0"), `n = 1.0 (${at(2)}, epoch ${epoch})\n`);
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
  const output = await done(bus, "kick", "lobby", "bob", "--reason", "off topic");
  assert.equal(output, "bob is kicked out of room lobby\n");
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
  const output = await done(
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
  assert.equal(output, "mallory is banned from the whole tenant for 1h\n");
  const ended = await sub.result();
  assert.equal(ended.code, 3, ended.stderr);
  assert.match(ended.stderr, /You are banned from this tenant until \S+Z: spam \(403 banned\)/);
  const shut = await runArq(["pub", "lobby", "1", ...at(bus), ...token]);
  assert.equal(shut.code, 3);
  assert.match(shut.stderr, /banned.*403 banned/);
  await done(bus, "unban", "lobby", "mallory", ...TENANT);
  await untilPasses(bus, ["pub", "lobby", "1", ...token]);
  const only = await done(bus, "ban", "lobby", "mallory", "--reason", "noise");
  assert.equal(only, "mallory is banned from room lobby for 10m\n");
  await listed(bus);
  await done(bus, "unban", "lobby", "mallory");
  await untilPasses(bus, ["pub", "lobby", "1", ...token]);
}

/** A room's bans include those of its tenant, and a tenant's those of its rooms. */
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
  const bus = await running();
  await t.step("values are returned unchanged, with version and epoch", () => values(bus));
  await t.step("a lock excludes others, and its fencing token admits the holder", () => locks(bus));
  await t.step("members are listed and counted while they are there", () => members(bus));
  await t.step("a kick ends subscriptions, and accepts a service's token", () => kicks(bus));
  await t.step("a ban holds until it is lifted: of the tenant, of a room", () => bans(bus));
  await t.step(
    "a ban of the development user can be lifted by the same client",
    () => ownDoor(bus),
  );
});

async function arq(bus: TestBus, ...args: string[]) {
  return await runArq(["room", "class", ...args, "--url", bus.url]);
}

async function answered(bus: TestBus, ...args: string[]): Promise<string> {
  return succeeds(await arq(bus, ...args));
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
  assert.match(await answered(bus, "explain", "x"), /^x: no class matches: the defaults apply\n/);
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
  assert.match(bad.stderr, /unknown name "clams"; a filter may use type, .*claims/);
  const where = ["--url", bus.url, "--token", bus.token];
  const sub = await startArq(["sub", "beans", "--count", "1", "--filter", "data > 1", ...where]);
  await sub.says("Subscribed");
  for (const data of ["1", "2"]) await runArq(["pub", "beans", data, ...where]);
  const { code, stdout } = await sub.result();
  assert.deepEqual([code, stdout], [0, "2\n"]);
}

Deno.test("arq room class on a running bus", async (t) => {
  const bus = await running();
  await t.step("classes are set and listed, by tenant and with the config's", () => set(bus));
  await t.step("set replaces the class as a whole", () => replace(bus));
  await t.step("explain prints which class applies, with its options", () => explain(bus));
  await t.step("a removed class counts no longer", () => remove(bus));
  await t.step("a class has a filter, and so has a subscription", () => filters(bus));
});

// `arq room lock ROOM -- CMD` against a real bus: real programs, several at a time, and lost locks.

const lockArgs = (bus: TestBus, options: string[], program: string[]) => [
  ...["room", "lock", "jobs", ...at(bus), ...options],
  ...["--", ...program],
];

const lock = (bus: TestBus, options: string[], ...program: string[]): Promise<ArqResult> =>
  runArq(lockArgs(bus, options, program));

/** Locks the room without a program; returns the fencing token. */
async function heldFence(bus: TestBus): Promise<string> {
  return succeeds(await runArq(["room", "lock", "jobs", ...at(bus)])).trim();
}

async function unlock(bus: TestBus, fence: string): Promise<ArqResult> {
  return await runArq(["room", "unlock", "jobs", "--fence", fence, ...at(bus)]);
}

/** The lock is free: it can be taken at once. */
async function isFree(bus: TestBus): Promise<boolean> {
  const { code } = await unlock(bus, await heldFence(bus));
  return code === 0;
}

const untilFile = (path: string): Promise<string> =>
  found(`a line in ${path}`, async () => {
    const text = await Deno.readTextFile(path).catch(() => "");
    return text.endsWith("\n") ? text.trim() : undefined;
  });

async function exits(bus: TestBus): Promise<void> {
  const locked = await lock(
    bus,
    [],
    "sh",
    "-c",
    'echo "$ARQON_LOCK_ROOM $ARQON_LOCK_FENCE $1"',
    "-",
    "a  b",
  );
  assert.equal(locked.code, 0, locked.stderr);
  assert.match(locked.stdout, /^jobs \d+ a {2}b\n$/);
  assert.equal(locked.stderr, "");
  assert.equal((await lock(bus, [], "sh", "-c", "exit 41")).code, 41);
  assert.equal((await lock(bus, [], "sh", "-c", "kill -KILL $$")).code, 137);
  const missing = await lock(bus, [], "/nowhere/no-such-program");
  assert.equal(missing.code, 127);
  assert.match(missing.stderr, /no-such-program.*not found/);
  const wrong = await lock(bus, ["--fence", "7"], "true");
  assert.deepEqual([wrong.code, wrong.stdout], [2, ""]);
  assert.match(wrong.stderr, /--fence renews a held lock/);
  assert.ok(await isFree(bus), "each has unlocked");
}

async function streams(bus: TestBus): Promise<void> {
  const piped = await runArq(lockArgs(bus, [], ["cat"]), { stdin: "handed on\n" });
  assert.deepEqual([piped.code, piped.stdout], [0, "handed on\n"]);
  const folder = await Deno.makeTempDir();
  const here = await runArq(lockArgs(bus, [], ["pwd"]), { cwd: folder });
  assert.equal(here.stdout.trim(), await Deno.realPath(folder));
  await Deno.remove(folder, { recursive: true });
}

async function refusals(bus: TestBus): Promise<void> {
  const fence = await heldFence(bus);
  const ran = await Deno.makeTempFile();
  const now = await lock(bus, [], "sh", "-c", `echo ran > ${ran}`);
  assert.equal(now.code, 1);
  assert.match(now.stderr, /^arq: .*locked by dev \(409 locked\)/);
  const late = await lock(bus, ["--wait", "1"], "sh", "-c", `echo ran > ${ran}`);
  assert.equal(late.code, 1);
  assert.match(late.stderr, /^arq: jobs is locked; waiting\narq: .*\(409 locked\)/);
  assert.equal(await Deno.readTextFile(ran), "", "the program was never started");
  await Deno.remove(ran);
  const waiting = await startArq(lockArgs(bus, ["--wait", "5m"], ["echo", "mine"]));
  await waiting.says("waiting");
  assert.equal((await unlock(bus, fence)).code, 0);
  const { code, stdout } = await waiting.result();
  assert.deepEqual([code, stdout], [0, "mine\n"]);
}

/** Starts a program that holds the lock for long; returns the fencing token. */
async function holding(
  bus: TestBus,
  options: string[],
  before = "",
): Promise<{ holder: ArqProcess; fence: string; [Symbol.asyncDispose](): Promise<void> }> {
  const file = await Deno.makeTempFile();
  const program = `${before} echo "$ARQON_LOCK_FENCE" > ${file}; while :; do sleep 0.1; done`;
  const holder = await startArq(lockArgs(bus, options, ["sh", "-c", program]));
  const fence = await untilFile(file);
  return { holder, fence, [Symbol.asyncDispose]: () => Deno.remove(file) };
}

async function losses(bus: TestBus): Promise<void> {
  await using first = await holding(bus, ["--ttl", "3"], "trap 'echo told; exit 3' TERM;");
  assert.equal((await unlock(bus, first.fence)).code, 0);
  const ended = await first.holder.result();
  assert.deepEqual([ended.code, ended.stdout], [1, "told\n"]);
  assert.match(
    ended.stderr,
    /^arq: the lock of jobs is lost; sh gets SIGTERM\narq: the lock of jobs /,
  );
  assert.match(ended.stderr, /was lost while sh ran: .*\(409 fence-mismatch\)\n.*ARQON_LOCK_FENCE/);
  await using second = await holding(bus, ["--ttl", "3"], "trap '' TERM;");
  assert.equal((await unlock(bus, second.fence)).code, 0);
  const killed = await second.holder.result();
  assert.equal(killed.code, 1, "also one that does not listen ends");
}

/** The lease is much shorter than the program: it is renewed without a gap. */
async function renewals(bus: TestBus): Promise<void> {
  const file = await Deno.makeTempFile();
  const program = ["sh", "-c", `echo "$ARQON_LOCK_FENCE" > ${file}; sleep 5; echo done >> ${file}`];
  const long = await startArq(lockArgs(bus, ["--ttl", "2"], program));
  await untilFile(file);
  const other = await startArq(lockArgs(bus, ["--wait", "5m"], ["cat", file]));
  await other.says("waiting");
  const { code, stderr } = await long.result();
  assert.equal(code, 0, stderr);
  assert.match((await other.result()).stdout, /\ndone\n$/, "it came after the end");
  await Deno.remove(file);
}

async function stops(bus: TestBus): Promise<void> {
  for (const [signal, code] of [["SIGTERM", 5], ["SIGINT", 6]] as const) {
    const trap = "trap 'exit 5' TERM; trap 'exit 6' INT;";
    await using held = await holding(bus, ["--ttl", "5m"], trap);
    held.holder.child.kill(signal);
    const ended = await held.holder.result();
    assert.equal(ended.code, code, `${signal}: ${ended.stderr}`);
    assert.ok(await isFree(bus), "it is unlocked at once, not at the end of the lease");
  }
}

Deno.test("a program runs exclusively while the lock is held, and its outcome is printed", async (t) => {
  const bus = await running();
  await t.step("its exit code and its environment", () => exits(bus));
  await t.step("its streams and its folder are ours", () => streams(bus));
  await t.step("a lock that somebody else holds", () => refusals(bus));
  await t.step("a lease shorter than the program is renewed", () => renewals(bus));
  await t.step("a lock that is lost ends the program", () => losses(bus));
  await t.step("a signal goes to the program, and the lock ends with it", () => stops(bus));
});

Deno.test("a bus that goes away for longer than the lease ends the program", async () => {
  await using bus = await startBus();
  await using held = await holding(bus, ["--ttl", "3"]);
  await bus.stop("SIGKILL");
  const { code, stderr } = await held.holder.result();
  assert.equal(code, 1, stderr);
  assert.match(stderr, /the lock of jobs is lost; sh gets SIGTERM/);
  assert.match(stderr, /the lock of jobs was lost while sh ran: .*lease has run out/);
});
