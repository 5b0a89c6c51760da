/**
 * A slot other than that in `arqon.bridge`, on a real PostgreSQL: recreated while the bridge was down, after a
 * promotion, in a copy of the database. No commit in between is lost silently.
 */
import assert from "node:assert/strict";
import { BRIDGE_SQL } from "../arq/bridge/sql.ts";
import { CommandError } from "../arq/terminal/exit.ts";
import { insist, seen, until } from "../shared/testing/until.ts";
import { type BridgedBus, runLocalBridge, startBridgedBus } from "./bridge/local_bridge.ts";
import { copySlots, type PostgresServer, somePostgres } from "./bridge/postgres_server.ts";
import { storedIn } from "./bridge/world.ts";

const MAKE_SLOT = "select pg_create_logical_replication_slot('arqon', 'pgoutput')";
const DROP_SLOT = "select pg_drop_replication_slot('arqon')";
const READINGS = [{ mode: "replication" }, { mode: "polling", poll_ms: 20 }] as const;

const commit = (database: PostgresServer, n: number) =>
  database.sql(`select arqon.publish('orders-0', 'order', '{"w":0,"n":${n}}')`);

const numbersIn = async ({ peer }: BridgedBus) =>
  (await storedIn(peer, "orders-0")).map(({ data }) => data.n);

const comes = (bus: BridgedBus, numbers: number[]) =>
  seen("the committed rows", () => numbersIn(bus), (all) => all.length >= numbers.length)
    .then((all) => assert.deepEqual(all, numbers));

/** The error that ends it. */
async function endOf(
  bridge: ReturnType<typeof runLocalBridge>,
  hint = /^accept$/,
): Promise<string> {
  const error = await seen(
    () => `it ends: ${bridge.lines.join("; ")}`,
    () => bridge.end(),
    (end) => end !== undefined,
  );
  assert.ok(error instanceof CommandError, String(error));
  assert.match(error.hint ?? "", hint);
  return error.message;
}

/** A bridge that has published 1 and is stopped. */
async function beginWith(bus: BridgedBus, database: PostgresServer, reading = READINGS[0]!) {
  await database.sql(BRIDGE_SQL);
  await using bridge = runLocalBridge(bus, database.url, { reading });
  await bridge.says("following");
  await commit(database, 1);
  await comes(bus, [1]);
  await until("it is recorded", async () => {
    const noted =
      "select lsn >= (select confirmed_flush_lsn from pg_replication_slots) from arqon.bridge";
    return await database.sql(noted) === "t";
  });
}

/** The schema of 23 November 2026. */
const EARLIER = `
create schema arqon;
create table arqon.bridge (slot text primary key, lsn pg_lsn not null,
  at timestamptz not null default clock_timestamp());
create table arqon.refused (lsn pg_lsn not null, number int not null, room text not null, type text not null,
  data jsonb, message_id text not null, reason text not null,
  at timestamptz not null default clock_timestamp(), primary key (lsn, number));
create publication arqon;
insert into arqon.bridge (slot, lsn) values ('arqon', '0/1');`;

const reaches = async (standby: PostgresServer, database: PostgresServer) => {
  const end = await database.sql("select pg_current_wal_lsn()");
  await until(
    "the standby has it",
    async () => await standby.sql(`select pg_last_wal_replay_lsn() >= '${end}'`) === "t",
  );
};

for (const reading of READINGS) {
  Deno.test(`a slot recreated while the bridge was down ends it, with the time of the loss (${reading.mode})`, async () => {
    await using database = await somePostgres();
    if (database === undefined) return;
    await using bus = await startBridgedBus();
    await beginWith(bus, database);
    await database.sql(DROP_SLOT);
    await commit(database, 2);
    await commit(database, 3);
    await database.sql(MAKE_SLOT);
    await commit(database, 4);
    await using bridge = runLocalBridge(bus, database.url, { reading });
    assert.match(
      await endOf(bridge),
      /slot arqon .*recreated or moved, .*committed after [0-9A-F]+\/[0-9A-F]+ \(\d{4}-.*Z\) may be missed/,
    );
    assert.deepEqual(await numbersIn(bus), [1]);
    // It continues where the new slot begins.
    await using again = runLocalBridge(bus, database.url, { reading, accept_loss: true });
    await again.says("following");
    await commit(database, 5);
    await comes(bus, [1, 4, 5]);
    await again.stop();
    await using once = runLocalBridge(bus, database.url, { reading });
    await once.says("following");
  });
}

Deno.test("a slot that is recreated between two polls ends the bridge that polls", async () => {
  await using database = await somePostgres();
  if (database === undefined) return;
  await using bus = await startBridgedBus();
  await beginWith(bus, database);
  await using bridge = runLocalBridge(bus, database.url, { reading: READINGS[1] });
  await bridge.says("following");
  // In one transaction with both, so that no poll finds the slot missing; a reading bridge holds it for a moment.
  await insist(
    "the slot is made anew",
    () =>
      database.sql(
        `begin; ${DROP_SLOT}; commit; select arqon.publish('orders-0', 'order', '{"w":0,"n":2}'); ${MAKE_SLOT}`,
      ),
  );
  assert.match(await endOf(bridge), /slot arqon was (deleted|recreated or moved)/);
});

