/**
 * The first moments of a process: it answers on its ops port before it has reached any dependency, and every line of
 * its JSON log names its process; NATS that answers late; storage of a later version. Real processes.
 */
import assert from "node:assert/strict";
import { openEmbedded } from "../shared/spine/embedded/embedded.ts";
import { requireStorageVersion } from "../shared/spine/storage_version.ts";
import { testLog } from "../shared/testing/logs.ts";
import { pace } from "../shared/testing/pace.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { type NatsServer, startNats } from "./harness/nats_server.ts";
import { ended, startTask, withConfig } from "./harness/server_task.ts";
import { silentServer } from "./harness/silent_server.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const JSON_LOG = '[log]\nformat = "json"\nlevel = "debug"\n';
/** Only a hanging process takes this long. */
const DEADLINE_MS = 120_000;

type Line = Readonly<Record<string, unknown>>;

/** Lines of its log, as they come; one that is no JSON object fails the test. */
async function* linesOf(child: Deno.ChildProcess): AsyncGenerator<Line> {
  let text = "";
  for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
    const lines = (text + part).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line);
  }
  assert.equal(text, "", "the last line has no end");
}

/** The `starting` line, then the rest. */
async function startingLine(lines: AsyncGenerator<Line>): Promise<Line> {
  for (;;) {
    const { value, done } = await lines.next();
    assert.ok(!done, "it ended before it said that it starts");
    if (value.msg === "starting") return value;
  }
}

async function ask(ops_url: unknown, path: string): Promise<{ status: number; body: string }> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const response = await fetch(`${ops_url}${path}`, { signal });
  return { status: response.status, body: await response.text() };
}

Deno.test("a process that cannot reach NATS yet is alive, has metrics, and is not ready", async (t) => {
  for (const part of ["shield", "brain", "arq"] as const) {
    await t.step(part, async () => {
      using nats = silentServer();
      const spine =
        `[nats]\nurls = ["nats://127.0.0.1:${nats.port}"]\n#constant nats.connect_timeout_ms = 600_000\n`;
      await withConfig(`${JSON_LOG}${spine}`, async (file) => {
        const child = startTask(part, file);
        const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE_MS);
        const lines = linesOf(child);
        const all = [await startingLine(lines)];
        const { ops_url } = all[0]!;
        const live = await ask(ops_url, "/health/live");
        assert.equal(live.status, 200, live.body);
        const ready = await ask(ops_url, "/health/ready");
        assert.equal(ready.status, 503);
        const { status, checks } = JSON.parse(ready.body);
        assert.equal(status, "unavailable");
        assert.match(checks.start.detail, /^starting: (loading the program|connecting to NATS)$/);
        const metrics = await ask(ops_url, "/metrics");
        assert.equal(metrics.status, 200);
        assert.match(metrics.body, /^arqon_build_info\{/m);
        child.kill("SIGTERM");
        for await (const line of lines) all.push(line);
        assert.equal((await child.status).code, 0);
        clearTimeout(timer);
        const [{ node_id }] = all as [Line];
        assert.ok(typeof node_id === "string" && node_id !== "");
        assert.deepEqual(all.filter((line) => line.node_id !== node_id), []);
      });
    });
  }
});

const BUILD = new URL("../policies/build/", import.meta.url).pathname;
const REQUEST_TIMEOUT_MS = 300;
const CONFIG = `
[[reducers]]
name = "counter"
file = "${BUILD}reducers/counter.wasm"
${durableRooms("count-*", 'reducer = "counter"')}
`;

/** Freezes the server again and again, longer than a request may take, until it is disposed. */
function stutter(nats: NatsServer): AsyncDisposable {
  let is_over = false;
  const ending = (async () => {
    while (!is_over) {
      await nats.freeze();
      await pace(2.5 * REQUEST_TIMEOUT_MS);
      nats.resume();
      await pace(REQUEST_TIMEOUT_MS / 2);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      is_over = true;
      await ending;
    },
  };
}

for (const part of ["shield", "brain"] as const) {
  Deno.test(`a ${part} starts on a NATS server that answers late`, async () => {
    await using nats = await startNats({ jetstream: true });
    await using issuer = await createIssuer();
    await using _slow = stutter(nats);
    const urls = `[nats]\nurls = ["${nats.url}"]\nrequest_timeout_ms = ${REQUEST_TIMEOUT_MS}\n`;
    await using _server = await startServer(part, `${urls}${issuer.config}${CONFIG}`, issuer.dir);
  });
}

const PORTS = '[ops]\nport = 0\n[admin]\nport = 0\noperator_tenants = ["*"]\n[server]\nport = 0\n';

Deno.test("a storage that runs with later versions only is refused in one line", async () => {
  await using issuer = await createIssuer();
  const data_dir = `${issuer.dir}/data`;
  const spine = openEmbedded({ log: testLog(), now: Date.now, data_dir });
  await requireStorageVersion(spine, 0, { storage: 9, oldest: 8, reads: 1, by: "9.1.0" });
  await spine.drain();
  const file = `${issuer.dir}/config.toml`;
  await Deno.writeTextFile(file, `${PORTS}data_dir = "${data_dir}"\n${issuer.config}`);
  const { code, stderr } = await ended(startTask("arq", file));
  assert.equal(code, 1, stderr);
  const line = /^.*the storage has version 9 and runs with 8 or newer.*$/m.exec(stderr)?.[0] ?? "";
  assert.match(line, /start ArqonBus 9\.1\.0 or newer, or restore a backup/, stderr);
  assert.ok(!stderr.includes("    at "), stderr);
});
