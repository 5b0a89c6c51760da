/**
 * The peers that need no system package, and the bus with a peer's protocol, as real servers under the load generator:
 * all sent messages arrive, and failures are reported.
 */
import assert from "node:assert/strict";
import { runLoad } from "../load/crowd/driver.ts";
import { ownRooms } from "../load/plans/plan.ts";
import type { Target } from "../load/targets/target.ts";
import { ARQON_CENTRIFUGO } from "../load/targets/target_arqon.ts";
import { PEER_WIRES, PEERS } from "./mod.ts";

function peer(id: string): Target {
  const found = [ARQON_CENTRIFUGO, ...PEERS].find((target) => target.id === id);
  assert.ok(found);
  return found;
}

for (const id of ["arqon+centrifugo", "bun", "nats-ws", "socketio"]) {
  for (const tls of [false, true]) {
    const how = tls ? "with TLS" : "in plain";
    Deno.test(`${id} ${how}: every member of a room receives every message`, async () => {
      await using running = await peer(id).start({ tls, tenants: 1 });
      assert.match(running.version, /\d+\.\d+\.\d+/);
      const report = await runLoad(running, {
        ...{ groups: [ownRooms(4, "all", { rooms: 1 })], processes: 1, echo: false },
        ...{ pace: { kind: "rate", rate: 200, burst: 1 }, sizes_bytes: [259] },
        ...{ seconds: 1, warmup_seconds: 0 },
      });
      assert.deepEqual(report.problems, []);
      assert.equal(report.expected, 800);
      assert.equal(report.received, 800);
    });
  }
}

for (const id of ["nats-ws", "socketio"] as const) {
  Deno.test(`${id}: a disconnection by the server is reported as a problem`, async () => {
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

Deno.test("nats-ws: a room name that is not a valid subject is refused", async () => {
  await using running = await peer("nats-ws").start({ tls: false, tenants: 1 });
  const options = { tenant: 0, batch: false, onMessage: () => {}, onProblem: () => {} };
  const connection = await PEER_WIRES.nats.open(running.wire, options);
  await assert.rejects(connection.subscribe("a..b"), /Invalid Subject/);
  connection.close();
});
