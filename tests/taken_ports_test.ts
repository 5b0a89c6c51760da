/**
 * A port that is taken is told before anything starts: by `arq serve` and `arq dev`, and by Shield and
 * Brain as programs of their own. Each names the port, its key, and an ArqonBus that has it.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import type { ArqResult } from "../arq/testing/run_arq.ts";
import { startBus } from "./harness/bus.ts";
import type { TestBus } from "./harness/bus.ts";
import { freePorts } from "./harness/free_ports.ts";

const ROOT = new URL("..", import.meta.url).pathname;
/** Nobody answers there: who gets that far does not end by itself. */
const NO_NATS = `\n[nats]\nurls = ["nats://127.0.0.1:1"]\n`;

const portOf = (url: string) => new URL(url).port;

/** A folder as `arq init` makes it, with these ports. */
async function folderOf(client: string, ops: string, admin: string) {
  const cwd = await Deno.makeTempDir({ prefix: "arq-taken-" });
  const ports = ["--port", client, "--ops-port", ops, "--admin-port", admin];
  const { code, stderr } = await runArq(["init", ".", "--no-context", ...ports], { cwd });
  assert.equal(code, 0, stderr);
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
  assert.match(serve.stderr, /^arq: no --config, taking \S+\/config\.toml\n/);
  const told = ["client", "ops", "admin"].map((name, index) =>
    `${name} port: an ArqonBus serves on 127.0.0.1:${ports[index]} already`
  );
  assert.ok(serve.stderr.includes(`arq: ${told.join("; ")}\n`), serve.stderr);
  assert.match(serve.stderr, /set \[server\] port, \[ops\] port, \[admin\] port in config\.toml/);
  await assert.rejects(Deno.stat(`${cwd}/data`), "nothing is begun");
  const options = ["--port", client, "--ops-port", ops, "--admin-port", admin];
  const dev = await runArq(["dev", "--embedded", ...options], { cwd });
  assertPlain(dev);
  assert.match(dev.stderr, /choose others: --port N --ops-port N --admin-port N/);
}

/** The last listener only: those before it are not opened either. */
async function lastTaken(bus: TestBus): Promise<void> {
  const [client = 0, ops = 0] = freePorts(2);
  await using folder = await folderOf(String(client), String(ops), portOf(bus.admin_url));
  const { cwd } = folder;
  const serve = await runArq(["serve"], { cwd });
  assertPlain(serve);
  assert.match(serve.stderr, /admin port: an ArqonBus serves on \S+ already\n.*\[admin\] port/);
  await assert.rejects(Deno.stat(`${cwd}/data`), "nothing is begun");
}

/** Ends on its own although its NATS never answers: the ports come first. */
async function program(bus: TestBus, name: "shield" | "brain", expected: RegExp): Promise<void> {
  const [client = 0, ops = 0] = freePorts(2);
  await using folder = await folderOf(String(client), String(ops), portOf(bus.admin_url));
  const { cwd } = folder;
  const config = await Deno.readTextFile(`${cwd}/config.toml`);
  await Deno.writeTextFile(`${cwd}/config.toml`, config + NO_NATS);
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const flags = String(tasks[name]).split(" ").filter((word) => word.startsWith("--"));
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", ...flags, `${ROOT}${name}/main.ts`, "--config", "config.toml"],
    cwd,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  const text = new TextDecoder().decode(stderr);
  assert.equal(code, 1, text);
  assert.match(text, expected);
  assert.doesNotMatch(text, /\.ts:\d| {4}at /, "no stack trace");
}

Deno.test("a taken port is told before anything starts", async (t) => {
  await using bus = await startBus();
  const admin = new RegExp(
    `admin listener: port ${portOf(bus.admin_url)} on 127\\.0\\.0\\.1 is in use by an ArqonBus ` +
      `\\(\\[admin\\] port\\); stop the other process or choose another port`,
  );
  await t.step("arq serve and arq dev name all three", () => allTaken(bus));
  await t.step("the last one alone is found before the first is opened", () => lastTaken(bus));
  await t.step("a Shield looks before it joins NATS", () => program(bus, "shield", admin));
  await t.step("a Brain looks before it joins NATS", () => program(bus, "brain", admin));
});

Deno.test("arq serve without a configuration says which file it looked for", async () => {
  const cwd = await Deno.makeTempDir({ prefix: "arq-taken-" });
  try {
    const { code, stderr } = await runArq(["serve"], { cwd });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /There is no config\.toml in .*\n {5}give --config FILE; arq init writes/);
  } finally {
    await Deno.remove(cwd, { recursive: true });
  }
});
