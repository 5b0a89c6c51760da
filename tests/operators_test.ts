/**
 * Operators' tools during faults: logs, readiness, metrics and `arq doctor` of real processes whose log cannot be
 * written, that drain, that differ, or whose NATS lacks JetStream or a leader.
 */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectNats } from "@nats-io/transport-deno";
import { runArq, succeeds } from "../arq/testing/run_arq.ts";
import { connect } from "../sdk/typescript/mod.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { until } from "../shared/testing/until.ts";
import { startBus } from "./harness/bus.ts";
import { createIssuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { startLocalShield } from "./harness/local_bus.ts";
import { startNatsCluster } from "./harness/nats_cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { samplesOf } from "./harness/server_state.ts";
import { DurableClient } from "./peers/durable_client.ts";

/** The longest wait for automatic recovery while servers die and elect new leaders. */
const OUTAGE_MS = 90_000;
/** Runs its arguments as a command with a stderr where every write fails: no space left. */
const FULL_LOG = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"];

Deno.test("a log on a full disk stops nothing", async () => {
  await using bus = await startBus(["--no-watch"], false, FULL_LOG);
  const client = await connect({ url: bus.url, token: bus.token });
  const room = client.room("lobby");
  const messages = room.subscribe();
  await messages.ready;
  // An invalid token is logged; so is the stop.
  const refused = await fetch(`${bus.http_url}/v1/auth/check`, {
    headers: { authorization: "Bearer nonsense" },
  });
  assert.equal(refused.status, 401);
  await refused.body?.cancel();
  await room.publish("chat", "still here");
  for await (const message of messages) {
    assert.equal(message.text(), "still here");
    break;
  }
  await client.close();
  assert.equal((await bus.stop()).code, 0);
});

// What a Shield logs if its NATS server does not meet the requirements. Real processes.

Deno.test("a Shield whose NATS has no JetStream does not start, and names the setting", async () => {
  await using issuer = await createIssuer();
  await using server = await startNats();
  const config = `${issuer.config}\n[nats]\nurls = ["${server.url}"]\n`;
  await assert.rejects(startServer("shield", config, issuer.dir), (error) => {
    assert.ok(error instanceof Error);
    assert.match(error.message, /ended before it was ready/);
    assert.match(error.message, /JetStream is not enabled on the NATS server 127\.0\.0\.1:\d+/);
    assert.match(error.message, /jetstream \{ store_dir: /);
    assert.match(error.message, /--jetstream/);
    return true;
  });
});

// `arq doctor` against Brains with different `[[rooms]]`, and then with the same.

const ROOMS = '[[rooms]]\nroom = "stage-*"\nmembership = "journal"\n';

Deno.test("arq doctor names the Brain whose [[rooms]] differ, and reports nothing if none does", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  await using home = await temporaryFolder();
  const spine = `[nats]\nurls = ["${nats.url}"]\nrequest_timeout_ms = 60_000\n`;
  const startBrain = (rooms: string) =>
    startServer("brain", spine + rooms, issuer.dir, 'node_id = "b1"\ndrain_ms = 0\n');
  // With a Brain.
  await using shield = await startLocalShield(spine + ROOMS + issuer.config, "drain_ms = 0\n");
  const other = await startBrain("");
  const token = `${home.path}/token`;
  await Deno.writeTextFile(token, await issuer.tokenFor({ tenant_id: "ops", role: "admin" }), {
    mode: 0o600,
  });
  const arq = (...args: string[]) => runArq(args, { config_home: home.path, cwd: home.path });
  const { url = "", ops_url = "", admin_url = "" } = shield.ready;
  const urls = ["--url", url.replace("http", "ws"), "--ops-url", ops_url];
  const own = [...urls, "--admin-url", admin_url, "--token-file", token, "--use"];
  succeeds(await arq("context", "add", "bus", ...own));
  const found = async () => {
    const { stdout, stderr } = await arq("doctor", "--json");
    assert.notEqual(stdout, "", stderr);
    const { findings } = JSON.parse(stdout) as {
      findings: { check: string; status: string; text: string }[];
    };
    const admin = findings.find(({ check }) => check === "admin token");
    assert.equal(admin?.status, "ok", stdout);
    return findings.find(({ check }) => check === "room classes");
  };
  await until("the other one is named", async () => {
    const finding = await found();
    return finding?.status === "warn" && /\| brain brain:b1$/.test(finding.text);
  });
  await other.stop();
  await using _again = await startBrain(ROOMS);
  await until("nothing is reported", async () => await found() === undefined);
});

// A NATS bucket without a leader while all other streams are healthy: the Brain reports it to probes and operators,
// `arq doctor` names it, and everything recovers once it has a leader. Real processes on a real cluster; the bucket has
// one replica, and that replica's server is killed.

const STREAM = "KV_ARQON_ROOMS";

/** The bucket of the rooms, with one replica; processes leave the replicas of an existing bucket unchanged. */
async function makeLonely(urls: readonly string[], num_replicas = 1): Promise<void> {
  const connection = await connectNats({ servers: [...urls] });
  await using _end = atEnd(() => connection.close());
  const { streams } = await jetstreamManager(connection);
  await streams.add({
    name: STREAM,
    subjects: ["$KV.ARQON_ROOMS.>"],
    num_replicas,
    max_msgs_per_subject: 1,
    max_bytes: 16_777_216,
    discard: "new",
    allow_rollup_hdrs: true,
    deny_delete: true,
    allow_direct: false,
    allow_msg_ttl: true,
  });
}

/** The storage's part of readiness. */
async function storageOf({ ready }: ServerProcess): Promise<{ status: string; detail: string }> {
  const response = await fetch(`${ready.ops_url}/health/ready`);
  return (await response.json()).checks.storage;
}

Deno.test("arq doctor reports that a cluster has lost its quorum, with the servers and the streams without a leader", async () => {
  await using cluster = await startNatsCluster();
  await cluster.ready();
  await makeLonely(cluster.urls, 3);
  const [, ...others] = cluster.members;
  await using folder = await temporaryFolder();
  const file = `${folder.path}/doctor.toml`;
  await Deno.writeTextFile(file, `[nats]\nurls = ${JSON.stringify(cluster.urls)}\n`);
  await Promise.all(others.map((member) => member.freeze()));
  await using _end = atEnd(() => Promise.all(others.map((member) => member.resume())));
  // A follower takes some more seconds to notice that a leader is gone: JetStream's first, then that of each stream.
  const causes = [
    /FAIL +NATS quorum/,
    ...others.map(({ url }) => new RegExp(RegExp.escape(new URL(url).host))),
    /the cluster test has no leader for JetStream/,
    /no leader for KV_ARQON_ROOMS$/m,
  ];
  let answer = "";
  const isAnswered = async () => {
    const { stdout, code } = await runArq(["doctor", "--config", file], { cwd: folder.path });
    answer = stdout;
    return code === 1 && causes.every((cause) => cause.test(stdout));
  };
  await until(() => `the cause; it says ${answer}`, isAnswered, OUTAGE_MS);
  assert.match(answer, /start the missing servers/);
});

Deno.test("a bucket without a leader is named by readiness and arq doctor, until it has one", async () => {
  await using cluster = await startNatsCluster();
  await cluster.ready();
  await makeLonely(cluster.urls);
  const leader = await cluster.leaderOf(STREAM);
  const others = cluster.members.filter((member) => member !== leader);
  await using issuer = await createIssuer();
  const nats = `[nats]\nurls = ${JSON.stringify(others.map(({ url }) => url))}\n`;
  const config = nats + issuer.config;
  await using brain = await startServer("brain", config, issuer.dir);
  await using shield = await startServer("shield", config, issuer.dir, "drain_ms = 0");
  using client = await DurableClient.open(shield.socket_url, await issuer.tokenFor());
  const set = () =>
    client.ask({ op: "cmd", room: "desk", name: "room.set", data: { key: "k", value: 1 } });
  await until("a change of the room", async () => (await set()).code === 0, OUTAGE_MS);
  await until(
    "the storage to be well",
    async () => (await storageOf(brain)).status === "ok",
    OUTAGE_MS,
  );
  const file = `${issuer.dir}/doctor.toml`;
  await Deno.writeTextFile(file, nats);
  const doctor = async () => (await runArq(["doctor", "--config", file])).stdout;
  assert.match(await doctor(), /ok +NATS storage/);
  await leader.kill();
  await until("a refusal", async () => (await set()).code !== 0, OUTAGE_MS);
  let storage = await storageOf(brain);
  await until(
    "the reason",
    async () => (storage = await storageOf(brain)).detail.includes(STREAM),
    OUTAGE_MS,
  );
  const { status, detail } = storage;
  assert.equal(status, "unavailable");
  assert.match(
    detail,
    /nobody answers in NATS for KV_ARQON_ROOMS \((it has no leader|its leader does not answer)\)/,
  );
  const writable = async () =>
    (await samplesOf(brain.ready.ops_url)).get("arqon_spine_storage_writable");
  await until("the metric", async () => await writable() === 0, OUTAGE_MS);
  // The killed server may have been JetStream's leader, which answers nothing until another one is elected.
  const names = async () => /no leader answers for .*KV_ARQON_ROOMS/.test(await doctor());
  await until("arq doctor to name the bucket", names, OUTAGE_MS);
  await leader.start();
  await until(
    "the bucket's leader",
    async () => (await storageOf(brain)).status === "ok",
    OUTAGE_MS,
  );
  await until("a change of the room again", async () => (await set()).code === 0, OUTAGE_MS);
});
