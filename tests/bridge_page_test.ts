/**
 * Pages that load from a real PostgreSQL and continue with a room while transactions commit: every row comes once, in
 * the page or as a message. The example in TypeScript, and the one in Python.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { databaseAt } from "../arq/bridge/database.ts";
import { connect } from "@arqon/sdk";
import { ordersOf } from "../examples/postgres/page.ts";
import { TextLineStream } from "../bench/measure/text_lines.ts";
import { until } from "../shared/testing/until.ts";
import { openWorld, startBridge, type World } from "./bridge/world.ts";
import { pythonWithSdk } from "./upgrade/python.ts";
import { tokenOf } from "./harness/serve_bus.ts";

const ROOM = "orders-0";
const PAGES = 6;
const WRITERS = 3;
const ORDERS = 150;
const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** One transaction: some stay open for a while, so that a page sees transactions that began later, but not them. */
const order = (w: number, n: number) =>
  `begin; insert into orders (w, total) values (${w}, ${n});
   select arqon.publish('${ROOM}', 'order.made', (select to_jsonb(o) from orders o where w = ${w} and total = ${n}));
   ${n % 7 === 0 ? "select pg_sleep(0.05);" : ""} ${n % 5 === 0 ? "rollback" : "commit"};`;

const writeAll = ({ database }: World) =>
  Promise.all(Array.from({ length: WRITERS }, (_, w) => {
    const all = Array.from({ length: ORDERS }, (_, n) => order(w, n + 1));
    return database.sql(all.join("\n"));
  }));

/** The orders that a program prints. */
class Page {
  readonly ids: number[] = [];

  /** Expects every row, once. */
  async has(all: readonly number[]): Promise<void> {
    await until(
      () => `${this.ids.length} of ${all.length} orders`,
      () => this.ids.length >= all.length,
    );
    assert.deepEqual(this.ids.toSorted((a, b) => a - b), all);
  }
}

/** A page of the example in TypeScript. */
async function openPage({ database, url }: World, token: string) {
  const session = databaseAt(database.url);
  await session.connect();
  const bus = await connect({ url, token });
  const page = new Page();
  const reading = (async () => {
    for await (const one of ordersOf(session, bus.room(ROOM))) {
      assert.notEqual(one, "again");
      if (one !== "again") page.ids.push(one.id);
    }
  })();
  reading.catch(() => {});
  return {
    page,
    async close() {
      bus.close();
      await reading.catch(() => {});
      await session.end();
    },
  };
}

/** A page of the example in Python; psql has loaded its rows. */
async function openPythonPage(python: string, { database, url }: World, token: string) {
  const page = new Page();
  const loaded = await database.sql(
    "begin isolation level repeatable read; select arqon.position(); select id from orders; commit",
  );
  const [position = "", ...ids] = loaded.split("\n");
  page.ids.push(...ids.map(Number));
  const child = new Deno.Command(python, {
    args: [`${ROOT}examples/postgres/page.py`, ROOM, position],
    env: { ARQON_URL: url, ARQON_TOKEN: token, PYTHONPATH: `${ROOT}sdk/python/src` },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reading = child.stdout.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream())
    .pipeTo(new WritableStream({ write: (line) => void page.ids.push(JSON.parse(line).id) }));
  return {
    page,
    async close() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has already ended.
      }
      await Promise.all([child.status, reading]);
    },
  };
}

Deno.test("a page that loads while transactions commit has every row once, in both languages", async () => {
  await using world = await openWorld();
  if (world === undefined) return;
  const python = await pythonWithSdk();
  const { database, folder, url } = world;
  const bridge = await startBridge(folder, database.url, url);
  await bridge.says("following");
  await database.sql("create table orders (id serial primary key, w int, total int)");
  const token = await tokenOf(folder, "user");
  const count = () => database.sql("select count(*) from orders").then(Number);
  const writing = writeAll(world);
  const pages = [];
  try {
    for (let at = 0; at < PAGES; at++) {
      const least = at * WRITERS * ORDERS * 0.1;
      await until("more orders are made", async () => await count() >= least);
      pages.push(
        await (at % 2 === 0 ? openPage(world, token) : openPythonPage(python, world, token)),
      );
    }
    await writing;
    const all = (await database.sql("select id from orders order by id")).split("\n").map(Number);
    assert.equal(all.length, WRITERS * ORDERS * 0.8);
    for (const { page } of pages) await page.has(all);
  } finally {
    await Promise.all(pages.map((page) => page.close()));
    await bridge.stop();
  }
});
