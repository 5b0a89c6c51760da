/**
 * Commit is publish, on a real PostgreSQL and a real bus: committed messages come once and in commit order for each
 * room, rolled back ones never. `bridge/` kills processes.
 */
import assert from "node:assert/strict";
import { BRIDGE_SQL } from "../arq/bridge/sql.ts";
import { connect } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { subscribeSince } from "@arqon/sdk/postgres";
import { until } from "../shared/testing/until.ts";
import { openWorld, startBridge, storedIn } from "./bridge/world.ts";
import { tokenOf } from "./harness/serve_bus.ts";

Deno.test("a bad room fails the transaction, refusals of the bus are recorded, a missing slot is reported", async () => {
  await using world = await openWorld();
  if (world === undefined) return;
  const { database, folder, peer, url } = world;
  await assert.rejects(database.sql("select arqon.publish('no room', 'x', '{}')"), /invalid-room/);
  await assert.rejects(database.sql("select arqon.publish('a', '', '{}')"), /type: expected/);
  await database.sql(BRIDGE_SQL);
  // The creator of the slot was killed before it could record that.
  await database.sql("select pg_create_logical_replication_slot('arqon', 'pgoutput')");
  let bridge = await startBridge(folder, database.url, url);
  await bridge.says("following");
  const publish = (type: string, id: string) =>
    database.sql(`select arqon.publish('orders-0', '${type}', '{"w":0,"n":1}', '${id}')`);
  await publish("order", "own");
  await publish("order", "own");
  await database.sql("select pg_logical_emit_message(true, 'arqon', 'nothing of ours')");
  await database.sql("select pg_logical_emit_message(true, 'other', 'not for us')");
  // As long as the bus accepts them, and no longer.
  const long = "x".repeat(256);
  await publish(long, long);
  await assert.rejects(publish(`${long}x`, "id"), /type: expected 1 to 256/);
  await assert.rejects(publish("order", `${long}x`), /message_id: expected 1 to 256/);
  await publish("order", "last");
  await until("it has arrived", async () => (await storedIn(peer, "orders-0")).length === 3);
  const ids = (await storedIn(peer, "orders-0")).map(({ message_id }) => message_id);
  assert.deepEqual(ids, ["own", long, "last"]);
  await bridge.says("1 message without the signature of arqon.publish");
  const last = (await storedIn(peer, "orders-0")).at(-1);
  const committed_ms = Math.floor(Number(last?.headers["pg-commit-ms"]));
  await until("the time of the last commit is recorded", async () => {
    const at_ms = await database.sql(
      "select floor(extract(epoch from at) * 1000) from arqon.bridge",
    );
    return Math.abs(Number(at_ms) - committed_ms) <= 1;
  });
  await bridge.stop();
  await database.sql("select pg_drop_replication_slot('arqon')");
  await publish("order", "missed");
  bridge = await startBridge(folder, database.url, url);
  await bridge.says("may be missed");
  assert.equal((await bridge.status).code, 1);
  await bridge.stop();
  bridge = await startBridge(folder, database.url, url, ["--accept-loss", "--poll", "20"]);
  await bridge.says("following");
  await publish("order", "again");
  await until("it continues", async () => (await storedIn(peer, "orders-0")).length === 4);
  await bridge.stop();
});

Deno.test("a page that takes a position gets exactly what its queries have not returned", async () => {
  await using world = await openWorld();
  if (world === undefined) return;
  const { database, folder, peer, url } = world;
  const bridge = await startBridge(folder, database.url, url);
  await bridge.says("following");
  const publish = (n: number) => `select arqon.publish('orders-0', 'order', '{"w":0,"n":${n}}');`;
  const runs = (what: string, count: number) =>
    until(`${what} waits`, async () => {
      const query = `select count(*) from pg_stat_activity where query like '%${what}%'
        and pid <> pg_backend_pid() and wait_event_type is not null`;
      return Number(await database.sql(query)) >= count;
    });
  const exact = "12345678901234567890.10";
  await database.sql(publish(1).replace('"n":1', `"n":1,"exact":${exact}`));
  // Another session holds a lock, so that a transaction that has published does not end.
  const holding = database.sql("select pg_advisory_lock(7), pg_sleep(600)").catch(() => {});
  await runs("pg_sleep", 1);
  const open = database.sql(`begin; ${publish(2)} select pg_advisory_xact_lock(7); commit;`);
  await runs("pg_advisory_xact_lock", 1);
  const position = await database.sql("select arqon.position()");
  assert.match(position, /^[0-9A-F]+\/[0-9A-F]+;\d+:\d+:[\d,]*;\d{13}$/);
  await database.sql(publish(3));
  await database.sql(
    "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()",
  );
  await Promise.all([holding, open]);
  await until("all have joined", async () => (await storedIn(peer, "orders-0")).length === 3);
  await using connection = await connect({ url, token: await tokenOf(folder, "user") });
  const seen: number[] = [];
  for await (const message of subscribeSince(connection.room("orders-0"), position)) {
    if (seen.push((message.json() as { n: number }).n) === 2) break;
  }
  assert.deepEqual(seen, [3, 2]);
  const { messages: [first] } = await history(connection.room("orders-0"), { limit: 1 });
  assert.match(new TextDecoder().decode(first!.data), new RegExp(`"exact": ${exact}}`));
  await bridge.stop();
});
