/**
 * `arq policy` against a real bus, as an operator uses it: deployed policies are enforced on messages, rolled back ones
 * are not. Also where no bus runs, or something else.
 */
import assert from "node:assert/strict";
import wabt from "wabt";
import { startBusWith, type TestBus } from "../../../tests/harness/bus.ts";
import { PATIENT_POLICIES } from "../../../tests/harness/patient_policies.ts";
import { fails, runArq, startArq } from "../../testing/run_arq.ts";

const ROOT = new URL("../../..", import.meta.url).pathname.replace(/\/$/, "");
const BAD_WORDS = `${ROOT}/policies/build/bad_words.wasm`;

const at = (bus: TestBus) => ["--url", bus.url];

async function policy(bus: TestBus, ...args: string[]) {
  const result = await runArq(["policy", ...args, ...at(bus)]);
  assert.equal(result.code, 0, `${args.join(" ")}: ${result.stderr}`);
  return result;
}

/** Publishes and returns the result: the exit code, and why. */
async function publish(bus: TestBus, room: string, text: string): Promise<[number, string]> {
  const { code, stderr } = await runArq(["pub", room, text, ...at(bus)]);
  return [code, stderr];
}

const passes = async (bus: TestBus, room: string, text: string) =>
  assert.deepEqual(await publish(bus, room, text), [0, ""]);

async function blocks(bus: TestBus, room: string, text: string): Promise<void> {
  const [code, stderr] = await publish(bus, room, text);
  assert.equal(code, 5, stderr);
  assert.match(stderr, /Message blocked by policy.*403 policy-rejected/);
}

async function deployAndRollBack(bus: TestBus): Promise<void> {
  const sub = await startArq(["sub", "chat-1", "--count", "3", ...at(bus)]);
  await sub.says("Subscribed");
  await passes(bus, "chat-1", "some malware before");
  const args = ["--room", "chat-*", "--hook", "on_message", "--order", "10", "--name", "bad-words"];
  const deployed = await policy(bus, "deploy", BAD_WORDS, ...args);
  const done =
    /^bad-words is deployed: version 1 of tenant default is in force on this node \(\d+ ms\)\n$/;
  assert.match(deployed.stdout, done);
  const warning = /^arq: .* this policy refuses long messages with 503, from 2,\d{3} of/;
  assert.match(deployed.stderr, warning);
  await blocks(bus, "chat-1", "some malware");
  await passes(bus, "chat-1", "a clean one");
  await passes(bus, "lobby", "malware in another room");
  const again = await policy(bus, "deploy", BAD_WORDS, ...args, "--json");
  assert.equal(JSON.parse(again.stdout).version, 1, "the same again changes nothing");
  const back = await policy(bus, "rollback");
  assert.match(back.stdout, /^the policies of version 0 are back: version 2 of tenant default is/);
  await passes(bus, "chat-1", "malware after");
  const received = await sub.result();
  assert.equal(received.stdout, "some malware before\na clean one\nmalware after\n");
  assert.equal(received.stderr, "Subscribed to chat-1\n", "no connection was dropped");
}

async function observeAndRemove(bus: TestBus): Promise<void> {
  await policy(bus, "deploy", BAD_WORDS, "--observe", "--order=-5");
  await passes(bus, "lobby", "observed malware");
  await policy(bus, "deploy", BAD_WORDS, "--percent", "0%");
  await passes(bus, "lobby", "malware of nobody's share");
  await policy(bus, "deploy", BAD_WORDS);
  await blocks(bus, "lobby", "enforced malware");
  const removed = await policy(bus, "remove", "bad_words");
  assert.match(removed.stdout, /^bad_words is removed: version \d+ of tenant default is in force/);
  await passes(bus, "lobby", "malware without a policy");
  const twice = await runArq(["policy", "remove", "bad_words", ...at(bus)]);
  fails(twice, /no policy is named "bad_words".*404 policy-unknown/);
}

