/**
 * `deno task dev` for a newcomer: flags, the JSON line, errors, hot reload, a clean end; `arq dev` and its background
 * process for a person: the embedded bus, since no Docker daemon runs here.
 */
import assert from "node:assert/strict";
import { seen, until } from "../shared/testing/until.ts";
import { runDeno } from "../tasks/checkout/programs.ts";
import { startBus, type TestBus } from "./harness/bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { openText } from "./peers/raw_client.ts";
import { join } from "node:path";
import { decodeJwt } from "@panva/jose";
import { type ArqResult, runArq, startArq, succeeds } from "../arq/testing/run_arq.ts";
import { dockerProblem } from "../arq/serve/stack.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

const dev = (args: readonly string[]) =>
  runDeno(["run", "--allow-run", "--allow-read", "tasks/dev/dev.ts", ...args]);

async function announcements(): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(`${ROOT}/.arqon/dev`))).map(({ name }) => name);
  } catch (error) {
    // In a fresh clone no development bus has ever run.
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

Deno.test("dev reports invalid arguments, exit 2", async () => {
  const cases: [args: string[], text: RegExp][] = [
    [["--port", "70000"], /--port is "70000"; expected a whole number from 0 to 65535/],
    [["--ops-port", "x"], /--ops-port is "x"; expected/],
    [["--observe-port", "x"], /--observe-port is "x"; expected/],
    [["--colour"], /--colour/],
    [["extra"], /extra/],
    [["--nats", "localhost"], /nats:\/\/127\.0\.0\.1:4222/],
  ];
  for (const [args, text] of cases) {
    const { code, stderr } = await dev(args);
    assert.equal(code, 2, stderr);
    assert.match(stderr, text);
    assert.doesNotMatch(stderr, /^\s+at /m);
  }
});

Deno.test("dev is found by its announcement while it runs, and leaves nothing behind", async () => {
  const bus = await startBus();
  // Other tests start and stop buses here, too.
  const texts = await Promise.all((await announcements()).map(async (name) => ({
    name,
    text: await Deno.readTextFile(`${ROOT}/.arqon/dev/${name}`).catch(() => "{}"),
  })));
  const own = texts.filter(({ text }) => JSON.parse(text).url === bus.url);
  assert.equal(own.length, 1);
  const key = await Deno.stat(`${ROOT}/.arqon/dev-key.json`);
  assert.equal((key.mode ?? 0) & 0o077, 0, "the private key is for its owner only");
  assert.equal((await bus.stop()).code, 0, bus.log());
  assert(!(await announcements()).includes(own[0]?.name ?? ""));
});

Deno.test("dev ends with its supervisor, however that ends", async () => {
  const bus = await startBus();
  const client = await openText(bus.url, bus.token);
  await bus.stop("SIGKILL");
  assert.equal((await client.closed()).code, 1012);
});

Deno.test("dev starts the console's thread for replays when a page requests it", async () => {
  await using bus = await startBus();
  const thread = await fetch(`${bus.admin_url}/console/replay_worker.js`);
  const text = await thread.text();
  assert.equal(thread.status, 200, bus.log());
  assert.equal(thread.headers.get("content-type"), "text/javascript; charset=utf-8");
  assert.match(text, /WebAssembly/);
});

const untilReadyAgain = (bus: TestBus): Promise<void> =>
  until(() => bus.log(), () => bus.log().includes("ready again"));

Deno.test("dev restarts on a source change, on the same ports, and clients can reconnect", async () => {
  await using bus = await startBus([], true);
  const client = await openText(bus.url, bus.token);
  const now = new Date();
  // The watcher sees only a new modification time when an editor saves without a change.
  await Deno.utime(`${ROOT}/shield/main.ts`, now, now);
  assert.equal((await client.closed()).code, 1012);
  await untilReadyAgain(bus);
  (await openText(bus.url, bus.token))[Symbol.dispose]();
});

Deno.test("dev restarts for a source change during its start", async () => {
  const dir = await Deno.makeTempDir();
  const config = `${dir}/config.toml`;
  const ready_config = `${dir}/ready.toml`;
  await Deno.writeTextFile(ready_config, "");
  await new Deno.Command("mkfifo", { args: [config] }).output();
  const starting = startBus(["--config", config], true);
  // Opens when the bus reads it, and the bus is not ready before it has read to the end.
  const reading = await Deno.open(config, { write: true });
  const now = new Date();
  await Deno.utime(`${ROOT}/shield/main.ts`, now, now);
  await Deno.rename(ready_config, config);
  reading.close();
  await using bus = await starting;
  await untilReadyAgain(bus);
  (await openText(bus.url, bus.token))[Symbol.dispose]();
  await Deno.remove(dir, { recursive: true });
});

const FREE = ["--port", "0", "--ops-port", "0", "--admin-port", "0"];

async function place() {
  const path = await Deno.makeTempDir({ prefix: "arq dev-" });
  const config_home = join(path, "home");
  const arq = (...args: string[]) => runArq(args, { cwd: path, config_home });
  const run = (...args: string[]) => arq("dev", ...args);
  return {
    path,
    run,
    dev: join(path, ".arqon", "dev"),
    arq,
    [Symbol.asyncDispose]: async () => {
      await run("down");
      await Deno.remove(path, { recursive: true });
    },
  };
}

async function pidOf(run: (...args: string[]) => Promise<ArqResult>): Promise<number> {
  const { pid } = JSON.parse(succeeds(await run("status", "--json")));
  assert.ok(Number.isSafeInteger(pid));
  return pid;
}

Deno.test("up starts the bus once, commands find it, down drains it, its state stays until reset", async () => {
  await using here = await place();
  const { run, arq } = here;
  const up = JSON.parse(succeeds(await run("up", "--embedded", ...FREE, "--json")));
  assert.deepEqual(Object.keys(up), ["url", "ops_url", "admin_url", "token", "tenant"]);
  const again = await run("up", "--embedded", "--json");
  assert.equal(JSON.parse(succeeds(again)).url, up.url);
  assert.match(again.stderr, /it runs already: ws:.* \(pid \d+\)/);
  succeeds(await arq("pub", "orders", '{"item":"tea"}'));

  const follower = await startArq(["dev", "logs", "-f"], { cwd: here.path });
  const client = await openText(up.url, up.token);
  const down = await run("down");
  assert.equal(down.code, 0);
  assert.match(down.stderr, /the embedded bus \(pid \d+\) has ended/);
  assert.equal((await client.closed()).code, 1012);
  // It follows until the bus ends, and then ends.
  const { code, stdout } = await follower.result();
  assert.equal(code, 0);
  assert.match(stdout, /msg="an operator drains this process"[\s\S]*msg="stopped"[^\n]*\n$/);
  assert.equal((await run("status")).code, 1);
  assert.match((await run("down")).stderr, /nothing runs here/);

  succeeds(await run("up", "--embedded", ...FREE));
  const kept = await arq("sub", "orders", "--from", "0", "--count", "1", "--json");
  assert.deepEqual(JSON.parse(succeeds(kept)).data, { item: "tea" });
  const unsure = await run("reset");
  assert.equal(unsure.code, 2);
  assert.match(unsure.stderr, /No terminal to ask\n\s+confirm with --yes/);
  // As arq restore leaves it.
  const aside = join(here.dev, "data", "before-restore-1");
  await Deno.mkdir(aside);
  await Deno.writeTextFile(join(aside, "log.sqlite"), "");
  assert.match((await run("reset", "--yes")).stderr, /has ended and its state is deleted/);
  const names = (await Array.fromAsync(Deno.readDir(here.dev))).map(({ name }) => name);
  assert.deepEqual(names, []);
});

Deno.test("in a folder of arq init, auth gen uses the bus's key that every other command uses", async () => {
  await using here = await place();
  const { run, arq } = here;
  succeeds(await arq("init"));
  const issuerOf = (token: string) => decodeJwt(token.trim()).iss;
  // Before one runs, the folder's own bus is used.
  const local = succeeds(await arq("auth", "gen"));
  assert.equal(issuerOf(local), "arqon-local");
  const up = JSON.parse(succeeds(await run("up", "--embedded", ...FREE, "--json")));
  const shown = JSON.parse(succeeds(await arq("context", "show", "--json")));
  assert.equal(shown.url, up.url);
  assert.equal(shown.issuer, "arqon-dev");
  assert.equal(shown.key, join(here.path, ".arqon", "dev-key.json"));
  assert.match(shown.why, /it runs in the folder/);
  const token = succeeds(await arq("auth", "gen"));
  assert.equal(issuerOf(token), shown.issuer);
  const publish = (token: string) => {
    const peer = new HttpPeer(new URL(up.url).origin.replace("ws", "http"), token.trim());
    return peer.call("POST", "rooms/lobby/messages", { type: "chat", data: "hello" });
  };
  assert.equal((await publish(token)).status, 200);
  const admin = succeeds(await arq("auth", "gen", "--role", "admin"));
  assert.equal((await new HttpPeer(up.admin_url, admin.trim()).get("status")).status, 200);

  // A token of the other key: the refusal names its bus, and how to get another.
  const { status, body } = await publish(local);
  assert.equal(status, 401);
  assert.match(body.detail, /"arqon-local" is not trusted/);
  const refused = await arq("pub", "lobby", "hello", "--url", up.url, "--token", local);
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /"arqon-local" is not trusted.*401 token-issuer/);
  assert.match(refused.stderr, /arq context show says which bus, key and issuer are used here/);
  const named = await arq("pub", "lobby", "hello", "--context", "local", "--url", up.url);
  assert.match(named.stderr, /"arqon-local".*\n.*context local signed it with .*arq context show/);
});

