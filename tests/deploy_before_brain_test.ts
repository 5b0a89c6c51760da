/**
 * Deployments and settings made before any Brain has started are stored, requests that need a Brain are told to retry,
 * and the first Brain executes all of it.
 */
import assert from "node:assert/strict";
import { runArq } from "../arq/testing/run_arq.ts";
import { until } from "../shared/testing/until.ts";
import { ping } from "../shield/schema/testing/schemas.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import { documentedAccounts, shippedAccounts } from "./harness/documented_accounts.ts";
import { startNats } from "./harness/nats_server.ts";
import { Receiver, SECRET } from "./hooks/receiver.ts";
import { type HttpAnswer, HttpPeer } from "./peers/http_peer.ts";
import { asker, GOOD_RULE, OLD_RULE, putPolicy, rolloutBody, upload } from "./rollout_traffic.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const BUILD = new URL("../policies/build/", import.meta.url).pathname;
const CONFIG = `
[limits]
#constant limits.command_timeout_ms = 2_000
[webhooks]
tenant_private_hosts = ["127.0.0.1"]
[[reducers]]
name = "counter"
file = "${BUILD}reducers/counter.wasm"
${durableRooms("count-*", 'reducer = "counter"')}
`;
const ACCOUNTS = { documented: documentedAccounts, shipped: shippedAccounts };

/** A Shield on NATS, to which Brains can be added. */
async function startBus(accounts: () => Promise<string>) {
  await using made = new AsyncDisposableStack();
  const nats = made.use(await startNats({ jetstream: true, config: await accounts() }));
  const issuer = made.use(await createIssuer());
  const start = (part: "shield" | "brain") => {
    const url = nats.url.replace("//", `//${part}:secret@`);
    return startServer(part, `[nats]\nurls = ["${url}"]\n${issuer.config}${CONFIG}`, issuer.dir);
  };
  const shield = made.use(await start("shield"));
  const http_url = new URL(shield.ready.url ?? "").origin.replace(/^ws/, "http");
  const kept = made.move();
  return {
    nats,
    admin_url: shield.ready.admin_url ?? "",
    operator: await issuer.tokenFor({ role: "admin", sub: "root" }),
    peer: new HttpPeer(http_url, await issuer.tokenFor({ role: "service" })),
    startBrain: () => start("brain"),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function comesAgain({ status, body, headers }: HttpAnswer): void {
  assert.deepEqual([status, body.reason], [503, "brain-unavailable"]);
  assert.ok(Number(headers.get("retry-after")) > 0, "and when to come again");
}

for (const [name, accounts] of Object.entries(ACCOUNTS)) {
  Deno.test(`a deployment before the first Brain starts is kept, and a call is told to retry (${name} accounts)`, async () => {
    await using bus = await startBus(accounts);
    const call = () => {
      const body = { name: "room.call", data: { command: "add", data: 7 } };
      return bus.peer.call("POST", "rooms/count-1/commands", body);
    };
    comesAgain(await call());
    const ask = asker(bus.admin_url, bus.operator);
    const module = await Deno.readFile(`${BUILD}reducers/counter_rust.wasm`);
    const { status, body } = await ask("PUT", "tenants/acme/reducers/count-*", module);
    assert.equal(status, 200, JSON.stringify(body));
    comesAgain(await call());
    const to = ["--admin-url", bus.admin_url, "--token", bus.operator, "--tenant", "acme"];
    const shown = await runArq(["room", "programs", ...to]);
    assert.match(shown.stdout, /^count-\*/m, shown.stderr);
    assert.match(shown.stderr, /cut off there are missing: no answer from any Brain/);
    await using _brain = await bus.startBrain();
    await until("a Brain serves", async () => (await call()).status === 200);
    assert.deepEqual(bus.nats.violations, []);
  });
}

Deno.test("classes, hooks, schedules, policies, rollouts and schemas set before a Brain has started are in force", async () => {
  await using receiver = new Receiver();
  await using bus = await startBus(documentedAccounts);
  const ask = asker(bus.admin_url, bus.operator);
  const done = async (method: string, path: string, body?: object) => {
    const answer = await ask(method, path, body);
    assert.equal(answer.status, 200, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  await done("PUT", "tenants/acme/rooms", { room: "kept-*", durable: true });
  const published = () => bus.peer.call("POST", "rooms/kept-1/messages", { type: "chat", data: 1 });
  await until("the class is in force", async () => (await published()).body.offset > 0);
  await done("PUT", "tenants/acme/hooks/h", { url: receiver.url, room: "kept-*", secret: SECRET });
  const message = { type: "tick", data: 1 };
  await done("PUT", "tenants/acme/schedules/s", { room: "kept-s", message, every_ms: 1_000 });
  await putPolicy(ask, "acme", await upload(ask, OLD_RULE));
  await done("PUT", "schemas/ping", ping());
  const mapping = { subject: "in.t.acme.r.typed", schema_id: "ping", message: "t.Ping" };
  await done("PUT", "tenants/acme/mappings", mapping);
  const rule = await rolloutBody(ask, "acme", await upload(ask, GOOD_RULE), {
    at_least: 1,
    canary: 1,
  });
  await done("POST", "rollouts/acme", rule);
  const rollout = async () => (await ask("GET", "rollouts/acme")).body.rollout;
  assert.equal((await rollout()).state, "running");
  // Shields alone do these.
  const { body: { offset } } = await published();
  const read = async () => (await bus.peer.call("GET", "rooms/kept-s/messages")).body.messages;
  await until("a schedule publishes", async () => (await read())?.length > 0);
  const typed = () => bus.peer.call("POST", "rooms/typed/messages", { type: "t", data: { no: 1 } });
  await until("the schema refuses", async () => (await typed()).status === 400);
  // These need a Brain.
  const banned = { user_id: "bob" };
  const ban = () => bus.peer.call("POST", "rooms/kept-1/bans", banned);
  comesAgain(await ban());
  comesAgain(await bus.peer.call("PUT", "rooms/kept-1/state/a", { value: 1 }));
  comesAgain(await bus.peer.call("GET", "rooms/kept-1/presence"));
  for (const path of ["ban", "kick"]) {
    const more = path === "ban" ? { scope: "room" } : {};
    const { status, body } = await ask("POST", `rooms/acme/kept-1/${path}`, { ...banned, ...more });
    assert.deepEqual([status, body.reason], [503, "brain-unavailable"], path);
  }
  const cut_off = await ask("GET", "tenants/acme/rooms/cut-off");
  assert.equal(cut_off.status, 503, `nobody could say: ${JSON.stringify(cut_off.body)}`);
  assert.deepEqual(receiver.calls, []);
  await using _brain = await bus.startBrain();
  await until("a Brain serves", async () => (await ban()).status === 200);
  const called = () => receiver.taken.find(({ body }) => body.data.room === "kept-1")?.body.data;
  await until("the hook is called", () => called() !== undefined);
  assert.equal(called().offset, offset, "for what came when no Brain had the hook");
  await until("the rollout continues", async () => {
    await published();
    return (await rollout()).state === "applied";
  });
  assert.deepEqual([receiver.problems, bus.nats.violations], [[], []]);
});
