/** Lines of policies: those that a Shield remembers, and those that followers receive, each within its limits. */
import assert from "node:assert/strict";
import { refusedWith } from "../../../shared/spine/testing/conformance.ts";
import { LogFollowers, LogMemory } from "./policy_logs.ts";
import type { PolicyLog } from "../../../shared/records/verdict.ts";

const NOW_MS = 1_767_323_045_000;
const line = (message: string, level = 1): PolicyLog => ({ name: "bad-words", level, message });

/** Reads one chunk; a stream begins with an empty line. */
async function read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  return new TextDecoder().decode((await reader.read()).value);
}

async function following(followers: LogFollowers, tenant: string) {
  const reader = followers.follow(tenant).getReader();
  assert.equal(await read(reader), "\n");
  return reader;
}

Deno.test("a follower gets the lines of its tenant as NDJSON, and no other tenant's", async () => {
  const followers = new LogFollowers(() => NOW_MS);
  const acme = await following(followers, "acme");
  const other = await following(followers, "other");
  followers.publish("acme", [line("one\n\u0000"), line("two", 3)]);
  followers.publish("other", [line("three", 9)]);
  const lines = (await read(acme)).trimEnd().split("\n").map((text) => JSON.parse(text));
  assert.deepEqual(lines, [
    { ts: "2026-01-02T03:04:05.000Z", policy: "bad-words", level: "info", message: "one\n\u0000" },
    { ts: "2026-01-02T03:04:05.000Z", policy: "bad-words", level: "error", message: "two" },
  ]);
  assert.match(await read(other), /"level":"info","message":"three"/);
  // A waiting read gets the next line.
  const waiting = read(acme);
  followers.publish("acme", [line("late")]);
  assert.match(await waiting, /"late"/);
  await Promise.all([acme.cancel(), other.cancel()]);
  assert.equal(followers.size, 0);
  followers.publish("acme", [line("no follower gets it")]);
});

Deno.test("a follower that does not read loses lines and gets their number", async () => {
  const followers = new LogFollowers(() => NOW_MS);
  const many = await following(followers, "acme");
  for (let at = 0; at < 2_000; at++) followers.publish("acme", [line(`${at}`)]);
  const lines = (await read(many)).trimEnd().split("\n");
  assert.equal(lines.length, 1_025);
  assert.deepEqual(JSON.parse(lines.at(-1) ?? ""), { dropped: 2_000 - 1_024 });
  for (let at = 0; at < 500; at++) followers.publish("acme", [line("x".repeat(1_000))]);
  const large = await read(many);
  assert.ok(large.length < 263_000 && /\{"dropped":\d+\}\n$/.test(large));
  followers.publish("acme", [line("again")]);
  assert.match(await read(many), /"again"/);
  await many.cancel();
});

Deno.test("a tenant has a share of the 64 followers, and closing ends them", async () => {
  const followers = new LogFollowers(() => NOW_MS);
  const all = await Promise.all(Array.from({ length: 56 }, () => following(followers, "acme")));
  assert.throws(() => followers.follow("acme"), refusedWith("too-many-pending"));
  all.push(await following(followers, "other"));
  const waiting = all.map((reader) => reader.read());
  followers.close();
  for (const end of await Promise.all(waiting)) assert.equal(end.done, true);
  assert.equal(followers.size, 0);
});

const now = () => NOW_MS;
const messages = (text: string) =>
  text.split("\n").filter((one) => one !== "").map((one) => JSON.parse(one).message);

Deno.test("a tenant's lines are remembered as NDJSON, without those of others", () => {
  const memory = new LogMemory({ lines_max: 10, now });
  memory.remember("acme", [line("one\n", 3), line("two")]);
  memory.remember("other", [line("three")]);
  assert.deepEqual(memory.read("acme").trimEnd().split("\n").map((text) => JSON.parse(text)), [
    { ts: "2026-01-02T03:04:05.000Z", policy: "bad-words", level: "error", message: "one\n" },
    { ts: "2026-01-02T03:04:05.000Z", policy: "bad-words", level: "info", message: "two" },
  ]);
  assert.equal(memory.read("nobody"), "");
  assert.equal(memory.size, 3);
});

Deno.test("lines, characters and tenants are limited, and the oldest are dropped first", () => {
  const memory = new LogMemory({ lines_max: 3, characters_max: 60, tenants_max: 2, now });
  memory.remember("acme", ["1", "2", "3", "4", "5"].map((text) => line(text)));
  assert.deepEqual(messages(memory.read("acme")), ["3", "4", "5"]);
  memory.remember("acme", [line("x".repeat(45))]);
  assert.deepEqual(messages(memory.read("acme")), ["x".repeat(45)]);
  memory.remember("acme", [line("y".repeat(100))]);
  assert.deepEqual([memory.read("acme"), memory.size], ["", 0], "a long line is not kept");
  memory.remember("acme", [line("a")]);
  memory.remember("beta", [line("b")]);
  memory.remember("acme", [line("c")]);
  memory.remember("gamma", [line("d")]);
  assert.deepEqual(messages(memory.read("acme")), ["a", "c"]);
  assert.equal(memory.read("beta"), "", "this tenant was inactive for longest");
  assert.equal(memory.size, 3);
});

Deno.test("with a limit of 0 no line is remembered", () => {
  const memory = new LogMemory({ lines_max: 0, now });
  memory.remember("acme", [line("one")]);
  assert.deepEqual([memory.read("acme"), memory.size], ["", 0]);
});
