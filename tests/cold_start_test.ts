/**
 * The first moments of a process: it answers on its ops port before it has reached any dependency, and every line of
 * its JSON log names its process; NATS that answers late or rejects it, which it logs in a line; storage of a later
 * version. Real processes. `end_anytime_test.ts` stops at any moment of the start.
 */
import assert from "node:assert/strict";
import { operator } from "../shared/spine/nats/testing/nats_log_harness.ts";
import { openEmbedded } from "../shared/spine/embedded/embedded.ts";
import { requireStorageVersion } from "../shared/spine/storage_version.ts";
import { testLog } from "../shared/testing/logs.ts";
import { pace } from "../shared/testing/pace.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { type NatsServer, startNats } from "./harness/nats_server.ts";
import { ended, startTask, withConfig } from "./harness/server_task.ts";
import { silentServer } from "./harness/silent_server.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { runArq, startArq } from "../arq/testing/run_arq.ts";
import { configFrom } from "../shared/config/load.ts";
import { Answerer } from "../shared/cluster/cluster_answerer.ts";
import { openSpine } from "../shared/spine/open.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { until } from "../shared/testing/until.ts";
import { keptLog } from "../shield/testing/spine.ts";
import { type ClusterMember, startNatsCluster } from "./harness/nats_cluster.ts";

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

/** Requests that the server answers between two freezes: it is then as fast as the machine. */
const ANSWERS = 20;

