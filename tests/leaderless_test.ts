/**
 * A bucket of NATS that nobody leads while all other streams are well: the Brain says so where probes
 * and operators look, `arq doctor` names it, and all is well again once it has a leader. Real processes
 * on a real cluster; the bucket has one copy, and the server of that copy is killed.
 */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { runArq } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { OUTAGE_MS } from "./outage/prober.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { ServerProcess } from "./harness/cluster.ts";
import { DurableClient } from "./peers/durable_client.ts";
import { startNatsCluster } from "./harness/nats_cluster.ts";

const STREAM = "KV_ARQON_ROOMS";

/** The bucket of the rooms, with one copy; whoever finds it leaves its copies as they are. */
async function makeLonely(urls: readonly string[]): Promise<void> {
  const connection = await connect({ servers: [...urls] });
  try {
    const { streams } = await jetstreamManager(connection);
    await streams.add({
      name: STREAM,
      subjects: ["$KV.ARQON_ROOMS.>"],
      num_replicas: 1,
      max_msgs_per_subject: 1,
      max_bytes: 16_777_216,
      discard: "new",
      allow_rollup_hdrs: true,
      deny_delete: true,
      allow_direct: false,
      allow_msg_ttl: true,
    });
  } finally {
    await connection.close();
  }
}

/** What readiness says of the storage. */
async function storageOf({ ready }: ServerProcess): Promise<{ status: string; detail: string }> {
  const response = await fetch(`${ready.ops_url}/health/ready`);
  return (await response.json()).checks.storage;
}

async function writable({ ready }: ServerProcess): Promise<string | undefined> {
  const page = await (await fetch(`${ready.ops_url}/metrics`)).text();
  return /^arqon_spine_storage_writable (\d)$/m.exec(page)?.[1];
}

Deno.test("a bucket without a leader is named by readiness and arq doctor, until it has one", async () => {
  await using cluster = await startNatsCluster();
  await cluster.ready();
  await makeLonely(cluster.urls);
  const leader = await cluster.leaderOf(STREAM);
  const others = cluster.members.filter((member) => member !== leader);
  const issuer = await createIssuer();
  try {
    const nats = `[nats]\nurls = ${JSON.stringify(others.map(({ url }) => url))}\n`;
    const config = nats + issuer.config;
    await using brain = await startServer("brain", config, issuer.dir);
    await using shield = await startServer("shield", config, issuer.dir, "drain_ms = 0");
    const url = `${shield.ready.url?.replace(/^http/, "ws")}/v1/socket`;
    using client = await DurableClient.open(url, await issuer.tokenFor());
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
    let told = await storageOf(brain);
    await until(
      "the reason",
      async () => (told = await storageOf(brain)).detail.includes(STREAM),
      OUTAGE_MS,
    );
    const { status, detail } = told;
    assert.equal(status, "unavailable");
    assert.match(
      detail,
      /nobody answers in NATS for KV_ARQON_ROOMS \((it has no leader|its leader does not answer)\)/,
    );
    await until("the metric", async () => await writable(brain) === "0", OUTAGE_MS);
    // The killed server may have led JetStream itself, which says nothing until another one does.
    const names = async () => /no leader answers for .*KV_ARQON_ROOMS/.test(await doctor());
    await until("arq doctor to name the bucket", names, OUTAGE_MS);
    await leader.start();
    await until(
      "the bucket's leader",
      async () => (await storageOf(brain)).status === "ok",
      OUTAGE_MS,
    );
    await until("a change of the room again", async () => (await set()).code === 0, OUTAGE_MS);
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
});
