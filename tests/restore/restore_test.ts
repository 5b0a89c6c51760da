/**
 * An older copy of the data is restored, or none: on the embedded engine and on NATS, under load, with processes that
 * kept running and with all of them stopped. Clients that stay connected, reconnect and are new: none misses an
 * acknowledged message without a notice, and no offset of an epoch, no version and no fencing token is assigned twice.
 * Real processes.
 */
import assert from "node:assert/strict";
import { createIssuer } from "../harness/cluster.ts";
import { type DurableClient, numbers, type Place } from "../peers/durable_client.ts";
import { type NatsServer, startNats } from "../harness/nats_server.ts";
import { afterwards, NATS_CONFIG, readToGap, startCluster } from "./restore_cluster.ts";
import { comesBack, copyFolder, DESK, dial, Given, Load, ROOM } from "./restore_world.ts";
import { initFolder, type ServedBus, startServe, tokenOf } from "../harness/serve_bus.ts";

Deno.test("embedded: restarts continue, an older copy and a wiped folder have other epochs", async () => {
  await using folder = await initFolder();
  const { path } = folder;
  const token = await tokenOf(path, "service");
  const given = new Given();
  const data = `${path}/data`;
  /** Starts the bus, runs it under load, and kills it in the middle; returns a client's position. */
  const live = async (name: string, look: (bus: ServedBus) => Promise<void>): Promise<Place> => {
    await using bus = await startServe(path);
    await look(bus);
    using client = await dial(bus.url, token);
    await given.desk(client, true);
    using reader = await dial(bus.url, token);
    const { epoch } = await reader.join(ROOM);
    const load = new Load(client, name);
    await load.more(100);
    await bus.stop("SIGKILL");
    await load.end();
    const offsets = load.acknowledged.map(({ offset }) => offset);
    given.offsets(epoch, offsets);
    // The client that received the last one has this position.
    return { after_offset: offsets.at(-1) as number, epoch };
  };
  const first = await live("first", async () => {});
  await copyFolder(data, `${path}/copy`);
  const lost = await live("lost", async ({ url }) => {
    assert.notEqual(await comesBack(url, token, first, true), first.epoch);
  });
  const again = await live("again", async ({ url }) => {
    for (const place of [first, lost]) await comesBack(url, token, place, true);
  });

  await copyFolder(`${path}/copy`, data);
  const restored = await live("restored", async ({ url }) => {
    await comesBack(url, token, first, true);
    for (const place of [lost, again]) await comesBack(url, token, place, false);
  });
  // By now the log has passed every offset of the lost part.
  await live("after", async ({ url }) => {
    for (const place of [first, restored]) await comesBack(url, token, place, true);
    for (const place of [lost, again]) await comesBack(url, token, place, false);
  });

  await Deno.remove(data, { recursive: true });
  await live("wiped", async ({ url }) => {
    for (const place of [first, lost, again, restored]) await comesBack(url, token, place, false);
  });
});

/** Stops the server, and restarts it on the store as it was at `copy`. */
async function putBack(nats: NatsServer, copy: string): Promise<void> {
  await nats.stop();
  await copyFolder(copy, nats.store);
  await nats.start();
}

Deno.test("NATS: an older copy under running Shields and Brains", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const token = await issuer.tokenFor({ role: "service" });
  const config = NATS_CONFIG(nats.url, issuer.config);
  const copy = `${issuer.dir}/copy`;
  const given = new Given();
  const clients: DurableClient[] = [];
  const open = async (url: string) => {
    const client = await dial(url, token);
    clients.push(client);
    return client;
  };
  try {
    const cluster = await startCluster(nats, config, issuer.dir);
    const [here, there] = cluster.urls;
    const client = await open(here);
    await given.desk(client, true);
    const stays = await open(here);
    const watcher = await open(there);
    await watcher.sub(DESK);
    const { epoch } = await stays.join(ROOM);
    const offsets = await client.fill(ROOM, numbers(0, 100));
    await stays.receives(offsets);
    const early: Place = { after_offset: offsets.at(-1) as number, epoch };

    // An ordinary restart of NATS, with a copy made meanwhile: nothing is lost and nobody is notified.
    await nats.stop();
    await copyFolder(nats.store, copy);
    await nats.start();
    const load = new Load(await open(there), "lost");
    await load.more(50);
    await stays.receives(load.acknowledged.slice(0, 50).map(({ offset }) => offset));
    assert.equal(await comesBack(here, token, early, true), epoch, "it is the same life");
    await given.desk(client, false);
    const last = load.acknowledged.at(-1)?.offset as number;
    const lost: Place = { after_offset: last, epoch };

    await putBack(nats, copy);
    await load.more(100);
    await load.end();
    const all = load.acknowledged.map(({ data }) => data);
    const { signal } = await readToGap(stays, all.slice(50));
    assert.deepEqual([signal?.kind, signal?.reason], ["GAP", "epoch-changed"], cluster.log());
    // One for each restart; which of the two reasons depends on which returned first.
    for (let gaps = 0; gaps < 2;) if ((await watcher.next()).signal?.kind === "GAP") gaps++;
    await afterwards([here, there], token, given, { early, lost });
    await cluster[Symbol.asyncDispose]();
  } finally {
    for (const client of clients) client[Symbol.dispose]();
  }
});
