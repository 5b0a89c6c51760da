/**
 * `GET /v1/why` over two Shields, one of which was cut off from a real NATS: what its user should have had, too, is
 * found with the other one, and the whole answer comes in time though a Shield stands still.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { ServerProcess } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { ask, openText } from "./peers/raw_client.ts";

/** Younger messages may be under way: nobody says that they were lost. */
const UNDER_WAY_MS = 1_000;

/** The times by one clock, and the whole answer in time though a Shield stands still. */
async function clocksAndSilence(admin: AdminClient, one: ServerProcess, two: ServerProcess) {
  const { messages, ledgers, here } = await admin.read("/v1/why?message_id=first");
  assert.equal(here, one.ready.node_id);
  for (const { time_ms, here_ms, node_id } of messages[0].heard) {
    const clock = ledgers.find((ledger: { node_id: string }) => ledger.node_id === node_id);
    assert.equal(here_ms, time_ms - clock.ahead_ms);
    // Both are clocks of this machine.
    assert.ok(Math.abs(clock.ahead_ms) <= clock.within_ms + 1, JSON.stringify(clock));
  }
  two.signal("SIGSTOP");
  try {
    const partly = await admin.read("/v1/why?message_id=first&user=ann");
    assert.deepEqual(partly.nodes, {
      answered: [one.ready.node_id],
      silent: [two.ready.node_id],
    });
    assert.equal(partly.connections[0].outcomes[0].state, "sent");
  } finally {
    two.signal("SIGCONT");
  }
}

Deno.test("messages that did not come to a user's Shield are due, and lost on the way", async () => {
  await using nats = await startNats({ jetstream: true });
  await using proxy = startTcpProxy(nats.port);
  const issuer = await createIssuer();
  const start = (port: number) =>
    startServer(
      "shield",
      `[nats]\nurls = ["nats://127.0.0.1:${port}"]\n${issuer.config}`,
      issuer.dir,
      "drain_ms = 0\n",
      0,
      [],
      'operator_tenants = ["acme"]',
    );
  {
    await using one = await start(nats.port);
    await using two = await start(proxy.port);
    const token = await issuer.tokenFor({ role: "admin", sub: "root" });
    const admin = new AdminClient(one.ready["admin_url"] ?? "", token);
    const known = await admin.until(
      "/v1/cluster",
      "not all are known",
      ({ body }) => body.nodes.length === 2 ? true : undefined,
    );
    assert.equal(known, true);
    const socket = (url = "") => `${url.replace(/^http/, "ws")}/v1/socket`;
    using ann = await openText(socket(one.ready.url), await issuer.tokenFor({ sub: "ann" }));
    using bob = await openText(socket(two.ready.url), await issuer.tokenFor({ sub: "bob" }));
    for (const client of [ann, bob]) await ask(client, { op: "sub", room: "hall" });
    const next = async (what: "t" | "GAP") => {
      for (;;) {
        const frame = await bob.json();
        if ((frame.signal?.kind ?? frame.type) === what) return frame;
      }
    };
    const publish = (message_id: string) =>
      ask(ann, { op: "pub", room: "hall", type: "t", data: 1, message_id });
    await publish("first");
    assert.equal((await next("t")).message_id, "first");
    const subscribed_ms = Date.now();
    await until("it was subscribed before", () => Date.now() > subscribed_ms + 2 * UNDER_WAY_MS);
    await proxy.cut();
    for (const id of ["lost-1", "lost-2"]) await publish(id);
    proxy.restore();
    await next("GAP");
    await publish("last");
    assert.equal((await next("t")).message_id, "last");
    const path = "/v1/why?user=bob&room=hall&since_ms=0";
    let account = { due: 0, sent: 0, missed_count: 0, missed: [], gaps: [] };
    await until("it is no more under way", async () => {
      // A busy machine's Shield may be late for one answer, and is named there.
      const { connections: [told] } = await admin.read(path);
      account = told?.room ?? account;
      return account.missed_count > 1;
    });
    assert.deepEqual([account.due, account.sent, account.missed_count], [4, 2, 2]);
    assert.ok(account.gaps.length > 0);
    const states = account.missed.map(({ outcome }: { outcome: { state: string } }) =>
      outcome.state
    );
    assert.deepEqual(states, ["not_heard", "not_heard"]);
    await clocksAndSilence(admin, one, two);
  }
  await Deno.remove(issuer.dir, { recursive: true });
});
