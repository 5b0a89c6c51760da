/**
 * Who may publish by the bridge, on a real PostgreSQL: roles that may call `arqon.publish`, and nobody by writing into
 * the database's log. Messages that cannot be published are in `arqon.refused`, and block nothing.
 */
import assert from "node:assert/strict";
import { BRIDGE_SQL } from "../arq/bridge/sql.ts";
import { seen, until } from "../shared/testing/until.ts";
import { type BridgedBus, runLocalBridge, startBridgedBus } from "./bridge/local_bridge.ts";
import { somePostgres } from "./bridge/postgres_server.ts";
import { storedIn } from "./bridge/world.ts";

/** The rights that docs/bridge.md gives to the bridge and to publishers. */
const ROLES = `
create role bridge login replication;
grant usage on schema arqon to bridge;
grant select, insert, update on arqon.bridge, arqon.refused to bridge;
grant select on arqon.key to bridge;
create role app login;
grant usage on schema arqon to app;
create role stranger login;
`;

/** A hand-written message in the form of `arqon.publish`. */
const forged = (message: Record<string, unknown>) =>
  `select pg_logical_emit_message(true, 'arqon', '${JSON.stringify(message)}');`;

const idsIn = async ({ peer }: BridgedBus) =>
  (await storedIn(peer, "orders-0")).map(({ message_id }) => message_id);

Deno.test("only users with rights on the schema publish; what others write into the log is refused", async () => {
  await using database = await somePostgres();
  if (database === undefined) return;
  await using bus = await startBridgedBus();
  await database.sql(`${BRIDGE_SQL}${ROLES}`);
  const url = database.url.replace("postgres@", "bridge@");
  await using bridge = runLocalBridge(bus, url);
  await bridge.says("following");
  const message = { room: "orders-0", type: "x", json: "1", message_id: null };
  const as = (user: string, text: string) => database.sql(text, { user });
  const read_only = (text: string) => `begin read only; ${text} commit;`;
  await as("stranger", read_only(forged({ ...message, message_id: "forged" })));
  // None of these may block the slot or the room.
  await as("stranger", forged({ ...message, message_id: "x".repeat(300) }));
  await as("stranger", forged({ ...message, json: "{" }));
  await as("stranger", "select pg_logical_emit_message(true, 'arqon', '\\x00ff27'::bytea);");
  await as("app", read_only(`${forged({ ...message, room: "" })} ${forged(message)}`));
  await assert.rejects(
    as("stranger", "select arqon.publish('orders-0', 'x')"),
    /permission denied/,
  );
  await assert.rejects(as("app", "select * from arqon.key"), /permission denied/);
  const publish = (id: string) => `select arqon.publish('orders-0', 'x', '"é"', '${id}');`;
  await as("app", read_only(publish("own")));
  // A forged message does not affect a valid one in the same transaction.
  await as("app", `begin; ${forged(message)} ${publish("beside")} commit;`);
  // A subtransaction's id differs from that of the committing transaction.
  await as("app", `begin; savepoint a; ${publish("below")} release a; commit;`);
  await until("all of the app's have arrived", async () => (await idsIn(bus)).length >= 3);
  assert.deepEqual(await idsIn(bus), ["own", "beside", "below"]);
  const rows = await seen(
    "all is in arqon.refused",
    async () =>
      (await database.sql("select coalesce(room, '-'), reason from arqon.refused order by lsn"))
        .split("\n"),
    (all) => all.length >= 6,
  );
  assert.deepEqual(rows.map((row) => row.replace(/transaction \d+/, "transaction N")), [
    ...Array(4).fill("-|1 message without the signature of arqon.publish, of transaction N"),
    "-|2 messages without the signature of arqon.publish, of transaction N",
    "-|1 message without the signature of arqon.publish, of transaction N",
  ]);
  const shown = await database.sql("select data #>> '{}' from arqon.refused order by lsn limit 4");
  assert.match(shown, /^\{"room":"orders-0".*"forged"\}/);
  assert.equal(shown.split("\n").at(-1), "??'");
  // None of them blocks the slot.
  const noted = "select lsn >= (select max(lsn) from arqon.refused) from arqon.bridge";
  await until("everything has ended", async () => await database.sql(noted) === "t");
});

