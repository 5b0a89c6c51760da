/**
 * Single streams of NATS that are deleted and put back from older snapshots: under running Shields and
 * Brains, which make new ones at once, so that the server refuses the snapshot, and with all of them
 * stopped. Nobody misses what was acknowledged without being told, and no offset of an epoch, no version
 * and no fence is given twice. Real processes.
 */
import assert from "node:assert/strict";
import { connect } from "@nats-io/transport-deno";
import { StreamApi } from "../../shared/backup/stream_api.ts";
import type { Snapshot } from "../../shared/backup/stream_api.ts";
import { until } from "../../shared/testing/until.ts";
import { OUTAGE_MS } from "../outage/prober.ts";
import { createIssuer } from "../harness/cluster.ts";
import { numbers } from "../peers/durable_client.ts";
import type { DurableClient, Place } from "../peers/durable_client.ts";
import { startNats } from "../harness/nats_server.ts";
import { afterwards, NATS_CONFIG, startCluster } from "./restore_cluster.ts";
import { comesBack, DESK, dial, epochOf, Given, ROOM } from "./restore_world.ts";

const ROOMS_STREAM = "KV_ARQON_ROOMS";

/** A stream as it was. */
interface Copy extends Pick<Snapshot, "config" | "state"> {
  readonly chunks: readonly Uint8Array[];
}

async function copyOf(api: StreamApi, stream: string): Promise<Copy> {
  const snapshot = await api.snapshot(stream);
  assert.ok(snapshot !== undefined, stream);
  const { config, state } = snapshot;
  return { config, state, chunks: await Array.fromAsync(snapshot.chunks) };
}

async function putBack(api: StreamApi, { config, state, chunks }: Copy): Promise<void> {
  const restoring = await api.restore(config, state);
  for (const chunk of chunks) await restoring.write(chunk);
  await restoring.finish();
}

async function logStreams(api: StreamApi): Promise<string[]> {
  return (await api.list()).map(({ name }) => name).filter((name) => name.startsWith("LOG_"));
}

/** Reads until a GAP that says so; what came before it does not matter here. */
async function toldOfAnotherEpoch(client: DurableClient): Promise<void> {
  for (;;) {
    const { signal } = await client.told();
    if (signal?.kind === "GAP" && signal.reason === "epoch-changed") return;
  }
}

Deno.test("NATS: single streams that are deleted and put back", async () => {
  await using nats = await startNats({ jetstream: true });
  const issuer = await createIssuer();
  const token = await issuer.tokenFor({ role: "service" });
  const config = NATS_CONFIG(nats.url, issuer.config);
  const connection = await connect({ servers: nats.url });
  const api = new StreamApi(connection);
  const given = new Given();
  const clients: DurableClient[] = [];
  const open = async (url: string) => {
    const client = await dial(url, token);
    clients.push(client);
    return client;
  };
  try {
    let cluster = await startCluster(nats, config, issuer.dir);
    let [here, there] = cluster.urls;
    const client = await open(here);
    const stays = await open(there);
    const watcher = await open(there);
    await given.desk(client, true);
    await watcher.sub(DESK);
    const { epoch } = await stays.join(ROOM);
    const kept = await client.fill(ROOM, numbers(0, 100));
    given.offsets(epoch, kept);
    const early: Place = { after_offset: kept.at(-1) as number, epoch };
    const [log = ""] = await logStreams(api);
    const copies = [await copyOf(api, log), await copyOf(api, ROOMS_STREAM)];
    const later = await client.fill(ROOM, numbers(100, 50));
    given.offsets(epoch, later);
    await given.desk(client, false);
    await stays.hears([...kept, ...later]);
    const lost: Place = { after_offset: later.at(-1) as number, epoch };

    // Under running processes: who is subscribed hears of it, and new streams are there at once.
    await api.remove(log);
    await toldOfAnotherEpoch(stays);
    await until("a new log", async () => (await logStreams(api)).length === 1, OUTAGE_MS);
    await api.remove(ROOMS_STREAM);
    await toldOfAnotherEpoch(watcher);
    for (const copy of copies) {
      await assert.rejects(putBack(api, copy), /overlap|already in use/, copy.config.name);
    }
    const between = await epochOf(here, token);
    assert.ok(between !== undefined && between !== epoch);
    for (const place of [early, lost]) await comesBack(here, token, place, false);
    given.offsets(between, await client.fill(ROOM, numbers(150, 200)));
    await given.desk(client, true);

    // With all processes stopped it works, and nobody takes the copy for what was known.
    await cluster[Symbol.asyncDispose]();
    for (const stream of [...await logStreams(api), ROOMS_STREAM]) await api.remove(stream);
    for (const copy of copies) await putBack(api, copy);
    cluster = await startCluster(nats, config, issuer.dir);
    [here, there] = cluster.urls;
    await afterwards([here, there], token, given, { early, lost });
    await cluster[Symbol.asyncDispose]();
  } finally {
    for (const client of clients) client[Symbol.dispose]();
    await connection.close();
    await Deno.remove(issuer.dir, { recursive: true });
  }
});
