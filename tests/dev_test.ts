/** `deno task dev` for a newcomer: flags, the JSON line, errors, hot reload, a clean end. */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { runDeno } from "../tasks/checkout/programs.ts";
import { startBus, type TestBus } from "./harness/bus.ts";
import { openText } from "./peers/raw_client.ts";

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
  const [config, ready_config] = [`${dir}/config.toml`, `${dir}/ready.toml`];
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
