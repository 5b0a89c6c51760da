/** A healthy bus logs nothing at warn when it starts, nor when its operator queries it. */
import assert from "node:assert/strict";
import { AdminClient } from "../peers/admin_client.ts";
import { startLocalBus } from "../harness/local_bus.ts";

Deno.test("a bus that starts and is queried about itself has no warnings", async () => {
  await using bus = await startLocalBus();
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const { nodes } = await admin.read("/v1/cluster");
  assert.ok(nodes.length > 0);
  assert.deepEqual(bus.log().split("\n").filter((line) => /level=(warn|error)/.test(line)), []);
});
