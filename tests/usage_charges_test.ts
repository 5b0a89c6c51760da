/**
 * What else is charged: pages of history and of streams that are read, and deploys of reducers while a budget is used
 * up. `brain/reducers/usage/` tests the counts of reducers.
 */
import assert from "node:assert/strict";
import { sha256Hex } from "../shared/sha256.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { answered, ask, openText } from "./peers/raw_client.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { reducedRooms, reducerFile } from "../shared/testing/reducers.ts";

const CONFIG = `
[usage]
enabled = true
#constant usage.flush_ms = 50
[usage.prices]
reads = 2
read_bytes = 0.5
${durableRooms("kept-*")}
`;

const kept = (data: object) => ({ op: "cmd", room: "kept-1", name: "history.get", data });

async function totalOf(bus: TestBus, by = "") {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  return await new AdminClient(bus.admin_url, token).read(`/v1/usage?by=${by}`);
}

Deno.test("usage: pages of history and streams are counted and priced, by the room that is read", async () => {
  await using bus = await startLocalBus(CONFIG);
  const token = await bus.tokenFor({ role: "service" });
  const headers = { authorization: `Bearer ${token}` };
  using client = await openText(bus.url, token);
  for (let at = 0; at < 3; at++) {
    await ask(client, { op: "pub", room: "kept-1", type: "t", data: at });
  }
  let read_bytes = 0;
  const page = async (query: string) => {
    const answer = await fetch(`${bus.http_url}/v1/rooms/kept-1/messages${query}`, { headers });
    assert.equal(answer.status, 200);
    read_bytes += (await answer.arrayBuffer()).byteLength;
  };
  await page("");
  await page("?limit=1");
  // Two pages of the log are scanned for this one.
  const filter = encodeURIComponent('data == "never"');
  await page(`?filter=${filter}`);
  const stream = `${bus.http_url}/v1/streams/kept-stream`;
  const put = { ...headers, "content-type": "text/plain" };
  assert.equal((await fetch(stream, { method: "PUT", headers: put, body: "first" })).status, 201);
  const text = await (await fetch(`${stream}?offset=-1`, { headers })).text();
  assert.equal(text, "first");
  read_bytes += text.length;
  const expected = () => JSON.stringify({ reads: 4, read_bytes });
  let total = { reads: 0, read_bytes: 0, cost: 0 };
  const found = () => JSON.stringify({ reads: total.reads, read_bytes: total.read_bytes });
  await until(() => `${found()} is ${expected()}`, async () => {
    ({ total } = await totalOf(bus));
    return found() === expected();
  });
  assert.equal(total.cost, 4 * 2 + read_bytes * 0.5);
  await ask(client, kept({}));
  await until("it counts too", async () => (await totalOf(bus)).total.reads === 5);
  const { rows } = await totalOf(bus, "room");
  const of = (room: string) => rows.find((row: { room: string }) => row.room === room);
  assert.equal(of("kept-*").reads, 5);
});

Deno.test("usage: a budget of reads that is used up refuses reads", async () => {
  const budget = `[[usage.budgets]]\nper = "day"\nunit = "reads"\nlimit = 3\naction = "refuse"\n`;
  await using bus = await startLocalBus(CONFIG + budget);
  const token = await bus.tokenFor({ role: "service" });
  using client = await openText(bus.url, token);
  let last = await ask(client, kept({}));
  await until(() => `a refusal: ${JSON.stringify(last)}`, async () => {
    last = await answered(client, kept({}));
    return last.code !== 0;
  });
  assert.deepEqual([last.code, last.reason], [429, "budget-exhausted"]);
  const page = await new HttpPeer(bus.http_url, token).call("GET", "rooms/kept-1/messages");
  assert.equal(page.status, 429);
  assert.ok(Number(page.headers.get("retry-after")) > 0);
});

const REDUCERS = `
[server]
drain_ms = 0
[admin]
operator_tenants = ["default"]
[limits]
#constant limits.command_timeout_ms = 60_000
${reducedRooms("count-*", "counter")}
[usage]
enabled = true
#constant usage.flush_ms = 50
[usage.prices]
fuel = 2
[[usage.budgets]]
per = "month"
unit = "fuel"
limit = 1
action = "refuse"
`;

Deno.test("usage: a deploy is refused while its tenant's budget is used up, before its module is compiled", async () => {
  await using bus = await startLocalBus(REDUCERS);
  const admin = new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  const put = (path: string, body: unknown, type = "application/json") =>
    admin.ask("PUT", `/v1/tenants/default/${path}`, body, { "content-type": type });
  const module = await Deno.readFile(reducerFile("counter_rust"));
  const stored = `reducers/count-*/modules/${await sha256Hex(module)}`;
  const budget = { per: "month", unit: "fuel", action: "refuse", limit: 0 };
  assert.equal((await put("budgets", budget)).status, 200);
  for (const path of ["reducers/count-*", stored]) {
    // An invalid module is not inspected.
    for (const bytes of [module, new Uint8Array(8)]) {
      const { status, body, headers } = await put(path, bytes, "application/wasm");
      assert.deepEqual([status, body.reason], [429, "budget-exhausted"], path);
      assert.ok(Number(headers.get("retry-after")) >= 1);
    }
  }
  assert.equal((await put("budgets", { ...budget, limit: 1e9 })).status, 200);
  assert.equal((await put("reducers/count-*", module, "application/wasm")).status, 200);
});
