/**
 * The ports of a Shield process, with every kind of sockets: no CPU for a while, no file descriptors; and ports that
 * are in use before it starts. `live_config_process_test.ts` and `shared/listeners/tls_reload_test.ts` cover new
 * certificates.
 */
import assert from "node:assert/strict";
import { must, runDeno } from "../tasks/checkout/programs.ts";
import { encodePing, encodePong } from "@arqon/proto";
import { folderWith } from "../arq/testing/disk_io.ts";
import { type ArqResult, runArq, succeeds } from "../arq/testing/run_arq.ts";
import { pace } from "../shared/testing/pace.ts";
import { until } from "../shared/testing/until.ts";
import { startBus, type TestBus } from "./harness/bus.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { freePorts } from "./harness/free_ports.ts";
import { openBinary, type RawClient } from "./peers/raw_client.ts";
import { logged } from "./harness/server_state.ts";

// A Shield without CPU for longer than clients' time to answer its PING: their answers wait unread in its own sockets
// meanwhile, and nobody is disconnected for that. A process that is stopped, not a busy one.

const CLIENTS = 40;

/** More than two heartbeats. */
const HELD_UP_MS = 3_500;

/** Resolves with the PONG; rejects if the connection ends first. */
async function echoed(client: RawClient): Promise<void> {
  client.send(encodePing(new Uint8Array([1])));
  assert.equal((await client.frame()).kind, "pong");
}

async function heldUp(websocket: string): Promise<void> {
  const lines = `heartbeat_ms = 1_000\nwebsocket = "${websocket}"`;
  await using issuer = await createIssuer();
  await using shield = await startServer("shield", issuer.config, issuer.dir, lines);
  const url = shield.socket_url;
  const token = await issuer.tokenFor();
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, () => openBinary(url, token)),
  );
  const answer = () => clients.forEach((client) => client.send(encodePong(new Uint8Array())));
  try {
    await Promise.all(clients.map((client) => client.pinged()));
    // A client that has answered once has to continue.
    answer();
    await Promise.all(clients.map((client) => client.pinged()));
    shield.signal("SIGSTOP");
    answer();
    await pace(HELD_UP_MS);
    shield.signal("SIGCONT");
    await Promise.all(clients.map(echoed));
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
}

for (const websocket of ["native", "own"]) {
  Deno.test(`clients that answered a stalled Shield are not disconnected (${websocket})`, () =>
    heldUp(websocket));
}

// A server whose ports can no longer accept connections and never will: the system's limit of open files is lowered
// below its number of open files. It reports that, also on an existing connection that scraped before, and exits, for
// its supervisor.

const ANSWER_MS = 5_000;

/** The page of metrics, on the connection of an earlier request; undefined if nobody answers. */
async function pageOf(ops_url: string): Promise<string | undefined> {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    return await (await fetch(`${ops_url}/metrics`, { signal })).text();
  } catch {
    return undefined;
  }
}

/** The last answered page. */
async function lastPage(ops_url: string): Promise<string> {
  let last = "";
  await until("nobody answers", async () => {
    const page = await pageOf(ops_url);
    last = page ?? last;
    return page === undefined;
  });
  return last;
}

function valueOf(page: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(page)?.[1]);
}

for (const websocket of ["native", "own"] as const) {
  Deno.test(`a Shield that can no longer accept connections ends with 1 (${websocket})`, async () => {
    await using issuer = await createIssuer();
    const limits =
      "[limits]\n#constant limits.listener_gone_ms = 3000\n#constant limits.listener_probe_ms = 200\n";
    const lines = `websocket = "${websocket}"`;
    await using shield = await startServer("shield", issuer.config + limits, issuer.dir, lines);
    const url = new URL(shield.ready.url ?? "");
    assert.ok(await pageOf(shield.ready.ops_url!));
    await must("prlimit", ["--pid", `${shield.pid}`, "--nofile=5:5"]);
    // New connections, which it cannot accept.
    const strangers = await Promise.all([1, 2, 3].map(() => (
      Deno.connect({ hostname: "127.0.0.1", port: Number(url.port) })
    )));
    const page = await lastPage(shield.ready.ops_url!);
    for (const name of ["shield_accept_failures_total", "shield_probe_failures_total"]) {
      assert.ok(valueOf(page, name) > 0, `${name} in ${page}`);
    }
    const { code } = await shield.status;
    assert.equal(code, 1, shield.log());
    await logged(shield, /draining after a fatal error/);
    for (const stranger of strangers) stranger.close();
  });
}

// A port in use is reported before anything starts: by `arq serve` and `arq dev`, and by Shield and Brain as separate
// programs. Each names the port, its key, and an ArqonBus that uses it.

const ROOT = new URL("..", import.meta.url).pathname;

/** Nobody answers there: a process that gets that far does not exit. */
const NO_NATS = `\n[nats]\nurls = ["nats://127.0.0.1:1"]\n`;

