/**
 * The real command as its own process against a real bus, as a person or a script uses it. `usage_test.ts` has what
 * needs no bus.
 */
import assert from "node:assert/strict";
import { decodeJwt } from "@panva/jose";
import { pace } from "../shared/testing/pace.ts";
import { startBus, type TestBus } from "../tests/harness/bus.ts";
import { DEV_AUDIENCE, DEV_ISSUER, DEV_TENANT } from "./bus/dev_bus.ts";
import { runArq, startArq, succeeds } from "./testing/run_arq.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

const at = (bus: TestBus) => ["--url", bus.url];

async function byteForByte(bus: TestBus, folder: string): Promise<void> {
  const lines = Array.from(
    { length: 500 },
    (_, n) => `{ "n":${n}, "big": 1234567890123456789${n} }`,
  );
  const input = `${lines.join("\n")}\n`;
  const file = `${folder}/events.ndjson`;
  await Deno.writeTextFile(file, input);
  const sub = await startArq(["sub", "github", "--count", "500", ...at(bus)]);
  await sub.says("Subscribed to github");
  const pub = await runArq(["pub", "github", "--ndjson", "events.ndjson", ...at(bus)], {
    cwd: folder,
  });
  assert.equal(pub.code, 0, pub.stderr);
  assert.match(pub.stderr, /Published 500 messages to github/);
  const { code, stdout } = await sub.result();
  assert.equal(code, 0);
  assert.equal(stdout, input);
}

async function jsonLines(bus: TestBus): Promise<void> {
  const sub = await startArq(["sub", "a", "b", "--json", "--count", "3", ...at(bus)]);
  await sub.says("Subscribed to a, b");
  await runArq(["pub", "a", '{ "x" : 1.0 }', "--type", "t1", ...at(bus)]);
  await runArq(["pub", "b", "just text", ...at(bus)]);
  const piped = await runArq(["pub", "b", "--ndjson", "-", "--json", ...at(bus)], {
    stdin: "[1,  2]",
  });
  assert.equal(JSON.parse(piped.stdout).published, 1);
  const lines = (await sub.result()).stdout.trimEnd().split("\n");
  assert.ok(lines[0]?.endsWith(',"data":{ "x" : 1.0 }}'), lines[0]);
  const parsed = lines.map((line) => JSON.parse(line));
  assert.deepEqual(parsed.map((line) => [line.room, line.type, line.sender]), [
    ["a", "t1", "dev"],
    ["b", "message", "dev"],
    ["b", "message", "dev"],
  ]);
  assert.equal(parsed[1].data, "just text");
  assert.ok(lines[2]?.endsWith(',"data":[1,  2]}'), lines[2]);
}

/** Without DATA all of stdin is one event: JSON, text without the line end of echo, or bytes. */
async function fromStdin(bus: TestBus): Promise<void> {
  const sub = await startArq(["sub", "stdin", "--json", "--count", "3", ...at(bus)]);
  await sub.says("Subscribed to stdin");
  const bytes = new Uint8Array([0xff, 0xfe, 10]);
  for (const stdin of ['{ "two":\n"lines" }\n', "plain text\n", bytes]) {
    succeeds(await runArq(["pub", "stdin", ...at(bus)], { stdin }));
  }
  const lines = (await sub.result()).stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ content_type, data }) => [content_type, data]), [
    ["application/json", { two: "lines" }],
    ["text/plain", "plain text"],
    ["application/octet-stream", { base64: "//4K" }],
  ]);
  const big = await runArq(["pub", "stdin", ...at(bus)], { stdin: new Uint8Array(16_777_217) });
  assert.equal(big.code, 1);
  assert.match(big.stderr, /stdin has more than 16777216 bytes.*\n {5}--ndjson - publishes/);
}

