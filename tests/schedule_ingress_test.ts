/** What a schedule publishes comes in as what anybody publishes: it is counted, and waits where a rate is used up. */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { openText } from "./peers/raw_client.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[limits]
tenant_messages_per_second = 1
`;

Deno.test("schedules count as ingress, and take from the rates of their tenant", async () => {
  await using bus = await startLocalBus(CONFIG);
  using client = await openText(bus.url, bus.token);
  client.send({ op: "sub", room: "hall", id: 1 });
  while ((await client.json()).op !== "ack");
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  const at_ms = Date.now() + 200;
  for (const id of ["one", "two", "three", "four"]) {
    const body = { room: "hall", message: { type: "tick", data: {} }, at_ms };
    const { status, body: said } = await admin.ask(
      "PUT",
      `/v1/tenants/default/schedules/${id}`,
      body,
    );
    assert.equal(status, 200, JSON.stringify(said));
  }
  for (let heard = 0; heard < 4;) if ((await client.json()).op === "msg") heard++;
  const text = await (await fetch(`${bus.ops_url}/metrics`)).text();
  const value = (name: string) =>
    Number(new RegExp(`^${RegExp.escape(name)} (\\d+)`, "m").exec(text)?.[1]);
  assert.ok(value('shield_ingress_ops{op="schedule"}') >= 4);
  // Two seconds' worth are there at once; the others had to wait, and were tried again.
  assert.ok(value('shield_rate_refusals_total{scope="tenant"}') > 0);
});