const portOf = (url: string) => new URL(url).port;

/** A folder as `arq init` creates it, with these ports. */
async function folderOf(client: string, ops: string, admin: string) {
  const cwd = await Deno.makeTempDir({ prefix: "arq-taken-" });
  const ports = ["--port", client, "--ops-port", ops, "--admin-port", admin];
  succeeds(await runArq(["init", ".", "--no-context", ...ports], { cwd }));
  return { cwd, [Symbol.asyncDispose]: () => Deno.remove(cwd, { recursive: true }) };
}

function assertPlain({ code, stdout, stderr }: ArqResult): void {
  assert.equal(code, 1, stderr);
  assert.equal(stdout, "");
  assert.doesNotMatch(stderr, /\.ts:\d| {4}at /, "no stack trace");
}

async function allTaken(bus: TestBus): Promise<void> {
  const ports = [bus.url, bus.ops_url, bus.admin_url].map(portOf);
  const [client = "", ops = "", admin = ""] = ports;
  await using folder = await folderOf(client, ops, admin);
  const { cwd } = folder;
  const serve = await runArq(["serve"], { cwd });
  assertPlain(serve);
  assert.match(serve.stderr, /^arq: no --config, using \S+\/config\.toml\n/);
  const expected = ["client", "ops", "admin"].map((name, index) =>
    `${name} port: an ArqonBus serves on 127.0.0.1:${ports[index]} already`
  );
  assert.ok(serve.stderr.includes(`arq: ${expected.join("; ")}\n`), serve.stderr);
  assert.match(serve.stderr, /set \[server\] port, \[ops\] port, \[admin\] port in config\.toml/);
  await assert.rejects(Deno.stat(`${cwd}/data`), "nothing is begun");
  const options = ["--port", client, "--ops-port", ops, "--admin-port", admin];
  const dev = await runArq(["dev", "--embedded", ...options], { cwd });
  assertPlain(dev);
  assert.match(dev.stderr, /choose others: --port N --ops-port N --admin-port N/);
}

/** Only the last listener's: the others are not opened either. */
async function lastTaken(bus: TestBus): Promise<void> {
  const [client = 0, ops = 0] = freePorts(2);
  await using folder = await folderOf(String(client), String(ops), portOf(bus.admin_url));
  const { cwd } = folder;
  const serve = await runArq(["serve"], { cwd });
  assertPlain(serve);
  assert.match(serve.stderr, /admin port: an ArqonBus serves on \S+ already\n.*\[admin\] port/);
  await assert.rejects(Deno.stat(`${cwd}/data`), "nothing is begun");
}

/** Exits although its NATS never answers: the ports are opened first. */
async function program(bus: TestBus, name: "shield" | "brain", expected: RegExp): Promise<void> {
  const [client = 0, ops = 0] = freePorts(2);
  await using folder = await folderOf(String(client), String(ops), portOf(bus.admin_url));
  const { cwd } = folder;
  const config = await Deno.readTextFile(`${cwd}/config.toml`);
  await Deno.writeTextFile(`${cwd}/config.toml`, config + NO_NATS);
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const flags = String(tasks[name]).split(" ").filter((word) => word.startsWith("--"));
  const args = ["run", ...flags, `${ROOT}${name}/main.ts`, "--config", "config.toml"];
  const { code, stderr: text } = await runDeno(args, { cwd });
  assert.equal(code, 1, text);
  assert.match(text, expected);
  assert.doesNotMatch(text, /\.ts:\d| {4}at /, "no stack trace");
}

Deno.test("a port in use is reported before anything starts", async (t) => {
  await using bus = await startBus();
  const admin = new RegExp(
    `admin listener: port ${portOf(bus.admin_url)} on 127\\.0\\.0\\.1 is in use by an ArqonBus ` +
      `\\(\\[admin\\] port\\); stop the other process or choose another port`,
  );
  await t.step("arq serve and arq dev name all three", () => allTaken(bus));
  await t.step("the last one alone is found before the first is opened", () => lastTaken(bus));
  await t.step("a Shield checks before it joins NATS", () => program(bus, "shield", admin));
  await t.step("a Brain checks before it joins NATS", () => program(bus, "brain", admin));
});

Deno.test("arq serve without a configuration or an issuer says so in a sentence", async () => {
  await using folder = await folderWith({ "nobody.toml": "[server]\nport = 0\n" });
  const cases: [args: string[], stderr: RegExp][] = [
    [[], /There is no config\.toml in .*\n {5}give --config FILE; arq init writes/],
    [["--config", "nobody.toml"], /nobody\.toml: \[\[auth\.issuers\]\] is missing/],
  ];
  for (const [args, expected] of cases) {
    const { code, stderr } = await runArq(["serve", ...args], { cwd: folder.path });
    assert.equal(code, 2, stderr);
    assert.match(stderr, expected);
    assert.doesNotMatch(stderr, /^\s+at /m);
  }
});