async function interrupted(bus: TestBus): Promise<void> {
  const sub = await startArq(["sub", "lobby", ...at(bus)]);
  await sub.says("Subscribed");
  sub.child.kill("SIGINT");
  const ended = await sub.result();
  assert.deepEqual([ended.code, ended.stderr], [130, "Subscribed to lobby\n"]);
  const pub = await startArq(["pub", "lobby", "--ndjson", "-", ...at(bus)], { keep_stdin: true });
  const subscriber = await startArq(["sub", "lobby", "--count", "1", ...at(bus)]);
  await subscriber.says("Subscribed");
  const writer = pub.child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("1\n"));
  await subscriber.result();
  pub.child.kill("SIGINT");
  const { code, stderr } = await pub.result();
  assert.equal(code, 130);
  // The subscriber may receive the message before its publisher gets the acknowledgement.
  assert.match(stderr, /^arq: stopped after [01] acknowledged messages\n$/);
  await writer.close().catch(() => {});
}

async function brokenPipe(bus: TestBus): Promise<void> {
  const sub = await startArq(["sub", "pipe", ...at(bus)]);
  await sub.says("Subscribed");
  const reader = sub.child.stdout.getReader();
  await runArq(["pub", "pipe", "1", ...at(bus)]);
  assert.equal(new TextDecoder().decode((await reader.read()).value), "1\n");
  await reader.cancel();
  // The first write after that fails because of the closed pipe.
  await runArq(["pub", "pipe", "2", ...at(bus)]);
  const status = await sub.child.status;
  assert.equal(status.code, 0);
}

async function badLine(bus: TestBus, folder: string): Promise<void> {
  const file = `${folder}/bad.ndjson`;
  await Deno.writeTextFile(file, '{"n":1}\n{"n":\n{"n":3}\n');
  const sub = await startArq(["sub", "strict", "--count", "1", ...at(bus)]);
  await sub.says("Subscribed");
  const { code, stderr } = await runArq(["pub", "strict", "--ndjson", file, ...at(bus)]);
  assert.equal(code, 1);
  assert.match(stderr, /bad\.ndjson, line 2: not JSON/);
  await runArq(["pub", "strict", '"first"', ...at(bus)]);
  assert.equal((await sub.result()).stdout, '"first"\n');
}

async function notAllowed(bus: TestBus, folder: string): Promise<void> {
  const claims = { grants: [{ room: "chat-*", actions: ["subscribe"] }] };
  const token = await bus.tokenFor({ claims });
  const pub = await runArq(["pub", "lobby", "1", ...at(bus), "--token", token]);
  assert.equal(pub.code, 3);
  assert.match(pub.stderr, /publish.*403 not-granted/);
  await Deno.writeTextFile(`${folder}/token`, `${await bus.tokenFor({ ttl_seconds: -3_600 })}\n`);
  const sub = await runArq(["sub", "lobby", ...at(bus), "--token-file", "token"], { cwd: folder });
  assert.equal(sub.code, 3);
  assert.match(sub.stderr, /expired.*401 token-expired/);
  assert.match(sub.stderr, /arq auth gen --role user/);
  assert.doesNotMatch(sub.stderr + pub.stderr, /eyJ|at .*\.ts:\d/, "no token and no stack trace");
}

async function status(bus: TestBus): Promise<void> {
  const people = succeeds(await runArq(["status", ...at(bus)]));
  assert.match(people, /^ready {2}http/);
  assert.match(people, /node_id +shield-/);
  assert.match(people, /uptime +(\d+h )?(\d+m )?\d+s\n/);
  assert.match(people, /spine +engine embedded, state connected, since_ms .*, reconnects 0/);
  assert.match(
    people,
    /keys +issuer arqon-dev, source jwks_file, keys 1, healthy true, loaded_ms \d{4}-/,
  );
  const token = await bus.tokenFor({ role: "admin" });
  const where = ["--ops-url", bus.ops_url, "--admin-url", bus.admin_url];
  const json = await runArq(["status", "--json", ...where, "--token", token]);
  const report = JSON.parse(json.stdout);
  assert.equal(report.ready, true);
  assert.equal(typeof report.status.connections, "number");
  const user = await runArq(["status", ...where, "--token", bus.token]);
  assert.equal(user.code, 3);
  assert.match(user.stderr, /role-forbidden/);
}

