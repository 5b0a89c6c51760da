/** Reads of stored messages are charged: pages of history and of streams are counted, priced and in budgets. */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startBusWith, type TestBus } from "./harness/bus.ts";
import { openText, type RawClient } from "./peers/raw_client.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const CONFIG = `
[usage]
enabled = true
#constant usage.flush_ms = 50
[usage.prices]
reads = 2
read_bytes = 0.5
[[rooms]]
room = "kept-*"
durable = true
`;

async function ask(client: RawClient, operation: object) {
  client.send({ ...operation, id: 1 });
  for (;;) {
    const answer = await client.json();
    if (answer.op === "ack") return answer;
  }
}

const kept = (data: object) => ({ op: "cmd", room: "kept-1", name: "history.get", data });

async function totalOf(bus: TestBus, by = "") {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  return await new AdminClient(bus.admin_url, token).read(`/v1/usage?by=${by}`);
}

Deno.test("usage: pages of history and streams are counted and priced, by the room that is read", async () => {
  await using bus = await startBusWith(CONFIG);
  const token = await bus.tokenFor({ role: "service" });
  const headers = { authorization: `Bearer ${token}` };
  using client = await openText(bus.url, token);
  for (let at = 0; at < 3; at++) {
    assert.equal((await ask(client, { op: "pub", room: "kept-1", type: "t", data: at })).code, 0);
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
  const answer = await ask(client, kept({}));
  assert.equal(answer.code, 0);
  await until("it counts too", async () => (await totalOf(bus)).total.reads === 5);
  const { rows } = await totalOf(bus, "room");
  const of = (room: string) => rows.find((row: { room: string }) => row.room === room);
  assert.equal(of("kept-*").reads, 5);
});

Deno.test("usage: a budget of reads that is used up refuses reads", async () => {
  const budget = `[[usage.budgets]]\nper = "day"\nunit = "reads"\nlimit = 3\naction = "refuse"\n`;
  await using bus = await startBusWith(CONFIG + budget);
  const token = await bus.tokenFor({ role: "service" });
  using client = await openText(bus.url, token);
  let last = await ask(client, kept({}));
  assert.equal(last.code, 0);
  await until(() => `a refusal: ${JSON.stringify(last)}`, async () => {
    last = await ask(client, kept({}));
    return last.code !== 0;
  });
  assert.deepEqual([last.code, last.reason], [429, "budget-exhausted"]);
  const page = await new HttpPeer(bus.http_url, token).call("GET", "rooms/kept-1/messages");
  assert.equal(page.status, 429);
  assert.ok(Number(page.headers.get("retry-after")) > 0);
});
