/**
 * The usage ledger, compared with the clients' own count, as the admin API and `arq` show it. And what else is charged:
 * pages of history and of streams that are read, and deploys of reducers while a budget is used up.
 * `brain/reducers/usage/` tests the counts of reducers.
 */
import assert from "node:assert/strict";
import { runArq, succeeds } from "../arq/testing/run_arq.ts";
import { sha256Hex } from "../shared/sha256.ts";
import { reducedRooms, reducerFile } from "../shared/testing/reducers.ts";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { enforce } from "./peers/policy_admin.ts";
import { answered, ask, openText } from "./peers/raw_client.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[usage]
enabled = true
user_claim = "plan"
#constant usage.flush_ms = 50
[usage.prices]
messages_in = 0.5
deliveries = 0.25
${durableRooms("kept-*")}
[[rooms]]
room = "chat-*"
presence = false
`;
const encoder = new TextEncoder();

async function usageOf(bus: Pick<TestBus, "admin_url">, token: string, by: string, more = "") {
  return await new AdminClient(bus.admin_url, token).read(`/v1/usage?by=${by}${more}`);
}

/** As an operator sees it. */
const usedOn = async (bus: TestBus, by = "") =>
  await usageOf(bus, await bus.tokenFor({ role: "admin", user: "root" }), by);

/** Ten messages of two classes of users in three rooms; returns how many bytes a free reader received. */
async function converse(bus: TestBus): Promise<number> {
  await enforce(bus, "bad_words", { name: "words", room: "chat-*" });
  using free = await openText(
    bus.url,
    await bus.tokenFor({ user: "ann", claims: { plan: "free" } }),
  );
  using pro = await openText(bus.url, await bus.tokenFor({ user: "bob", claims: { plan: "pro" } }));
  for (const room of ["chat-1", "kept-1"]) {
    for (const client of [free, pro]) await ask(client, { op: "sub", room });
  }
  let received_bytes = 0;
  for (let at = 0; at < 5; at++) {
    for (const room of ["chat-1", "kept-1"]) {
      pro.send({ op: "pub", room, type: "t", data: at });
      received_bytes += encoder.encode(await free.raw() as string).length;
    }
  }
  // A message that a policy refused was not accepted, but its fuel was used.
  const refused = { op: "pub", room: "chat-1", type: "t", data: "malware" };
  assert.equal((await answered(free, refused)).code, 403);
  return received_bytes;
}

async function check(bus: TestBus): Promise<void> {
  const received_bytes = await converse(bus);
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  let answer = await usageOf(bus, token, "room,user");
  const of = (room: string, user: string) =>
    answer.rows.find((row: Record<string, unknown>) => row.room === room && row.user === user) ??
      {};
  await until(() => `all is counted: ${JSON.stringify(answer)}`, async () => {
    answer = await usageOf(bus, token, "room,user");
    // The last refusal is counted last.
    return of("chat-*", "free").fuel > 0 && of("", "free").connection_minutes > 0 &&
      answer.total.deliveries === 20 && answer.total.messages_in === 10 &&
      answer.total.log_bytes > 0 && Number.isInteger(answer.total.cost);
  });
  assert.deepEqual(
    ["chat-*", "kept-*"].map((room) => of(room, "pro").messages_in),
    [5, 5],
  );
  assert.deepEqual(
    ["chat-*", "kept-*"].flatMap((room) =>
      ["free", "pro"].map((user) => of(room, user).deliveries)
    ),
    [5, 5, 5, 5],
  );
  assert.equal(of("chat-*", "free").bytes_out + of("kept-*", "free").bytes_out, received_bytes);
  assert.ok(of("kept-*", "pro").log_bytes > 5 * 50);
  assert.equal(of("chat-*", "pro").log_bytes, 0);
  assert.equal(of("chat-*", "free").messages_in, 0);
  assert.ok(of("chat-*", "free").fuel > 0 && of("chat-*", "pro").fuel > of("chat-*", "free").fuel);
  assert.ok(of("", "free").connection_minutes > 0);
  assert.equal(answer.total.cost, 10 * 0.5 + 20 * 0.25);
  const by_policy = await usageOf(bus, token, "policy");
  const words = by_policy.rows.find((row: Record<string, unknown>) => row.policy === "words");
  assert.equal(words.fuel, answer.total.fuel);
  await checkArq(bus, token);
}

async function checkArq(bus: TestBus, token: string): Promise<void> {
  const usage = (...args: string[]) =>
    runArq(["usage", ...args, "--admin-url", bus.admin_url, "--token", token]);
  const shown = succeeds(await usage("--by", "room,policy,user", "--since", "30d"));
  assert.match(shown, /^tenant default since 20/);
  assert.match(shown, /\nroom +policy +user +messages in +deliveries/);
  assert.match(shown, /\nall +10 +20 /);
  const csv = await usage("--by", "day", "--csv");
  assert.match(csv.stdout, /^day,messages_in,bytes_in,messages_out,bytes_out,deliveries,/);
  const json = await usage("--json");
  assert.equal(JSON.parse(json.stdout).total.messages_in, 10);
  const wrong = await usage("--by", "colour");
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /by: expected some of room, user, policy, node, minute, hour, day/);
  const both = await usage("--csv", "--json");
  assert.equal(both.code, 2);
}

Deno.test("usage, embedded: counts are those of the clients, and arq shows them", async () => {
  await using bus = await startLocalBus(CONFIG + PATIENT_POLICIES);
  await check(bus);
});

Deno.test("usage: an admin of a tenant sees its own only, and a bus without it has no route", async () => {
  await using bus = await startLocalBus(CONFIG + PATIENT_POLICIES);
  const token = await bus.tokenFor({ role: "admin", user: "root", tenant: "acme" });
  assert.equal((await usageOf(bus, token, "")).tenant, "acme");
  // Counts of clocks that are ahead are in the future: that time can be queried, and has nothing else.
  const since_ms = Date.now() + 86_400_000;
  const later = await usageOf(bus, token, "room", `&since_ms=${since_ms}`);
  assert.deepEqual([later.rows, later.since_ms, later.until_ms], [[], since_ms, since_ms]);
  await using without = await startLocalBus("");
  const root = await without.tokenFor({ role: "admin", user: "root" });
  assert.equal((await new AdminClient(without.admin_url, root).get("/v1/usage")).status, 404);
});

const READS_CONFIG = `
[usage]
enabled = true
#constant usage.flush_ms = 50
[usage.prices]
reads = 2
read_bytes = 0.5
${durableRooms("kept-*")}
`;

const kept = (data: object) => ({ op: "cmd", room: "kept-1", name: "history.get", data });

Deno.test("usage: pages of history and streams are counted and priced, by the room that is read", async () => {
  await using bus = await startLocalBus(READS_CONFIG);
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
    ({ total } = await usedOn(bus));
    return found() === expected();
  });
  assert.equal(total.cost, 4 * 2 + read_bytes * 0.5);
  await ask(client, kept({}));
  await until("it counts too", async () => (await usedOn(bus)).total.reads === 5);
  const { rows } = await usedOn(bus, "room");
  const of = (room: string) => rows.find((row: { room: string }) => row.room === room);
  assert.equal(of("kept-*").reads, 5);
});

Deno.test("usage: a budget of reads that is used up refuses reads", async () => {
  const budget = `[[usage.budgets]]\nper = "day"\nunit = "reads"\nlimit = 3\naction = "refuse"\n`;
  await using bus = await startLocalBus(READS_CONFIG + budget);
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