async function foundByItself(bus: TestBus, folder: string): Promise<void> {
  const state = `${folder}/.arqon/dev`;
  await Deno.mkdir(state, { recursive: true });
  const bus_file = {
    url: bus.url,
    ops_url: bus.ops_url,
    admin_url: bus.admin_url,
    token: bus.token,
    tenant: DEV_TENANT,
    issuer: DEV_ISSUER,
    audience: DEV_AUDIENCE,
    key_file: `${ROOT}/.arqon/dev-key.json`,
    started_ms: Date.now() + 1_000_000,
  };
  await Deno.writeTextFile(`${state}/1.json`, JSON.stringify(bus_file));
  // A newer bus that was killed, and a file that is no announcement.
  const dead = { ...bus_file, ops_url: "http://127.0.0.1:1", started_ms: Date.now() + 2_000_000 };
  await Deno.writeTextFile(`${state}/2.json`, JSON.stringify(dead));
  await Deno.writeTextFile(`${state}/3.json`, "[]");
  const below = `${folder}/below`;
  await Deno.mkdir(below);
  succeeds(await runArq(["status", "--json"], { cwd: below }));
  const gen = await runArq(["auth", "gen", "--role", "service"], { cwd: below });
  const token = gen.stdout.trim();
  assert.equal(decodeJwt(token)["role"], "service");
  succeeds(await runArq(["pub", "lobby", "1", "--token", token], { cwd: below }));
}

Deno.test("arq on a running bus", async (t) => {
  await using bus = await startBus();
  const folder = await Deno.makeTempDir();
  await t.step(
    "lines are published and received byte for byte and in order",
    () => byteForByte(bus, folder),
  );
  await t.step("--json gives one object a line with the data as it was", () => jsonLines(bus));
  await t.step("without DATA stdin is the event", () => fromStdin(bus));
  await t.step("Ctrl-C ends cleanly, also while stdin is silent", () => interrupted(bus));
  await t.step("a closed pipe ends it silently", () => brokenPipe(bus));
  await t.step(
    "a bad line in a file is named, and nothing of the file is sent",
    () => badLine(bus, folder),
  );
  await t.step("a refusal by the token is exit code 3, in words", () => notAllowed(bus, folder));
  await t.step("status prints readiness, and figures with an admin's token", () => status(bus));
  await t.step(
    "the running bus and its key are found automatically",
    () => foundByItself(bus, folder),
  );
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a bus that is killed and restarted: its publisher and subscriber continue", async () => {
  const first = await startBus();
  const port = new URL(first.url).port;
  const args = ["--url", first.url, "--token", first.token];
  const sub = await startArq(["sub", "lobby", "--count", "2", ...args]);
  const probe = await startArq(["sub", "lobby", "--count", "1", ...args]);
  await Promise.all([sub.says("Subscribed"), probe.says("Subscribed")]);
  const pub = await startArq(["pub", "lobby", "--ndjson", "-", ...args], { keep_stdin: true });
  const writer = pub.child.stdin.getWriter();
  const write = (line: number) => writer.write(new TextEncoder().encode(`${line}\n`));
  await write(1);
  await probe.result();
  await first.stop("SIGKILL");
  await Promise.all([sub.says("reconnecting"), pub.says("reconnecting")]);
  await using _second = await startBus(["--port", port]);
  await Promise.all([sub.says("connected again"), pub.says("connected again")]);
  await sub.says("GAP in lobby: reconnect");
  const result = sub.result();
  let ended = false;
  result.finally(() => ended = true);
  // One of these arrives after the second SUB: publishing continues until then.
  let line = 1;
  while (!ended) {
    await write(++line);
    await Promise.race([result, pace(20)]);
  }
  await writer.close();
  assert.match((await result).stdout, /^1\n\d+\n$/);
  const published = await pub.result();
  assert.equal(published.code, 0, published.stderr);
  assert.match(published.stderr, new RegExp(`Published ${line} messages`));
  await first[Symbol.asyncDispose]();
});