/** Freezes the server again and again, longer than a request may take, until it is disposed. */
async function stutter(nats: NatsServer): Promise<AsyncDisposable> {
  const outside = await operator(nats.url);
  let is_over = false;
  const stuttering = (async () => {
    while (!is_over) {
      await nats.freeze();
      await pace(2.5 * REQUEST_TIMEOUT_MS);
      nats.resume();
      for (let at = 0; at < ANSWERS; at++) await outside.streams.names().next();
      await pace(REQUEST_TIMEOUT_MS / 2);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      is_over = true;
      await stuttering;
      await outside[Symbol.asyncDispose]();
    },
  };
}

for (const part of ["shield", "brain"] as const) {
  Deno.test(`a ${part} starts on a NATS server that answers late`, async () => {
    await using nats = await startNats({ jetstream: true });
    await using issuer = await createIssuer();
    await using _slow = await stutter(nats);
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

const account = (password: string) =>
  `accounts { A { jetstream: enabled, users: [{ user: "a", password: "${password}" }] },\n` +
  '  SYS { users: [{ user: "s", password: "s" }] } }\nsystem_account: SYS\n';
/** Lets the tests' own requests in without a login. */
const OPEN = "no_auth_user: a\n";
const REFUSED = /Authorization Violation/;
const withLogin = (url: string, login: string) => url.replace("nats://", `nats://${login}@`);

/** A user of this test only: the client of another test may still reconnect to a port that belonged to its server. */
const KEPT_OUT = "kept-out";
const KEPT_OUT_LINE = /authentication error.*"kept-out"/i;

function refusals(member: ClusterMember): number {
  return member.logTail().split("\n").filter((line) => KEPT_OUT_LINE.test(line)).length;
}

Deno.test("a wrong password against a cluster is one line and exit 1, after one attempt a server", async (t) => {
  await using cluster = await startNatsCluster(account("right") + OPEN);
  const urls = cluster.urls.map((url) => JSON.stringify(withLogin(url, `${KEPT_OUT}:wrong`)));
  await withConfig(`[nats]\nurls = [${urls.join(", ")}]\n`, async (file) => {
    for (const part of ["shield", "brain", "arq"] as const) {
      await t.step(part, async () => {
        const before = cluster.members.map(refusals);
        const { code, stderr } = await ended(startTask(part, file));
        assert.equal(code, 1, stderr);
        const lines = stderr.split("\n").filter((line) => REFUSED.test(line));
        assert.equal(lines.length, 1, stderr);
        assert.match(
          lines[0] ?? "",
          /NATS at 127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+/,
        );
        assert.doesNotMatch(stderr, /wrong|uncaught|^\s+at /m);
        // A server's log arrives through a pipe, maybe after the refused process has ended.
        const attempts = () => cluster.members.map((member, at) => refusals(member) - before[at]!);
        await until(() => `attempts ${attempts()}`, () => attempts().every((count) => count > 0));
        assert.deepEqual(attempts(), [1, 1, 1]);
      });
    }
    await t.step("arq doctor", async () => {
      const { code, stdout } = await runArq(["doctor", "--config", file]);
      assert.equal(code, 1, stdout);
      assert.match(stdout, /NATS login[\s\S]*Authorization Violation/);
    });
  });
});

Deno.test("a client admitted by one server of a cluster knows the others", async () => {
  await using cluster = await startNatsCluster(account("right") + OPEN);
  const { log } = keptLog();
  const config = configFrom({ nats: { urls: [withLogin(cluster.urls[0]!, "a:right")] } });
  const spine = await openSpine(config, { log, now: Date.now });
  await using _end = atEnd(() => spine.drain());
  const first = spine.status.server;
  await cluster.members[0]!.kill();
  const status = () => JSON.stringify(spine.status);
  const other = () => spine.status.state === "connected" && spine.status.server !== first;
  await until(status, other, DEADLINE_MS);
});

Deno.test("a password that is changed meanwhile is tried with growing pauses, and the right one gets in", async () => {
  await using nats = await startNats({ jetstream: true, config: account("right") });
  const { log } = keptLog();
  const config = configFrom({ nats: { urls: [withLogin(nats.url, "a:right")] } });
  const spine = await openSpine(config, { log, now: Date.now });
  await using _end = atEnd(() => spine.drain());
  const refused = () =>
    nats.logTail().split("\n").filter((line) => /authentication error/i.test(line));
  await nats.reload(account("other"));
  const began_ms = Date.now();
  await until(nats.logTail, () => refused().length >= 6, DEADLINE_MS);
  // Six attempts have at least half of 100, 200, 400, 800 and 1,600 ms between them.
  assert.ok(Date.now() - began_ms >= 1_500, "it knocked without pauses");
  await nats.reload(account("right"));
  await until(nats.logTail, () => spine.status.state === "connected", DEADLINE_MS);
});

Deno.test("SIGTERM ends arq doctor while it waits for a silent server", async () => {
  using server = silentServer();
  const nats =
    `[nats]\nurls = ["nats://127.0.0.1:${server.port}"]\n#constant nats.connect_timeout_ms = 600_000\n`;
  await withConfig(nats, async (file) => {
    const doctor = await startArq(["doctor", "--config", file]);
    await server.received;
    doctor.child.kill("SIGTERM");
    // It rejects if the process continues.
    const { code, stderr } = await doctor.result();
    assert.equal(code, 143, stderr);
  });
});

Deno.test("a process that the cluster does not understand ends in one line", async (t) => {
  await using nats = await startNats({ jetstream: true });
  const log = keptLog();
  const config = configFrom({ nats: { urls: [nats.url] } });
  const spine = await openSpine(config, { log: log.log, now: Date.now });
  const gauges = { wire_version: 9, wire_oldest: 9 };
  const handlers = { node: () => ({ version: "9.1.0", gauges }) };
  const newer = { spine, node_id: "newer", kind: "shield", handlers, log: log.log } as const;
  const answerer = new Answerer({ ...newer, now: Date.now });
  await spine.flush();
  try {
    await withConfig(`[nats]\nurls = ["${nats.url}"]\n`, async (file) => {
      for (const part of ["shield", "brain", "arq"] as const) {
        await t.step(part, async () => {
          const { code, stderr } = await ended(startTask(part, file));
          assert.equal(code, 1, stderr);
          const lines = stderr.split("\n").filter((line) => line.includes("Incompatible version"));
          assert.equal(lines.length, 1, stderr);
          assert.match(lines[0] ?? "", /too old to run with shield newer \(ArqonBus 9\.1\.0\)/);
          assert.doesNotMatch(stderr, /uncaught|^\s+at /m);
        });
      }
    });
  } finally {
    answerer.close();
    await spine.drain();
  }
});
