/**
 * A NATS that rejects a process: it logs the reason in a line and ends, or retries with pauses. Real servers and
 * processes. `end_anytime_test.ts` stops at any moment of the start.
 */
import assert from "node:assert/strict";
import { runArq, startArq } from "../arq/testing/run_arq.ts";
import { configFrom } from "../shared/config/load.ts";
import { Answerer } from "../shared/cluster/cluster_answerer.ts";
import { openSpine } from "../shared/spine/open.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { until } from "../shared/testing/until.ts";
import { keptLog } from "../shield/testing/spine.ts";
import { type ClusterMember, startNatsCluster } from "./harness/nats_cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { ended, startTask, withConfig } from "./harness/server_task.ts";
import { silentServer } from "./harness/silent_server.ts";

/** Long enough for a slow machine; a process that hangs takes all of it. */
const DEADLINE_MS = 120_000;

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

Deno.test("a process that may not read the version of the storage reports that, and does not start", async () => {
  await using nats = await startNats({
    jetstream: true,
    config:
      'authorization { users: [{ user: "a", password: "a", permissions: { publish: { allow: ">",\n' +
      '  deny: ["$JS.API.*.*.KV_ARQON_STORAGE", "$JS.API.*.*.KV_ARQON_STORAGE.>"] } } }] }\n',
  });
  const url = withLogin(nats.url, "a:a");
  await withConfig(`[nats]\nurls = ["${url}"]\nrequest_timeout_ms = 100\n`, async (file) => {
    const { code, stderr } = await ended(startTask("shield", file));
    assert.equal(code, 1, stderr);
    assert.match(stderr, /the storage's version cannot be read: .*ARQON_STORAGE/);
    assert.doesNotMatch(stderr, /ready|uncaught|^\s+at /m);
  });
});