Deno.test("a limited number of unsigned rows is kept, and all signed ones are published", async () => {
  await using database = await somePostgres();
  if (database === undefined) return;
  await using bus = await startBridgedBus();
  await database.sql(`${BRIDGE_SQL}${ROLES}`);
  await using bridge = runLocalBridge(bus, database.url);
  await bridge.says("following");
  const one = forged({ room: "orders-0" });
  const transactions = Array.from({ length: 1_200 }, () => one).join("\n");
  await database.sql(`set synchronous_commit = off; ${transactions}`, { user: "stranger" });
  await database.sql("select arqon.publish('orders-0', 'x', '1', 'own')");
  await until("it has arrived", async () => (await idsIn(bus)).length > 0);
  await until("all are over", () => bridge.outcomes.length === 1_201);
  assert.equal(await database.sql("select count(*) from arqon.refused"), "1000");
  const lines = bridge.lines.filter((line) => line.includes("refused permanently"));
  assert.equal(lines.length, 1_000);
});

Deno.test("a bridge that cannot save its position does not count as following until it can", async () => {
  await using database = await somePostgres();
  if (database === undefined) return;
  await using bus = await startBridgedBus();
  await database.sql(`${BRIDGE_SQL}${ROLES}`);
  const readings = [{ mode: "replication" }, { mode: "polling", poll_ms: 10 }] as const;
  for (const reading of readings) {
    await using first = runLocalBridge(bus, database.url, { reading });
    await first.says("following");
    await first.stop();
    // As hosts do when the disk is nearly full.
    await database.sql("alter database postgres set default_transaction_read_only = on");
    await using bridge = runLocalBridge(bus, database.url, { reading });
    const failures = () => bridge.lines.filter((line) => line.includes("read-only")).length;
    await until(() => `it tries again: ${bridge.lines.join("; ")}`, () => failures() > 1);
    assert.ok(!bridge.lines.includes("following"), bridge.lines.join("; "));
    await database.sql(
      "set default_transaction_read_only = off; alter database postgres reset default_transaction_read_only",
    );
    await bridge.says("following");
  }
});

Deno.test("a rotated key is used, and nothing signed with it is refused", async () => {
  await using database = await somePostgres();
  if (database === undefined) return;
  await using bus = await startBridgedBus();
  await database.sql(BRIDGE_SQL);
  await using bridge = runLocalBridge(bus, database.url);
  await bridge.says("following");
  await database.sql("delete from arqon.key");
  await assert.rejects(database.sql("select arqon.publish('orders-0', 'x')"), /no rows/);
  await database.sql(`${BRIDGE_SQL} select arqon.publish('orders-0', 'x', '1', 'anew')`);
  await until("it has arrived", async () => (await idsIn(bus)).length > 0);
  assert.deepEqual(await idsIn(bus), ["anew"]);
  assert.equal(await database.sql("select count(*) from arqon.refused"), "0");
});

Deno.test("text of a database with another encoding is published correctly", async () => {
  await using database = await somePostgres();
  if (database === undefined) return;
  await using bus = await startBridgedBus();
  await database.sql("create database latin template template0 encoding 'LATIN1' locale 'C'");
  const as = { database: "latin" };
  await database.sql(BRIDGE_SQL, as);
  await using bridge = runLocalBridge(bus, database.url.replace(/postgres$/, "latin"));
  await bridge.says("following");
  const text = `select arqon.publish('orders-0', 'x', '{"w":"é"}', 'ü')`;
  await database.sql(`set client_encoding = 'UTF8'; ${text}`, as);
  await until("it has arrived", async () => (await idsIn(bus)).length > 0);
  const [first] = await storedIn(bus.peer, "orders-0");
  assert.deepEqual([first?.data, first?.message_id], [{ w: "é" }, "ü"]);
});

for (const reading of [{ mode: "replication" }, { mode: "polling", poll_ms: 20 }] as const) {
  Deno.test(`whatever another role writes into the log blocks nothing (${reading.mode})`, async () => {
    await using database = await somePostgres();
    if (database === undefined) return;
    await using bus = await startBridgedBus();
    await database.sql(
      "create database ascii template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'",
    );
    const as = (user: string, text: string) => database.sql(text, { user, database: "ascii" });
    await as("postgres", `${BRIDGE_SQL}${ROLES}`);
    await using bridge = runLocalBridge(bus, database.url.replace(/postgres$/, "ascii"), {
      reading,
    });
    await bridge.says("following");
    const emit = (prefix: string, content: string) =>
      as("stranger", `select pg_logical_emit_message(true, ${prefix}, ${content}) is null`);
    await emit("E'\\xff'", "'x'");
    await emit("repeat('x', 1000000)", "'x'");
    await emit("'arqon'", "repeat('x', 2000000)");
    await as(
      "stranger",
      "select count(pg_logical_emit_message(true, 'arqon', 'x')) from generate_series(1, 5000)",
    );
    await as("app", "select arqon.publish('orders-0', 'x', '1', 'own')");
    await until("the app's has arrived", async () => (await idsIn(bus)).length > 0);
    await until(
      "two are in arqon.refused",
      async () => await as("postgres", "select count(*) from arqon.refused") === "2",
    );
  });
}
