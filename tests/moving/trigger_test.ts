/** The trigger of the page about moving from Supabase, unchanged, on a real PostgreSQL with the bridge. */
import assert from "node:assert/strict";
import { atEnd } from "../../shared/testing/at_end.ts";
import { until } from "../../shared/testing/until.ts";
import { fencedBlocks } from "../../tasks/checkout/markdown.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { openWorld, startBridge, storedIn } from "../bridge/world.ts";

Deno.test("the trigger of the page publishes what commits, and nothing of what rolls back", async () => {
  const page = await Deno.readTextFile(`${ROOT}docs/moving_supabase.md`);
  const trigger = fencedBlocks(page).find(({ language }) => language === "sql")?.text ?? "";
  assert.match(trigger, /create trigger/);
  await using world = await openWorld(100, () => '[[rooms]]\nroom = "durable-*"\ndurable = true\n');
  if (world === undefined) return;
  const { database, folder, peer, url } = world;
  await database.sql("create table todos (id int primary key, list int, text text)");
  await database.sql(trigger);
  const bridge = await startBridge(folder, database.url, url);
  await using _end = atEnd(() => bridge.stop());
  await bridge.says("following");
  await database.sql("begin; insert into todos values (1, 7, 'gone'); rollback");
  await database.sql("insert into todos values (2, 7, 'tea')");
  await database.sql("insert into todos values (3, 8, 'elsewhere')");
  const room = () => storedIn(peer, "durable-todos-7");
  await until("it has arrived", async () => (await room()).length > 0);
  const messages = await room();
  assert.deepEqual(messages.map(({ data }) => data), [{ id: 2, list: 7, text: "tea" }]);
});
