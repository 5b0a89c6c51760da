/** Work that never ends lets sockets be polled between any two turns. */
import assert from "node:assert/strict";
import { turnsOfAnEcho } from "../testing/echo_turns.ts";
import { lookAtSockets, nextTurn } from "./next_turn.ts";

Deno.test("sockets are polled between any two turns of busy work", async () => {
  const end = lookAtSockets();
  // The connection exists only now.
  await turnsOfAnEcho(nextTurn);
  const counts: number[] = [];
  for (let i = 0; i < 10; i++) counts.push(await turnsOfAnEcho(nextTurn));
  end();
  assert(Math.max(...counts) <= 8, `an echo took ${counts.join(", ")} turns`);
});

Deno.test("jobs run once each, in order, and jobs added in a turn run in a later one", async () => {
  for (const look of [lookAtSockets, () => () => {}]) {
    const end = look();
    const order: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    nextTurn(() => {
      order.push("first");
      nextTurn(() => order.push("later"));
      nextTurn(resolve);
      order.push("first ends");
    });
    nextTurn(() => order.push("second"));
    order.push("now");
    await promise;
    end();
    assert.deepEqual(order, ["now", "first", "first ends", "second", "later"]);
  }
});
