/**
 * The peers that need no distribution's package, as real servers: everything that is sent arrives,
 * and what goes wrong is told. The others are checked by hand, with exchange.ts.
 */
import assert from "node:assert/strict";
import type { Target } from "../load/targets/target.ts";
import { exchange } from "./exchange.ts";
import { PEER_WIRES, PEERS } from "./mod.ts";

function peer(id: string): Target {
  const found = PEERS.find((target) => target.id === id);
  assert.ok(found);
  return found;
}

for (const id of ["bun", "nats-ws", "socketio"]) {
  for (const tls of [false, true]) {
    const how = tls ? "with TLS" : "in plain";
    Deno.test(`${id} ${how}: everyone in a room gets everything, whole and in order`, async () => {
      const size = { connections: 4, messages: 100, tls };
      const { version, deliveries, wrong } = await exchange(peer(id), size);
      assert.match(version, /\d+\.\d+\.\d+/);
      assert.equal(deliveries, 1_600);
      assert.deepEqual(wrong, []);
    });
  }
}

for (const id of ["nats-ws", "socketio"] as const) {
  Deno.test(`${id}: a connection that the server ends is a problem`, async () => {
    await using parts = new AsyncDisposableStack();
    const running = parts.use(await peer(id).start({ tls: false, tenants: 1 }));
    const { promise, resolve } = Promise.withResolvers<string>();
    const wire = PEER_WIRES[id === "nats-ws" ? "nats" : "socketio"];
    const options = { tenant: 0, batch: false, onMessage: () => {}, onProblem: resolve };
    const connection = await wire.open(running.wire, options);
    await connection.subscribe("room");
    await parts.disposeAsync();
    assert.notEqual(await promise, "");
    connection.close();
  });
}

Deno.test("nats-ws: a room that is no subject is refused", async () => {
  await using running = await peer("nats-ws").start({ tls: false, tenants: 1 });
  const options = { tenant: 0, batch: false, onMessage: () => {}, onProblem: () => {} };
  const connection = await PEER_WIRES.nats.open(running.wire, options);
  await assert.rejects(connection.subscribe("a..b"), /Invalid Subject/);
  connection.close();
});
