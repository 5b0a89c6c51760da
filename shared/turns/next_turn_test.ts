/** Work that never ends lets sockets be polled between any two turns. */
import assert from "node:assert/strict";
import { lookAtSockets, nextTurn } from "./next_turn.ts";

/** The turns of endless work until a message has made a round trip. */
async function turnsOfAnEcho(turn: (job: () => void) => void): Promise<number> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const [server, client] = await Promise.all([
    listener.accept(),
    Deno.connect({ hostname: "127.0.0.1", port }),
  ]);
  let turns = 0;
  let busy = true;
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const go = () => {
    turns++;
    if (busy) turn(go);
    else resolve();
  };
  go();
  const byte = new Uint8Array(1);
  await client.write(byte);
  await server.read(byte);
  await server.write(byte);
  await client.read(byte);
  const needed = turns;
  busy = false;
  await over;
  server.close();
  client.close();
  return needed;
}

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
