/** A hook that is ordered to repeat its calls since a time, on a real log. */
import assert from "node:assert/strict";
import { hasOrder, hookBytes, hookKey, withAgain } from "../../shared/records/hook_document.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { until } from "../../shared/testing/until.ts";
import { upTo, World } from "./testing/world.ts";

/** Orders the repetition of all calls for messages stored since then. */
async function orderAgain({ bucket }: World, from_ms: number): Promise<() => Promise<boolean>> {
  const stored = async () => {
    const entry = await bucket.get(hookKey("t", "h"));
    return JSON.parse(new TextDecoder().decode(entry?.value));
  };
  await bucket.put(hookKey("t", "h"), hookBytes(withAgain(await stored(), from_ms)));
  return async () => !hasOrder(await stored());
}

Deno.test("everything since a time is called again, in order by room, and then new messages", async () => {
  await using world = await World.open();
  await world.brain();
  await world.send("o1", 5);
  await world.send("o2", 2);
  await until("all", () => world.receiver.taken.length === 7);
  const from_ms = Date.now() + 5;
  await until("another time", () => Date.now() > from_ms);
  await world.send("o1", 80);
  await world.send("o3");
  await until("all", () => world.receiver.taken.length === 88);
  const before = world.receiver.taken.splice(0);
  const isDone = await orderAgain(world, from_ms);
  await until("it is done", isDone);
  await world.send("o1", 3);
  await until("again", () => world.receiver.taken.length === 84);
  assert.deepEqual(world.taken("o1"), [...upTo(80, 7), 88, 89, 90]);
  assert.deepEqual([world.taken("o2"), world.taken("o3")], [[], [87]]);
  const ids = new Set(before.map(({ id }) => id));
  assert.equal(world.receiver.taken.filter(({ id }) => ids.has(id)).length, 81, "previous ids");
});

Deno.test("requested replays survive the Brain that accepted them, and report what is lost", async () => {
  await using world = await World.open();
  await world.brain("b1", new Registry(), { rooms_kept: 1 });
  for (const room of ["o1", "o2", "o3"]) await world.send(room, 4);
  const positions = async () => (await world.bucket.keys(["t", "h", "room"])).length;
  await until("all", () => world.receiver.taken.length === 12);
  // Positions since the previous survey may stay: `rooms_kept` of them do not trigger a merge.
  await until("one position", async () => await positions() <= 1);
  world.receiver.taken.splice(0);
  await world.receiver.stop();
  await world.log.trim("o2", 1);
  const isDone = await orderAgain(world, 0);
  await until("it is done", isDone);
  world.give("b2");
  await world.brain("b2", new Registry(), { rooms_kept: 1 });
  world.receiver.start();
  await until("again", () => world.types().filter((type) => type === "room.message").length === 9);
  assert.deepEqual([world.taken("o1"), world.taken("o2"), world.taken("o3")], [
    upTo(4),
    [7],
    upTo(4, 8),
  ]);
  const lost = world.receiver.taken.filter(({ body }) => body.type === "hook.lost");
  assert.deepEqual(lost.map(({ body }) => body.data.room), ["o2"]);
});