async function listings(bus: TestBus): Promise<void> {
  const acme = ["--tenant", "acme"];
  const none = await policy(bus, "list", ...acme);
  assert.equal(none.stdout, "tenant acme, version 0: no policies\n");
  await policy(bus, "deploy", BAD_WORDS, ...acme, "--percent", "12.5%", "--room", "chat-*");
  const header = `${ROOT}/policies/build/block_header.wasm`;
  await policy(bus, "deploy", header, ...acme, "--order", "-1");
  const listed = await policy(bus, "list", ...acme, "--history");
  const parts = [
    /^tenant acme, version 2: 2 policies\nNAME +ROOM +HOOKS +ORDER +MODE +OF KEYS +MODULE\n/,
    /\nblock_header +\* +on_connect +-1 +enforce +100 % +[0-9a-f]{12} stateful\nbad_words +chat-\* +on_m/,
    /earlier versions\nVERSION.*\n1 .* dev +deploy bad_words +bad_words\n/,
  ];
  for (const part of parts) assert.match(listed.stdout, part);
  const all = await policy(bus, "list", "--all");
  assert.match(all.stdout, /^TENANT +STATE.*\n/);
  assert.match(all.stdout, /\nacme +active +2 +2\n/);
  const json = JSON.parse((await policy(bus, "list", ...acme, "--json")).stdout);
  const names = json.policies.map((one: { name: string }) => one.name);
  assert.deepEqual(names, ["block_header", "bad_words"]);
  const back = await policy(bus, "rollback", ...acme, "--to", "0");
  const [far, head, ...changes] = back.stderr.trimEnd().split("\n");
  assert.match(far ?? "", /^version 0 is 2 changes back, from before the first change; it undoes:/);
  assert.match(head ?? "", /^VERSION +AT +BY +CHANGE/);
  const undone = changes.map((line) => /^(\d+) .* deploy (\w+)/.exec(line)?.slice(1));
  assert.deepEqual(undone, [["2", "block_header"], ["1", "bad_words"]]);
  assert.match(back.stdout, /^the policies of version 0 are back: version 3 of tenant acme is in/);
  const unknown = await runArq(["policy", "rollback", ...acme, "--to", "99", ...at(bus)]);
  fails(unknown, /no version 99; there are 0 to 2/);
}

async function refusals(bus: TestBus, folder: string): Promise<void> {
  const file = `${folder}/no-module.wasm`;
  await Deno.writeTextFile(file, "no module at all");
  fails(await runArq(["policy", "deploy", file, ...at(bus)]), /^arq: .*400 invalid-policy/);
  const hook = ["policy", "deploy", BAD_WORDS, "--hook", "on_connect", ...at(bus)];
  fails(await runArq(hook), /does not export arqon_on_connect/);
  const sound = await runArq(["policy", "reset", ...at(bus)]);
  fails(sound, /readable; nothing was reset.*409 policy-conflict/);
  const where = ["--admin-url", bus.admin_url];
  for (const args of [["list"], ["logs", "-f"], ["deploy", BAD_WORDS]]) {
    const user = await runArq(["policy", ...args, ...where, "--token", bus.token]);
    assert.equal(user.code, 3, user.stderr);
    assert.match(user.stderr, /role-forbidden/);
    assert.doesNotMatch(user.stderr, /eyJ|at .*\.ts:\d/, "no token and no stack trace");
  }
}

async function quarantine(bus: TestBus): Promise<void> {
  const listed = await runArq(["policy", "quarantine", ...at(bus)]);
  assert.deepEqual([listed.code, listed.stdout], [0, "no module is in quarantine\n"]);
  const release = ["policy", "release", "f".repeat(64), ...at(bus)];
  fails(await runArq(release), /is not in quarantine.*404 policy-unknown/);
  fails(await runArq(["policy", "release", "short"]), /64 lowercase hex digits/, 2);
}

/** Logs the payload at level 2 and allows. */
const LOGGER = `(module
  (import "arqon_host_v1" "host_get_payload" (func $payload (result i32)))
  (import "arqon_host_v1" "host_log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "arqon_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "arqon_on_message") (result i32) (local $at i32)
    (local.set $at (call $payload))
    (call $log (i32.const 2)
      (i32.add (local.get $at) (i32.const 4)) (i32.load (local.get $at)))
    (i32.const 0)))`;