Deno.test("the leftovers of a killed bus are ignored, and another program's process is not killed for it", async () => {
  await using here = await place();
  const { run } = here;
  succeeds(await run("up", "--embedded", ...FREE));
  Deno.kill(await pidOf(run), "SIGKILL");
  const command = new Deno.Command("sleep", { args: ["600"], stdin: "null", stdout: "null" });
  const stranger = command.spawn();
  // The recorded pid has been reused by another program.
  const record = { kind: "embedded", pid: stranger.pid, started_ms: 1 };
  await Deno.writeTextFile(join(here.dev, "up.json"), JSON.stringify(record));
  assert.equal((await run("status")).code, 1);
  assert.match((await run("down")).stderr, /nothing runs here/);
  stranger.kill("SIGCONT");
  stranger.kill("SIGTERM");
  assert.equal((await stranger.status).signal, "SIGTERM");
  succeeds(await run("up", "--embedded", ...FREE));
  assert.equal((await run("status")).code, 0);
});

Deno.test("a bus that does not answer is ended by a signal", async () => {
  await using here = await place();
  const { run } = here;
  const { ops_url } = JSON.parse(succeeds(await run("up", "--embedded", ...FREE, "--json")));
  const pid = await pidOf(run);
  // As if it already drained: it is no longer announced, so only a signal is left.
  await Deno.remove(join(here.dev, `${pid}.json`));
  assert.match((await run("down")).stderr, /has ended/);
  await assert.rejects(fetch(`${ops_url}/health/live`), TypeError);
});

