/**
 * `[bridge.postgres]`: a bus that follows a real PostgreSQL, in both ways of reading, with its metrics; and cases that
 * need an operator.
 */
import assert from "node:assert/strict";
import { initFolder, startServe } from "./harness/serve_bus.ts";
import { startNats } from "./harness/nats_server.ts";
import { until } from "../shared/testing/until.ts";
import {
  CATCH_UP_MS,
  openWorld,
  ROOMS,
  shown,
  storedIn,
  wantedOf,
  writing,
} from "./bridge/world.ts";
import type { World } from "./bridge/world.ts";
import { samplesOf } from "./harness/server_state.ts";

const table = (url: string, more = "") =>
  `\n[bridge.postgres]\ntenant = "default"\ndatabase = "${url}"\n${more}`;

/** A value on its page of metrics; undefined: the metric is missing. */
const figure = async ({ bus }: World, name: string): Promise<number | undefined> =>
  (await samplesOf(bus.ops_url)).get(name);

const follows = (world: World) =>
  until(
    () => `the bus follows: ${world.bus.log()}`,
    async () => await figure(world, "bridge_following") === 1,
    CATCH_UP_MS,
  );

/** Each room gets the committed messages, once and in order. */
async function arrives({ database, peer }: World): Promise<void> {
  const wanted = await wantedOf(database);
  await until("everything has arrived", async () => {
    const all = await Promise.all(ROOMS.map((room) => storedIn(peer, room)));
    return all.every((one, at) => one.length >= wanted[at]!.length);
  }, CATCH_UP_MS);
  for (const [at, room] of ROOMS.entries()) {
    assert.deepEqual(shown(await storedIn(peer, room)), wanted[at]);
  }
}

for (
  const [mode, more] of [["replication", ""], [
    "polling",
    'mode = "polling"\n#constant bridge.postgres.poll_ms = 20\n',
  ]]
) {
  Deno.test(`arq serve follows a database by ${mode}, also when it or the database was killed`, async () => {
    await using world = await openWorld(1_000, ({ url }) => table(url, more));
    if (world === undefined) return;
    const { database } = world;
    await database.sql("create table done (id serial, w int, n int)");
    await follows(world);
    await database.sql(writing(0, 1, 30));
    await arrives(world);
    const committed = Number(await database.sql("select count(*) from done"));
    assert.equal(await figure(world, 'bridge_messages_total{outcome="published"}'), 30);
    assert.equal(await figure(world, "bridge_commit_seconds_count"), 30);
    assert.equal(committed, 20);
    const writes = database.sql(writing(1, 31, 60));
    await world.restartBus();
    await writes;
    await follows(world);
    await arrives(world);
    await database.kill();
    await database.start();
    await database.sql(writing(2, 91, 30));
    await arrives(world);
    await until("nothing waits", async () => await figure(world, "bridge_waiting_messages") === 0);
    assert.equal(await figure(world, 'bridge_messages_total{outcome="refused"}'), 0);
  });
}

Deno.test("of two buses on one NATS one follows, and the other one takes over when it is killed", async () => {
  await using nats = await startNats({ jetstream: true });
  const tables = ({ url }: { url: string }) => `${table(url)}\n[nats]\nurls = ["${nats.url}"]\n`;
  await using world = await openWorld(1_000, tables);
  if (world === undefined) return;
  const { database, folder } = world;
  await database.sql("create table done (id serial, w int, n int)");
  await follows(world);
  await using other = await initFolder();
  const config = await Deno.readTextFile(`${folder}/config.toml`);
  await Deno.writeTextFile(
    `${other.path}/config.toml`,
    config.replace(/^port = \d+$/gm, "port = 0"),
  );
  for await (const { name } of Deno.readDir(`${folder}/keys`)) {
    await Deno.copyFile(`${folder}/keys/${name}`, `${other.path}/keys/${name}`);
  }
  await using second = await startServe(other.path);
  const standby = { ...world, bus: second };
  await until("the second one waits", () => second.log().includes("another bridge is active"));
  assert.equal(await figure(standby, "bridge_following"), 0);
  await database.sql(writing(0, 1, 30));
  await world.bus.stop("SIGKILL");
  await database.sql(writing(1, 31, 30));
  await follows(standby);
  await world.restartBus();
  await arrives(world);
});

Deno.test("a missing slot is reported with what to do, and the bus continues once that is done", async () => {
  await using world = await openWorld(1_000, ({ url }) => table(url));
  if (world === undefined) return;
  const { database, peer } = world;
  await follows(world);
  const publish = () => database.sql(`select arqon.publish('orders-0', 'order', '{"w":0,"n":1}')`);
  await publish();
  await until("it has arrived", async () => (await storedIn(peer, "orders-0")).length === 1);
  const kept = await figure(world, "bridge_kept_wal_bytes");
  assert.ok(kept !== undefined && kept > 0, `${kept} bytes kept`);
  assert.equal(await figure(world, 'bridge_safe_wal_bytes{slot="arqon"}'), undefined);
  await world.bus.stop();
  await database.sql("alter system set max_slot_wal_keep_size = '64MB'; select pg_reload_conf()");
  await database.sql("select pg_drop_replication_slot('arqon')");
  await publish();
  await world.restartBus();
  await until(
    "it is published",
    () => /may be missed.*delete from arqon\.bridge/.test(world.bus.log()),
  );
  assert.equal(await figure(world, "bridge_following"), 0);
  await database.sql("delete from arqon.bridge where slot = 'arqon'");
  await follows(world);
  await publish();
  await until("it continues", async () => (await storedIn(peer, "orders-0")).length === 2);
  const safe = await figure(world, 'bridge_safe_wal_bytes{slot="arqon"}');
  assert.ok(safe !== undefined && safe > 0, `${safe} bytes are safe`);
});