async function logs(bus: TestBus, folder: string): Promise<void> {
  const file = `${folder}/logger.wasm`;
  const { buffer } = (await wabt()).parseWat("logger.wat", LOGGER).toBinary({});
  await Deno.writeFile(file, buffer);
  await policy(bus, "deploy", file);
  const people = await startArq(["policy", "logs", "-f", "--count", "2", ...at(bus)]);
  const json = await startArq(["policy", "logs", "-f", "--json", ...at(bus)]);
  const other = await startArq(["policy", "logs", "-f", "--tenant", "acme", ...at(bus)]);
  for (const follower of [people, json, other]) await follower.says("Following the policies");
  await passes(bus, "lobby", "one\nline");
  await passes(bus, "lobby", "two");
  const { code, stdout } = await people.result();
  assert.equal(code, 0);
  assert.match(stdout, /^\d{4}-\S+Z warn +logger {2}one\\u000aline\n\S+ warn +logger {2}two\n$/);
  json.child.kill("SIGINT");
  other.child.kill("SIGINT");
  const lines = (await json.result()).stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ message }) => message), ["one\nline", "two"]);
  const silent = await other.result();
  assert.deepEqual([silent.code, silent.stdout], [130, ""]);
  // A later reader gets the earlier lines.
  const before = await policy(bus, "logs");
  assert.equal(before.stdout, stdout);
  const last = await policy(bus, "logs", "--count", "1", "--json");
  assert.equal(last.stdout, `${JSON.stringify(lines.at(-1))}\n`);
  const nothing = await policy(bus, "logs", "--tenant", "acme");
  assert.equal(nothing.stdout, "");
  assert.match(nothing.stderr, /tenant acme have logged nothing on this node since it started/);
}

Deno.test("arq policy on a running bus", async (t) => {
  await using bus = await startBusWith(PATIENT_POLICIES);
  const folder = await Deno.makeTempDir();
  await t.step("a deployment is enforced, a rollback restores", () => deployAndRollBack(bus));
  await t.step("observe never blocks, nor does a rollout of 0 %", () => observeAndRemove(bus));
  await t.step("list shows the chain in order, its history, all tenants", () => listings(bus));
  await t.step("refusals have a reason, and role admin is required", () => refusals(bus, folder));
  await t.step("quarantine and release name the existing modules", () => quarantine(bus));
  await t.step("logs -f prints what policies log, of one tenant", () => logs(bus, folder));
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a bus that goes away ends logs -f with exit code 4", async () => {
  await using bus = await startBusWith(PATIENT_POLICIES);
  const token = await bus.tokenFor({ role: "admin" });
  const where = ["--admin-url", bus.admin_url, "--token", token];
  const follower = await startArq(["policy", "logs", "-f", ...where]);
  await follower.says("Following");
  await bus.stop();
  const { code, stderr } = await follower.result();
  assert.equal(code, 4, stderr);
  assert.match(stderr, /ended the stream|connection/i);
});

const NOWHERE = ["--admin-url", "http://127.0.0.1:1", "--token", "a.b.c"];

Deno.test("a server that is not a bus has a different error than a refusal", async () => {
  const at = { port: 0, hostname: "127.0.0.1", onListen() {} };
  await using server = Deno.serve(at, () => new Response("<html>", { status: 502 }));
  const admin = ["--admin-url", `http://127.0.0.1:${server.addr.port}/`, "--token", "a.b.c"];
  for (const args of [["list"], ["logs", "-f"]]) {
    const asked = await runArq(["policy", ...args, ...admin]);
    fails(asked, /HTTP 502, but the answer is not ArqonBus's/, 4);
  }
});

Deno.test("a module of more than 1 MiB is not even sent", async () => {
  const file = await Deno.makeTempFile({ suffix: ".wasm" });
  await Deno.writeFile(file, new Uint8Array(1_048_577));
  const deployed = await runArq(["policy", "deploy", file, "--name", "p", ...NOWHERE]);
  fails(deployed, /1048577 bytes; a module has at most 1 MiB/);
  await Deno.remove(file);
});
