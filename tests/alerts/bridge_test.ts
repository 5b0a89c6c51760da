/** Alerts about the bridge of a bus, on a real PostgreSQL. */
import assert from "node:assert/strict";
import { tokenOf } from "../harness/serve_bus.ts";
import { samplesOf } from "../harness/server_state.ts";
import { until } from "../../shared/testing/until.ts";
import { CATCH_UP_MS, openWorld, type World } from "../bridge/world.ts";
import { play, type Row, type Stage } from "./play.ts";

interface Bridged extends Stage {
  readonly world: World;
}

const BEHIND: readonly Row<Bridged>[] = [{
  alert: "ArqonBridgeBehind",
  async breaks({ world: { database } }) {
    const keep = (size: string) =>
      database.sql(`alter system set max_slot_wal_keep_size = '${size}'; select pg_reload_conf()`);
    await keep("64MB");
    return () => keep("-1");
  },
  says: /raise `max_slot_wal_keep_size`/,
  shows: {
    "bridge_waiting_messages": / 0$/m,
    "bridge_commit_seconds": /./,
    "select pid, xact_start from pg_stat_activity order by 2": /\d+\|/,
  },
}];

const DOWN: readonly Row<Bridged>[] = [{
  alert: "ArqonBridgeDown",
  async breaks({ world: { database } }) {
    await database.kill();
    return () => database.start();
  },
  says: /As they say/i,
  shows: { "part=bridge": /127\.0\.0\.1|refused|connect/i },
}];

Deno.test("alerts about a bridge", async () => {
  await using world = await openWorld(
    1_000,
    ({ url }) => `\n[bridge.postgres]\ntenant = "default"\ndatabase = "${url}"\n`,
  );
  if (world === undefined) return;
  const { bus, database, folder } = world;
  const follows = async () => (await samplesOf(bus.ops_url)).get("bridge_following") === 1;
  await until(() => `the bus follows: ${bus.log()}`, follows, CATCH_UP_MS);
  assert.ok(await database.sql("select arqon.publish('orders-0', 'order', '{}')") !== undefined);
  const { url, admin_url, ops_url, log } = bus;
  const stage: Bridged = {
    world,
    url,
    admin_url,
    ops_url,
    log,
    words: {},
    token: await tokenOf(folder, "admin"),
    pages: { "arqon-bus": ops_url },
    sql: (text) => database.sql(text),
    async [Symbol.asyncDispose]() {},
  };
  await play(stage, [BEHIND, DOWN]);
});
