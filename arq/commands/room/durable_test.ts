/**
 * Durable rooms with `arq` against a real bus: where `sub` begins, `room history`, `room replay`. Over
 * kills it is `tests/durable_arq_test.ts`.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { storedIn } from "../../rooms/history.ts";
import { startBusWith } from "../../../tests/harness/bus.ts";
import type { TestBus } from "../../../tests/harness/bus.ts";
import { runArq, startArq } from "../../testing/run_arq.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[[rooms]]
room = "durable-*"
durable = true
history_size = 100000
[[rooms]]
room = "short"
durable = true
history_size = 3
[limits]
recovery_messages = 50
`;

const at = (bus: TestBus) => ["--url", bus.url];
const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);
const lines = (numbers: readonly number[]) => numbers.map((n) => `${n}\n`).join("");

async function publish(bus: TestBus, room: string, numbers: readonly number[]): Promise<void> {
  const args = ["pub", room, "--ndjson", "-", ...at(bus)];
  const { code, stderr } = await runArq(args, { stdin: lines(numbers) });
  assert.equal(code, 0, stderr);
}

/** Runs what must succeed; its stdout. */
async function done(bus: TestBus, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runArq([...args, ...at(bus)]);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** What `pub --json` prints is a place to go on from. */
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
  const blind = await runArq(["pub", room, "6", "--json", ...at(bus), ...token]);
  assert.equal(blind.code, 0, blind.stderr);
  const placed = JSON.parse(blind.stdout);
  assert.ok(placed.offset > offset && !("epoch" in placed), blind.stdout);
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

/** More than a SUB recovers, and it goes on while it is read. */
async function fromHistoryToLive(bus: TestBus): Promise<void> {
  const room = "durable-live";
  await publish(bus, room, range(1, 1_300));
  const args = ["pub", room, "--ndjson", "-", "--rate", "400", ...at(bus)];
  const publisher = await startArq(args, { stdin: lines(range(1_301, 2_000)) });
  const all = await done(bus, "sub", room, "--from", "0", "--count", "2000");
  assert.equal(all, lines(range(1, 2_000)));
  assert.equal((await publisher.result()).code, 0);
}

async function trimmed(bus: TestBus): Promise<void> {
  await publish(bus, "short", range(1, 2));
  const [first] = (await done(bus, "room", "history", "short", "--json")).split("\n");
  const { offset } = JSON.parse(first ?? "");
  await publish(bus, "short", range(3, 9));
  const args = ["sub", "short", "--from", String(offset), "--count", "3", ...at(bus)];
  const result = await runArq(args);
  assert.equal(result.code, 0);
  assert.equal(result.stdout, lines(range(7, 9)));
  assert.match(
    result.stderr,
    new RegExp(`arq: short: messages after ${offset} are gone; beginning at \\d+\n`),
  );
  const json = await runArq([...args, "--json"]);
  const [loss, message] = json.stdout.split("\n").map((line) =>
    line === "" ? {} : JSON.parse(line)
  );
  assert.deepEqual([loss.signal.reason, loss.offset, message.data], [
    "history-trimmed",
    offset,
    7,
  ]);
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
  const heard = await startArq([
    "sub",
    "durable-stopped",
    "--from",
    "0",
    "--count",
    "5",
    ...at(bus),
  ]);
  await heard.result();
  slow.child.kill("SIGINT");
  const { code, stderr } = await slow.result();
  assert.equal(code, 130);
  const [, command = ""] = /go on with: arq (.*)\n/.exec(stderr) ?? [];
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
  await using bus = await startBusWith(CONFIG);
  await t.step("sub begins where it is told to", () => places(bus));
  await t.step("pub --json prints the place", () => placeOfPub(bus));
  await t.step("from history to live without a hole", () => fromHistoryToLive(bus));
  await t.step("what is gone is told", () => trimmed(bus));
  await t.step("room history prints and pages", () => history(bus));
  await t.step("room replay keeps what the publisher said, once", () => replay(bus));
  await t.step("a replay that stops says how to go on", () => stoppedReplay(bus));
  await t.step("a room that is not durable is refused in words", () => notDurable(bus));
});