Deno.test("after a standby's promotion, a recreated slot ends the bridge, and a copied one continues", async () => {
  await using database = await somePostgres();
  if (database === undefined) return;
  await using bus = await startBridgedBus();
  await beginWith(bus, database);
  await using anew = await database.standby();
  await using copied = await database.standby();
  await commit(database, 2);
  for (const standby of [anew, copied]) await reaches(standby, database);
  await copied.stop();
  // Patroni does this with a permanent slot.
  await copySlots(database, copied);
  await copied.start();
  await database.stop();
  for (const standby of [anew, copied]) await standby.sql("select pg_promote()");
  await anew.sql(MAKE_SLOT);
  await commit(anew, 3);
  await using lost = runLocalBridge(bus, anew.url);
  assert.match(await endOf(lost), /recreated or moved after \d+-00000001-\d+ became \d+-00000002-/);
  assert.deepEqual(await numbersIn(bus), [1]);
  await commit(copied, 4);
  await using _whole = runLocalBridge(bus, copied.url);
  await comes(bus, [1, 2, 4]);
});

Deno.test("a position recorded in another database does not count: a dump, a copy, another cluster", async () => {
  await using database = await somePostgres();
  if (database === undefined) return;
  await using bus = await startBridgedBus();
  await beginWith(bus, database);
  await commit(database, 2);
  // Far beyond the end of the other one.
  const note = "update arqon.bridge set lsn = 'FF/0'";
  const dump = (await database.sql("select source from arqon.bridge")).trim();
  await using other = await somePostgres();
  assert.ok(other !== undefined);
  await other.sql(`${BRIDGE_SQL} insert into arqon.bridge values ('arqon', '${dump}', 'FF/0')`);
  await other.sql(MAKE_SLOT);
  await commit(other, 3);
  await using foreign = runLocalBridge(bus, other.url);
  assert.match(await endOf(foreign), /arqon\.bridge belongs to another database .*FF\/0/);
  await using accepted = runLocalBridge(bus, other.url, { accept_loss: true });
  await comes(bus, [1, 3]);
  await accepted.stop();
  await other.sql(note);
  await using beyond = runLocalBridge(bus, other.url);
  assert.match(await endOf(beyond), /arqon\.bridge belongs to another database .*FF\/0/);
  // A copy beside it, whose slot belongs to the original.
  await database.sql("create database copy template postgres");
  const url = database.url.replace(/postgres$/, "copy");
  await using copy = runLocalBridge(bus, url);
  assert.match(
    await endOf(copy, /another name/),
    /the slot arqon belongs to postgres with pgoutput/,
  );
  await using named = runLocalBridge(bus, url, { slot: "copied" });
  await named.says("following");
  await database.sql(`select arqon.publish('orders-0', 'order', '{"w":0,"n":4}')`, {
    database: "copy",
  });
  await comes(bus, [1, 3, 4]);
});

Deno.test("an earlier schema is refused with the fix", async () => {
  await using database = await somePostgres();
  if (database === undefined) return;
  await using bus = await startBridgedBus();
  await database.sql(EARLIER);
  await using early = runLocalBridge(bus, database.url);
  assert.equal(
    await endOf(early, /^psql DATABASE -c 'drop table [^']+'; arq bridge postgres --sql \| psql/),
    "the schema arqon has an earlier version",
  );
  await database.sql(`drop table arqon.bridge, arqon.refused; ${BRIDGE_SQL}`);
  await using bridge = runLocalBridge(bus, database.url);
  await bridge.says("following");
  await commit(database, 1);
  await comes(bus, [1]);
});

for (const reading of READINGS) {
  Deno.test(`others' entries are skipped and recorded first, and a shutdown of the database is not delayed (${reading.mode})`, async () => {
    await using database = await somePostgres();
    if (database === undefined) return;
    await using bus = await startBridgedBus();
    await database.sql(`${BRIDGE_SQL} create table noise (text text)`);
    await using bridge = runLocalBridge(bus, database.url, { reading });
    await bridge.says("following");
    const begin = await database.sql("select lsn from arqon.bridge");
    await database.sql(
      "insert into noise select repeat(md5(n::text), 30) from generate_series(1, 3000) n",
    );
    await until("the slot lets it go", async () =>
      await database.sql(
        `select confirmed_flush_lsn - '${begin}' > 2000000 from pg_replication_slots`,
      ) === "t");
    assert.equal(
      await database.sql(
        "select b.lsn >= confirmed_flush_lsn from pg_replication_slots, arqon.bridge b",
      ),
      "t",
    );
    await database.sql("insert into noise values ('a last one')");
    await database.stop();
    await database.start();
    await commit(database, 1);
    await comes(bus, [1]);
  });
}