Deno.test("up reports why it cannot start: a port in use, an invalid folder, an invalid option", async () => {
  await using here = await place();
  const { run } = here;
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  (async () => {
    for await (const connection of taken) connection.close();
  })();
  const { port } = taken.addr;
  const busy = await run("up", "--embedded", "--port", String(port));
  assert.equal(busy.code, 1);
  assert.match(
    busy.stderr,
    new RegExp(`client port: 127.0.0.1:${port} is in use by .*\\n.*--port N`),
  );
  assert.equal((await run("status")).code, 1, "nothing is left of it");
  assert.equal((await run("up", "--port", "70000")).code, 2);
  const nowhere = await run("up", "--compose", "gone.yaml");
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /there is no .*gone\.yaml/);

  await Deno.remove(join(here.path, ".arqon"), { recursive: true });
  await Deno.writeTextFile(join(here.path, ".arqon"), "a file");
  const blocked = await run("up", "--embedded");
  assert.equal(blocked.code, 1);
  assert.match(blocked.stderr, /cannot make .*\.arqon.*\n.*folder that you may write to/);
  await Deno.remove(join(here.path, ".arqon"));
});

Deno.test("without a working Docker, an explicit compose file is refused, else the embedded bus starts", async () => {
  const why = await dockerProblem(new AbortController().signal);
  // With a working Docker, this would start the whole stack, including images.
  if (why === undefined) return;
  await using here = await place();
  await Deno.writeTextFile(join(here.path, "own.yaml"), "services: {}\n");
  const refused = await here.run("up", "--compose", "own.yaml");
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /Docker.*\n.*arq dev up --embedded/);
  const up = await here.run("up", ...FREE);
  assert.equal(up.code, 0, up.stderr);
  assert.ok(up.stderr.includes(`arq: ${why}: this is the embedded bus`), up.stderr);
});

Deno.test("dev in the foreground is found, is not ended by down, and drains at its signal", async () => {
  await using here = await place();
  const foreground = await startArq(["dev", "--embedded", ...FREE], { cwd: here.path });
  await foreground.says("the policies are ready");
  const ask = () => here.run("status");
  const status = (await seen("the bus is found", ask, ({ code }) => code === 0)).stdout;
  assert.match(status, /a bus in the foreground runs on ws:/);
  const down = await here.run("down");
  assert.equal(down.code, 1);
  assert.match(down.stderr, /not started by arq dev up\n.*Ctrl-C/);
  assert.match((await here.run("up", "--embedded")).stderr, /it runs already/);
  foreground.child.kill("SIGINT");
  const { code, stdout } = await foreground.result();
  assert.equal(code, 0, foreground.stderr());
  assert.match(stdout, /ArqonBus is ready\.[\s\S]*arq sub lobby[\s\S]*Ctrl-C ends it\./);
});
