/**
 * Many good clients at once from one address, as behind a NAT or an unknown proxy: each is admitted, or answered 503
 * with a retry time; none is disconnected without an answer.
 */
import assert from "node:assert/strict";
import { crowd } from "./crowd/crowd.ts";
import { startLocalBus } from "./harness/local_bus.ts";

const configOf = (websocket: string) => `
[server]
websocket = "${websocket}"
drain_ms = 0
`;

/**
 * The time limit of heads has its own test: clients in the server's process may exceed it on a busy machine. Deno's own
 * server has a fixed one: 30 s. On a machine that accepts all before it reads any, 768 are admitted
 * (`strangers_per_address`) and 1,024 may wait for their 503 (`strangers`): the crowd of our own server is nearly as
 * large.
 */
const COUNTS = { own: 1_750, native: 1_000 };

for (const [websocket, count] of Object.entries(COUNTS)) {
  Deno.test(`${count} clients at once from one address: in, or 503 with a time (${websocket})`, async () => {
    await using bus = await startLocalBus(configOf(websocket), {
      constants: { limits: { request_head_ms: 600_000 } },
    });
    const { port, pathname: path } = new URL(bus.url);
    using report = await crowd({ port: Number(port), path, token: bus.token, count });
    const { inside, refused, others } = report;
    assert.deepEqual(others, {});
    assert.ok(inside >= 256, `${inside} are in`);
    assert.equal(inside + refused, count);
  });
}
