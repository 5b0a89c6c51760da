/** `arq room watch` against a real bus: who is there, who comes and goes, and over a restart. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import type { Connection, PresenceSubscription } from "@arqon/sdk";
import { startBus } from "../../../tests/harness/bus.ts";
import type { TestBus } from "../../../tests/harness/bus.ts";
import { runArq, startArq } from "../../testing/run_arq.ts";

const at = (bus: TestBus) => ["--url", bus.url];

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

const lines = (stdout: string) => stdout.trimEnd().split("\n");

async function everyKind(bus: TestBus): Promise<void> {
  const ann = await member(bus, "hall", "ann");
  const watch = await startArq(["room", "watch", "hall", "--count", "4", ...at(bus)]);
  await watch.says("Watching hall: 1 connection of 1 user");
  const bob = await member(bus, "hall", "bob");
  await heard(ann.room, 2);
  await ann.room.update({ status: "away" });
  // Before the next change: two of one batch would be told as one.
  await runArq(["room", "set", "hall", "topic", "1.0", ...at(bus)]);
  await bob.connection.close();
  const { code, stdout } = await watch.result();
  assert.equal(code, 0);
  const got = lines(stdout).map((line) => line.replace(/ 20\S+Z/, "").replace(/^\* \d+ /, "* "));
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

/** Until a member itself sees so many. */
async function heard(room: PresenceSubscription, connections: number): Promise<void> {
  for await (const _ of room.presence.changes()) {
    if (room.presence.count === connections) return;
  }
}

async function asJson(bus: TestBus): Promise<void> {
  const watch = await startArq(["room", "watch", "cellar", "--json", "--count", "2", ...at(bus)]);
  await watch.says("Watching cellar: 0 connections of 0 users");
  const ann = await member(bus, "cellar", "ann");
  await runArq(["room", "set", "cellar", "topic", '"tea"', ...at(bus)]);
  const got = lines((await watch.result()).stdout).map((line) => JSON.parse(line));
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

async function kickedOut(bus: TestBus): Promise<void> {
  const token = await bus.tokenFor({ user: "bob" });
  const watch = await startArq(["room", "watch", "hall", ...at(bus), "--token", token]);
  await watch.says("Watching hall");
  await runArq(["room", "kick", "hall", "bob", "--reason", "enough", ...at(bus)]);
  const { code, stderr } = await watch.result();
  assert.equal(code, 1);
  assert.match(stderr, /\narq: DISCONNECT in hall: enough\n$/);
}

async function notGranted(bus: TestBus): Promise<void> {
  const claims = { grants: [{ room: "hall", actions: ["subscribe", "command"] }] };
  const token = ["--token", await bus.tokenFor({ claims })];
  for (const command of ["watch", "members"]) {
    const { code, stderr } = await runArq(["room", command, "hall", ...at(bus), ...token]);
    assert.equal(code, 3, stderr);
    assert.match(stderr, /presence.*403 not-granted/);
  }
}

Deno.test("arq room watch on a running bus", async (t) => {
  await using bus = await startBus();
  await t.step("prints who is there, then each kind of change", () => everyKind(bus));
  await t.step("--json is an object a line, with the room's numbers", () => asJson(bus));
  await t.step("Ctrl-C ends it, and who watches is no member", () => interrupted(bus));
  await t.step("who is kicked out sees no more, and is told why", () => kickedOut(bus));
  await t.step("needs the grant presence, as members does", () => notGranted(bus));
});

Deno.test("a bus that is killed under a watcher: afterwards only the differences come", async () => {
  const first = await startBus();
  const port = new URL(first.url).port;
  const ann = await member(first, "hall", "ann");
  const bob = await member(first, "hall", "bob");
  await heard(ann.room, 2);
  const watch = await startArq(["room", "watch", "hall", "--count", "3", ...at(first)]);
  await watch.says("Watching hall: 2 connections of 2 users");
  await first.stop("SIGKILL");
  await bob.connection.close();
  await watch.says("reconnecting");
  await using second = await startBus(["--port", port]);
  const { code, stdout, stderr } = await watch.result();
  assert.equal(code, 0, stderr);
  const told = lines(stdout).map((line) => line.split(" ").slice(0, 2).join(" "));
  // A new connection is a new member, so ann is told as gone and come.
  assert.deepEqual(told.slice(0, 2).sort(), ["= ann", "= bob"]);
  assert.deepEqual(told.slice(2).sort(), ["+ ann", "- ann", "- bob"].sort());
  assert.equal(second.url, first.url);
  await ann.connection.close();
  await first[Symbol.asyncDispose]();
});
