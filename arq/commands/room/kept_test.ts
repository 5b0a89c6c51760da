/**
 * What rooms store and how they change, by `arq` against a real bus: where `sub` begins, `room history`, `room replay`,
 * `room watch`. `../../rooms/room_reader_test.ts` has recovery and trimmed logs.
 */
import assert from "node:assert/strict";
import { connect, type Connection, type PresenceSubscription } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { sharedByTests } from "../../../shared/testing/shared_by_tests.ts";
import { startBusWith, type TestBus } from "../../../tests/harness/bus.ts";
import { storedIn } from "../../rooms/history.ts";
import { runArq, startArq, succeeds } from "../../testing/run_arq.ts";
import { durableRooms } from "../../../shared/testing/room_classes.ts";
import { reducedRooms } from "../../../shared/testing/reducers.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
${durableRooms("durable-*", "history_size = 100000")}
${reducedRooms("count-*", "counter", 'reducer_visible = ["total", "user/"]')}
`;

/** For all tests but those that end their own. */
const running = sharedByTests(() => startBusWith(CONFIG));

const at = (bus: TestBus) => ["--url", bus.url];

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

const lines = (numbers: readonly number[]) => numbers.map((n) => `${n}\n`).join("");

async function publish(bus: TestBus, room: string, numbers: readonly number[]): Promise<void> {
  const args = ["pub", room, "--ndjson", "-", ...at(bus)];
  succeeds(await runArq(args, { stdin: lines(numbers) }));
}

/** Runs a command that must succeed; returns its stdout. */
async function done(bus: TestBus, ...args: string[]): Promise<string> {
  return succeeds(await runArq([...args, ...at(bus)]));
}

/** The output of `pub --json` is a position from which reading can continue. */
async function placeOfPub(bus: TestBus): Promise<void> {
  const room = "durable-pub";
  const one = JSON.parse(await done(bus, "pub", room, "1", "--json"));
  assert.deepEqual([one.room, one.published], [room, 1]);
  assert.ok(one.offset > 0 && one.epoch !== "");
  const many = await runArq(["pub", room, "--ndjson", "-", "--json", ...at(bus)], {
    stdin: lines(range(2, 4)),
  });
  const { published, offset, epoch } = JSON.parse(many.stdout);
  assert.deepEqual([published, offset - one.offset, epoch], [3, 3, one.epoch]);
  await publish(bus, room, [5]);
  const from = ["--from", String(offset), "--epoch", epoch, "--count", "1"];
  assert.equal(await done(bus, "sub", room, ...from), "5\n");
  const short = JSON.parse(await done(bus, "pub", "not-kept", "1", "--json"));
  assert.deepEqual(Object.keys(short), ["room", "published", "duration_ms"]);
  const claims = { grants: [{ room, actions: ["publish"] }] };
  const token = ["--token", await bus.tokenFor({ claims })];
  const blind = succeeds(await runArq(["pub", room, "6", "--json", ...at(bus), ...token]));
  const placed = JSON.parse(blind);
  assert.ok(placed.offset > offset && !("epoch" in placed), blind);
}

async function places(bus: TestBus): Promise<void> {
  const room = "durable-places";
  await publish(bus, room, range(1, 5));
  const sub = (...args: string[]) => done(bus, "sub", room, ...args);
  assert.equal(await sub("--from", "0", "--count", "5"), lines(range(1, 5)));
  assert.equal(await sub("--last", "2", "--count", "2"), "4\n5\n");
  assert.equal(await sub("--last", "99", "--count", "5"), lines(range(1, 5)));
  assert.equal(await sub("--since", "1h", "--count", "5"), lines(range(1, 5)));
  const json = await sub("--from", "0", "--count", "3", "--json");
  const got = json.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(got.map(({ data }) => data), [1, 2, 3]);
  const { offset, epoch } = got.at(-1);
  const go_on = ["--from", String(offset), "--epoch", epoch, "--count", "2"];
  assert.equal(await sub(...go_on), "4\n5\n");
  const anew = await runArq(["sub", room, "--from", "1", "--epoch", "older", ...at(bus)]);
  assert.equal(anew.code, 1);
  assert.match(anew.stderr, new RegExp(`its epoch is ${epoch}, not older`));
  const ahead = await runArq(["sub", room, "--from", "999999", ...at(bus)]);
  assert.equal(ahead.code, 1);
  assert.match(ahead.stderr, /room durable-places is not at offset 999999 yet/);
}

/** Messages that an operator trims are gone for all readers. */
async function cut(bus: TestBus): Promise<void> {
  const room = "durable-cut";
  await publish(bus, room, range(1, 6));
  const places = (await done(bus, "room", "history", room, "--json")).trimEnd().split("\n")
    .map((line): Place => JSON.parse(line));
  const admin = ["--admin-url", bus.admin_url, "--token", await bus.tokenFor({ role: "admin" })];
  const trim = async (...args: string[]) => await runArq(["room", "trim", ...args, ...admin]);
  const { offset = 0 } = places[3] ?? {};
  const trimmed = succeeds(await trim(room, "--before", `${offset}`, "--yes"));
  assert.match(trimmed, new RegExp(`now begins after entry ${offset}; 4 messages of its log`));
  assert.equal(await done(bus, "room", "history", room), lines(range(5, 6)));
  const from = async (place: Place | undefined, count: number) =>
    await runArq(["sub", room, "--from", `${place?.offset}`, "--count", `${count}`, ...at(bus)]);
  const late = await from(places[2], 2);
  assert.equal(late.stdout, lines(range(5, 6)));
  assert.match(late.stderr, /messages after \d+ are gone; beginning at/);
  const whole = await from(places[3], 2);
  assert.deepEqual([whole.stdout, whole.stderr.includes("gone")], [lines(range(5, 6)), false]);
  assert.match((await trim(room, "--before", `${offset}`, "--yes")).stdout, /nothing was removed/);
  assert.match((await trim(room, "--yes")).stdout, /; 2 messages of its log/);
  assert.equal(await done(bus, "room", "history", room), "");
  for (const other of ["lobby", "count-1~reducer"]) {
    const refused = await trim(other, "--yes");
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
    assert.match(refused.stderr, /is not a durable room/);
  }
}

async function history(bus: TestBus): Promise<void> {
  const room = "durable-history";
  await publish(bus, room, range(1, 700));
  const print = (...args: string[]) => done(bus, "room", "history", room, ...args);
  assert.equal(await print(), lines(range(1, 100)));
  assert.equal(await print("--limit", "650"), lines(range(1, 650)));
  assert.equal(await print("--all"), lines(range(1, 700)));
  assert.equal(await print("--reverse", "--limit", "2"), "700\n699\n");
  assert.equal(await print("--reverse", "--all"), lines(range(1, 700).reverse()));
  const json = await print("--json", "--limit", "2");
  const [one, two] = json.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([one.data, two.data, one.epoch === two.epoch], [1, 2, true]);
  const between = ["--after", String(one.offset), "--before", String(two.offset + 1)];
  assert.equal(await print(...between), "2\n");
  const { stderr } = await runArq(["room", "history", room, "--limit", "1", ...at(bus)]);
  assert.match(stderr, /^durable-history: 1 message; the room is at offset \d+, epoch \S+; more/);
  assert.ok(stderr.endsWith(`; more with --after ${one.offset}\n`), stderr);
}

async function replay(bus: TestBus): Promise<void> {
  const source = "durable-source";
  await using connection = await connect({ url: bus.url, token: bus.token });
  const room = connection.room(source);
  const headers = { kind: "odd" };
  await room.publish("note", new Uint8Array([0, 255]), { headers, content_type: "x/y" });
  await room.publish("chat", "tea", { schema_id: "a.B" });
  await publish(bus, source, range(1, 300));
  const args = ["room", "replay", source, "--to", "durable-copy", "--json"];
  const first = JSON.parse(await done(bus, ...args));
  assert.equal(first.published, 302);
  await done(bus, ...args, "--rate", "10000/s");
  const { messages } = await storedIn(connection.room("durable-copy")).history({ limit: 1_000 });
  assert.equal(messages.length, 302, "replayed twice, stored once");
  const [note, chat, ...rest] = messages;
  assert.deepEqual([note?.type, note?.content_type, note?.headers["kind"]], ["note", "x/y", "odd"]);
  assert.deepEqual(note?.data, new Uint8Array([0, 255]));
  assert.deepEqual([chat?.type, chat?.schema_id, chat?.text()], ["chat", "a.B", "tea"]);
  assert.deepEqual(rest.map((message) => message.json()), range(1, 300));
  const [original] = (await storedIn(room).history({ limit: 1 })).messages;
  assert.equal(note?.message_id, `replay:${original?.epoch}:${original?.offset}`);
  assert.notEqual(note?.headers["X-Twist-ID"], original?.headers["X-Twist-ID"]);
  const some = (await storedIn(room).history({ limit: 10 })).messages.map(({ offset }) =>
    String(offset)
  );
  const bounds = ["--from", String(some[1]), "--until", String(some[4])];
  const part = ["room", "replay", source, "--to", "durable-part", ...bounds];
  const result = await runArq([...part, ...at(bus)]);
  assert.match(result.stderr, /^Replayed 3 messages of durable-source, up to offset \d+, to/);
  assert.equal(await done(bus, "room", "history", "durable-part"), "1\n2\n3\n");
}

async function stoppedReplay(bus: TestBus): Promise<void> {
  const args = ["room", "replay", "durable-source", "--to", "durable-stopped", "--rate", "50"];
  const slow = await startArq([...args, "--window", "1", ...at(bus)]);
  const sub = await startArq(["sub", "durable-stopped", "--from", "0", "--count", "5", ...at(bus)]);
  await sub.result();
  slow.child.kill("SIGINT");
  const { code, stderr } = await slow.result();
  assert.equal(code, 130);
  const [, command = ""] = /continue with: arq (.*)\n/.exec(stderr) ?? [];
  const again = command.replace("--rate 50", "--rate 100000").split(" ");
  assert.ok(again.includes("--epoch"), stderr);
  await done(bus, ...again.filter((word) => word !== "--url" && word !== bus.url));
  const all = (room: string) => done(bus, "room", "history", room, "--all");
  assert.equal(await all("durable-stopped"), await all("durable-source"));
}

async function notDurable(bus: TestBus): Promise<void> {
  const cases = [
    ["sub", "lobby", "--from", "0"],
    ["sub", "lobby", "--last", "1"],
    ["sub", "lobby", "--since", "1m"],
    ["room", "history", "lobby"],
    ["room", "replay", "lobby", "--to", "other"],
  ];
  for (const args of cases) {
    const { code, stderr, stdout } = await runArq([...args, ...at(bus)]);
    assert.deepEqual([code, stdout], [1, ""], args.join(" "));
    assert.match(stderr, /Not durable: lobby.*\(400 not-durable\)\n.*arq room class set/);
  }
}

Deno.test("arq in durable rooms", async (t) => {
  const bus = await running();
  await t.step("sub begins at the requested position", () => places(bus));
  await t.step("pub --json prints the place", () => placeOfPub(bus));
  await t.step("what an operator removes is no longer readable", () => cut(bus));
  await t.step("room history prints and pages", () => history(bus));
  await t.step("room replay preserves the publisher's message, once", () => replay(bus));
  await t.step("an aborted replay prints how to continue", () => stoppedReplay(bus));
  await t.step("a room that is not durable is refused in words", () => notDurable(bus));
});

interface Place {
  readonly offset: number;
  readonly epoch: string;
}

// `arq room watch` against a real bus: present members, joins and leaves, and a restart.

/** A member, in this process. */
async function member(
  bus: TestBus,
  name: string,
  user: string,
): Promise<{ connection: Connection; room: PresenceSubscription }> {
  const connection = await connect({ url: bus.url, token: await bus.tokenFor({ user }) });
  const member_meta = { status: "here" };
  const room = connection.room(name).subscribe({ presence: true, member_meta });
  await room.ready;
  return { connection, room };
}

const linesOf = (stdout: string) => stdout.trimEnd().split("\n");

async function everyKind(bus: TestBus): Promise<void> {
  const ann = await member(bus, "hall", "ann");
  const watch = await startArq(["room", "watch", "hall", "--count", "4", ...at(bus)]);
  await watch.says("Watching hall: 1 connection of 1 user");
  const bob = await member(bus, "hall", "bob");
  await seesConnections(ann.room, 2);
  await ann.room.update({ status: "away" });
  // Sent before the next change: two changes of one batch would be reported as one.
  await runArq(["room", "set", "hall", "topic", "1.0", ...at(bus)]);
  await bob.connection.close();
  const { code, stdout } = await watch.result();
  assert.equal(code, 0);
  const got = linesOf(stdout).map((line) => line.replace(/ 20\S+Z/, "").replace(/^\* \d+ /, "* "));
  const [a, b] = [ann, bob].map(({ connection }) => connection.welcome.connection_id);
  assert.equal(got[0], `= ann ${a} {"status":"here"}`);
  assert.equal(got[1], `+ bob ${b} {"status":"here"}`);
  assert.deepEqual(got.slice(2).sort(), [
    "* set topic 1.0 by dev",
    `- bob ${b} {"status":"here"}`,
    `~ ann ${a} {"status":"away"}`,
  ]);
  await ann.connection.close();
}

/** Waits until a member itself sees this many connections. */
async function seesConnections(room: PresenceSubscription, connections: number): Promise<void> {
  for await (const _ of room.presence.changes()) {
    if (room.presence.count === connections) return;
  }
}

async function asJson(bus: TestBus): Promise<void> {
  const watch = await startArq(["room", "watch", "cellar", "--json", "--count", "2", ...at(bus)]);
  await watch.says("Watching cellar: 0 connections of 0 users");
  const ann = await member(bus, "cellar", "ann");
  await runArq(["room", "set", "cellar", "topic", '"tea"', ...at(bus)]);
  const got = linesOf((await watch.result()).stdout).map((line) => JSON.parse(line));
  const join = got.find(({ change }) => change === "join");
  assert.deepEqual(
    [join.room, join.user_id, join.meta, join.connections, join.users],
    ["cellar", "ann", { status: "here" }, 1, 1],
  );
  assert.equal(join.connection_id, ann.connection.welcome.connection_id);
  const state = got.find(({ change }) => change === "room");
  assert.deepEqual([state.room, state.op, state.key, state.value, state.by], [
    "cellar",
    "set",
    "topic",
    "tea",
    "dev",
  ]);
  await ann.connection.close();
}

async function interrupted(bus: TestBus): Promise<void> {
  const watch = await startArq(["room", "watch", "quiet", ...at(bus)]);
  await watch.says("Watching quiet");
  const members = await runArq(["room", "members", "quiet", "--count", ...at(bus)]);
  assert.equal(members.stdout, "0 connections of 0 users\n", "who watches is no member");
  watch.child.kill("SIGINT");
  const { code, stdout } = await watch.result();
  assert.deepEqual([code, stdout], [130, ""]);
}

Deno.test("arq room watch on a running bus", async (t) => {
  const bus = await running();
  await t.step("prints the members, then each kind of change", () => everyKind(bus));
  await t.step("--json is an object a line, with the room's numbers", () => asJson(bus));
  await t.step("Ctrl-C ends it, and an observer is not a member", () => interrupted(bus));
});

// `arq room watch --values` against a real bus: the present values and their changes, as text and as JSON.

const request_timeout_ms = 60_000;

Deno.test("values of a room are printed, then their changes", async () => {
  const bus = await running();
  const token = await bus.tokenFor({ user: "root", role: "admin" });
  await using root = await connect({ url: bus.url, token, request_timeout_ms });
  const counter = reduced<{ add: [number, number]; reset: [undefined, null] }>(
    root.room("count-1"),
  );
  await counter.call("add", 5);
  const at = ["--url", bus.url, "--token", token];
  const watch = async (...options: string[]) =>
    await startArq(["room", "watch", "count-1", "--values", ...options, ...at]);
  const text = await watch("--count", "2");
  await text.says("Watching values of count-1, as of entry 1");
  await counter.call("add", 2);
  const { code, stdout, stderr } = await text.result();
  assert.equal(code, 0, stderr);
  assert.deepEqual(stdout.trimEnd().split("\n").sort(), [
    ...["= total 5", "= user/root 5"],
    ...["~ 2 total 7", "~ 2 user/root 7"],
  ]);
  const json = await watch("--prefix", "user/", "--count", "1", "--json");
  await json.says("Watching values of count-1, as of entry 2");
  await counter.call("reset");
  const lines = (await json.result()).stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ change, version, key, value }) => [change, version, key, value]), [
    ["value", 2, "user/root", "7"],
    ["delete", 3, "user/root", null],
  ]);
});
