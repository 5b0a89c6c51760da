/** `GET /v1/rooms/stored` on a real bus: durable rooms that nobody hears, in pages, and of one's own tenant. */
import assert from "node:assert/strict";
import { startLocalBus } from "../harness/local_bus.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { ask, openText } from "../peers/raw_client.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[admin]
host = "127.0.0.1"
operator_tenants = ["default"]
[[rooms]]
room = "log-*"
durable = true
`;

Deno.test("stored rooms are listed though nobody hears them; a tenant's admin sees its own", async () => {
  await using bus = await startLocalBus(CONFIG);
  const adminOf = async (tenant: string) =>
    new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", tenant }));
  const [operator, acme] = [await adminOf("default"), await adminOf("acme")];
  const path = "/v1/rooms/stored";
  assert.deepEqual(await operator.read(path), { tenant_id: "default", rooms: [], next: null });
  for (
    const [tenant, rooms] of [
      ["default", ["log-b", "log-a1", "plain", "log-a2", "log-a3"]],
      ["acme", ["log-theirs"]],
    ] as const
  ) {
    using ann = await openText(bus.url, await bus.tokenFor({ user: "ann", tenant }));
    for (const room of rooms) await ask(ann, { op: "pub", room, type: "t", data: 1 });
  }
  const rooms = async (client: AdminClient, query: string) => {
    const { rooms, next } = await client.read(`${path}?${query}`);
    return [...rooms, next];
  };
  assert.deepEqual(await rooms(operator, ""), ["log-a1", "log-a2", "log-a3", "log-b", null]);
  assert.deepEqual(await rooms(operator, "prefix=log-a&limit=2"), ["log-a1", "log-a2", "log-a2"]);
  assert.deepEqual(await rooms(operator, "prefix=log-a&limit=2&after=log-a2"), ["log-a3", null]);
  assert.deepEqual(await rooms(operator, "tenant=acme"), ["log-theirs", null]);
  assert.deepEqual(await rooms(acme, ""), ["log-theirs", null]);
  assert.equal((await acme.get(`${path}?tenant=default`)).status, 403);
  for (
    const query of [
      "limit=0",
      "limit=1001",
      "limit=x",
      "prefix=*",
      "after=",
      "room=a",
      "tenant=a.b",
      "limit=1&limit=2",
    ]
  ) {
    assert.equal((await operator.get(`${path}?${query}`)).status, 400, query);
  }
  const user = new AdminClient(bus.admin_url, bus.token);
  assert.equal((await user.get(path)).status, 403);
});
