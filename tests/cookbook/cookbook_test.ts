/** The recipes of docs/cookbook.md as people run them: processes of their own on a real bus. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import type { Connection } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { until } from "../../shared/testing/until.ts";
import { startBus } from "../harness/bus.ts";
import type { TestBus } from "../harness/bus.ts";
import { startRecipe } from "./program.ts";

const as = (bus: TestBus, user: string, role: "user" | "service" = "user") =>
  bus.tokenFor({ user, role });
const open = async (bus: TestBus, user: string): Promise<Connection> =>
  await connect({ url: bus.url, token: await as(bus, user) });

async function lateJoin(bus: TestBus): Promise<void> {
  await using peer = await open(bus, "ann");
  for (let n = 1; n <= 25; n++) await peer.room("durable-plans").publish("chat", `said ${n}`);
  await using late = startRecipe("late_join.ts", bus.url, await as(bus, "bob"));
  await late.says("ann> said 25");
  await peer.room("durable-plans").publish("chat", "live");
  await late.says("ann> live");
  const wanted = Array.from({ length: 20 }, (_, at) => `ann> said ${at + 6}`);
  assert.deepEqual(late.lines, [...wanted, "ann> live"]);
}

async function cursors(bus: TestBus): Promise<void> {
  await using ann = startRecipe("cursors.ts", bus.url, await as(bus, "ann"));
  await using bob = startRecipe("cursors.ts", bus.url, await as(bus, "bob"));
  await ann.says('bob {"x":0,"y":0}');
  for (let x = 1; x <= 100; x++) await bob.type(`${x} 7`);
  await ann.says('bob {"x":100,"y":7}');
  assert.ok(ann.lines.length < 100, `moves are put together: ${ann.lines.length} lines`);
  await bob.kill();
}

async function typing(bus: TestBus): Promise<void> {
  await using ann = startRecipe("typing.ts", bus.url, await as(bus, "ann"));
  await ann.says("ann is not typing");
  await using bob = startRecipe("typing.ts", bus.url, await as(bus, "bob"));
  await ann.says("bob is not typing");
  for (let n = 0; n < 20; n++) await bob.type("h");
  await ann.says("bob is typing");
  const before = ann.lines.length;
  await ann.says("bob is not typing", before);
  const bobs = ann.lines.filter((line) => line.startsWith("bob"));
  assert.deepEqual(bobs, ["bob is not typing", "bob is typing", "bob is not typing"]);
}

async function unread(bus: TestBus): Promise<void> {
  await using peer = await open(bus, "bob");
  const rooms = ["durable-a", "durable-b"];
  for (let n = 0; n < 3; n++) await peer.room("durable-a").publish("chat", `${n}`);
  const device = async () =>
    startRecipe("unread.ts", bus.url, await as(bus, "ann"), "ann", ...rooms);
  await using laptop = await device();
  await laptop.says("durable-b: 0");
  await laptop.says("durable-a: 3");
  await using phone = await device();
  await phone.says("durable-a: 3");
  await phone.says("durable-b: 0");
  await phone.type("durable-a");
  await laptop.says("durable-a: 0");
  await peer.room("durable-a").publish("chat", "again");
  await laptop.says("durable-a: 1");
  for (let n = 0; n < 100; n++) await peer.room("durable-b").publish("chat", `${n}`);
  await phone.says("durable-b: 99+");
}

async function leader(bus: TestBus): Promise<void> {
  const worker = async (name: string) =>
    startRecipe("leader.ts", bus.url, await as(bus, name), "workers", name);
  await using one = await worker("one");
  await one.says("one leads");
  await using two = await worker("two");
  await using peer = await open(bus, "ann");
  const beat = async () =>
    (await roomState(peer.room("workers")).get("beat")).value as { name: string };
  await until("one beats", async () => (await beat())?.name === "one");
  await one.kill();
  await two.says("two leads");
  await until("two beats", async () => (await beat()).name === "two");
  const fences = [one, two].map(({ lines }) => Number(/fence (\d+)/.exec(lines.join())?.[1]));
  assert.ok(fences[0]! < fences[1]!, `${fences}`);
}

async function moderation(bus: TestBus): Promise<void> {
  const token = await as(bus, "bot", "service");
  await using bot = startRecipe("moderator.ts", bus.url, token, "lobby", "spam");
  await bot.says("watching lobby");
  await using ann = await open(bus, "ann");
  const room = ann.room("lobby");
  await room.publish("chat", { text: "hello" });
  await room.publish("chat", { text: "SPAM" });
  await bot.says("ann: 1 of 3");
  await bot.kill();
  // One that is started again knows of the first time.
  await using again = startRecipe("moderator.ts", bus.url, token, "lobby", "spam");
  await again.says("watching lobby");
  await room.publish("chat", { text: "more spam" });
  await again.says("ann: 2 of 3");
  await room.publish("chat", { text: "spam!" });
  await again.says("ann: 3 of 3");
  await until(
    "ann is out",
    () => room.publish("chat", "?").then(() => false, ({ reason }) => reason === "room-banned"),
  );
}

Deno.test("the recipes of the cookbook do what their page says", async (t) => {
  await using bus = await startBus();
  const recipes = { lateJoin, cursors, typing, unread, leader, moderation };
  for (const [name, run] of Object.entries(recipes)) await t.step(name, () => run(bus));
});
