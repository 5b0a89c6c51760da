/**
 * A receiver answers that it is gone while the Brain that called it is killed: the hook is off on the next Brain, stays
 * off when that one dies, too, and has lost nothing when it is resumed. On a real NATS.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { hookTables, numbersOf, Receiver } from "./hooks/receiver.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const GONE = () => new Response(null, { status: 410 });

Deno.test("a hook that answers 410 while its Brain dies is off, stays off, and loses nothing", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  await using receiver = new Receiver();
  const config = `[nats]\nurls = ["${nats.url}"]\n${
    hookTables(receiver.url, "acme")
  }${issuer.config}`;
  const start = (name: string) => startServer("brain", config, issuer.dir, `node_id = "${name}"`);
  await using first = await start("b1");
  await using shield = await startServer("shield", config, issuer.dir, 'node_id = "s1"');
  const { admin_url = "", url = "" } = shield.ready;
  const admin = new HttpPeer(admin_url, await issuer.tokenFor({ role: "admin" }));
  const client = new HttpPeer(url, await issuer.tokenFor());
  const hook = async () => (await admin.call("GET", "tenants/acme/hooks/h")).body.hook;
  let last = 0;
  const publish = async () => {
    const { status } = await client.call("POST", "rooms/o-1/messages", {
      ...{ type: "t", data: { n: last }, message_id: `m-${last}` },
    });
    assert.equal(status, 200);
    last++;
  };
  await until("a Brain has it", async () => (await hook()).since !== null);
  await publish();
  await until("the first has arrived", () => receiver.taken.length === 1);
  // Its Brain dies while the answer is in flight.
  receiver.answer = async () => {
    receiver.answer = GONE;
    await first.stop("SIGKILL");
    return GONE();
  };
  await publish();
  await until("it was called", () => receiver.answer === GONE);
  {
    await using second = await start("b2");
    await until("it is off", async () => (await hook()).state === "off");
    await publish();
    await second.stop("SIGKILL");
  }
  receiver.answer = () => undefined;
  const calls = receiver.calls.length;
  await using _third = await start("b3");
  await publish();
  const { state, problem } = await hook();
  assert.deepEqual([state, /answered 410/.test(problem)], ["off", true], problem);
  const resumed = await admin.call("POST", "tenants/acme/hooks/h/resume");
  assert.equal(resumed.status, 200, JSON.stringify(resumed.body));
  await until("everything has arrived", () => numbersOf(receiver)["o-1"]?.length === last);
  assert.deepEqual(numbersOf(receiver)["o-1"], [0, 1, 2, 3]);
  assert.equal(receiver.calls.length, calls + 3, "nothing was called while it was off");
  assert.deepEqual(receiver.problems, []);
});
