/**
 * Hooks for policy refusals and exhausted budgets: they are called from a log, no matter which server stored the
 * entries, with the number of dropped ones; and no client can read or write that room.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { PATIENT_POLICIES } from "./harness/patient_policies.ts";
import { hookTable, type ReceivedCall, Receiver } from "./hooks/receiver.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openText } from "./peers/raw_client.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const BACKOFF = "#constant webhooks.backoff_ms = 10\n#constant webhooks.backoff_max_ms = 100\n";
const hook = (id: string, url: string, lines: string) => hookTable(id, url, BACKOFF + lines);
const FEW = { constants: { webhooks: { refusals_per_second: 5 } } };

const configOf = (url: string) => `
[server]
drain_ms = 0
[admin]
operator_tenants = ["*"]
${durableRooms("o-*")}
[usage]
enabled = true
#constant usage.flush_ms = 100
budgets = [{ tenant = "default", per = "day", unit = "messages_in", limit = 3, action = "warn" }]
[webhooks]
private_hosts = ["127.0.0.1"]
#constant webhooks.survey_ms = 200
${
  hook(
    "gate",
    url,
    'room = "o-*"\nevents = []\nbefore = ["publish", "subscribe"]\ntimeout_ms = 60_000',
  )
}
${hook("told", url, 'room = "o-*"\nevents = ["policy.refused", "budget.exhausted"]')}
${hook("other", url, 'room = "x-*"\nevents = ["policy.refused"]')}
`;

/** Denies the secret ones, and accepts everything else. */
const answer = ({ body: { type, data } }: ReceivedCall) => {
  if (!type.startsWith("before.")) return undefined;
  return Response.json({
    allow: data.message?.type !== "secret" && data.room !== "o-9",
    reason: "no",
  });
};
const callsOf = ({ taken }: Receiver, type: string) => {
  const calls = new Map(taken.map((call) => [call.id, call.body]));
  return [...calls.values()].filter((body) => body.type === type);
};

Deno.test("refusals and budgets are notified, in order, and the excess is counted", async () => {
  await using receiver = new Receiver();
  receiver.answer = answer;
  await using bus = await startLocalBus(configOf(receiver.url) + PATIENT_POLICIES, FEW);
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const client = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "ann" }));
  const since = async (id: string) =>
    (await admin.call("GET", `tenants/default/hooks/${id}`)).body.hook.since;
  await until(
    "hooks have begun",
    async () => await since("told") !== null && await since("other") !== null,
  );
  const publish = async (type: string, room = "o-1") =>
    (await client.call("POST", `rooms/${room}/messages`, { type, data: {} })).status;
  assert.deepEqual([await publish("paid"), await publish("secret")], [200, 403]);
  await until("it is notified", () => callsOf(receiver, "policy.refused").length === 1);
  const [{ data: { room, event } }] = callsOf(receiver, "policy.refused");
  assert.deepEqual([room, event.what, event.reason, event.user_id], [
    "o-1",
    "publish",
    "policy-rejected",
    "ann",
  ]);
  assert.match(event.message, /no/);
  using socket = await openText(bus.url, await bus.tokenFor({ user: "bob" }));
  socket.send({ op: "sub", room: "o-9", id: 1 });
  await until("a subscription", () => callsOf(receiver, "policy.refused").length === 2);
  assert.equal(callsOf(receiver, "policy.refused")[1].data.event.what, "subscribe");
  await Promise.all(Array.from({ length: 60 }, () => publish("secret")));
  const count = () =>
    callsOf(receiver, "policy.refused").length +
    callsOf(receiver, "hook.lost").reduce((sum, { data }) => sum + data.count, 0);
  // The other hook is notified of what is left out, too, under the same ids.
  await until("each is notified or counted", () => count() === 62);
  assert.ok(callsOf(receiver, "hook.lost").every(({ data }) => data.reason === "left-out"));
  for (let turn = 0; turn < 5; turn++) assert.equal(await publish("paid"), 200);
  await until("the budget", () => callsOf(receiver, "budget.exhausted").length === 1);
  const [{ data }] = callsOf(receiver, "budget.exhausted");
  assert.deepEqual([data.room, data.event.unit, data.event.limit, data.event.action], [
    null,
    "messages_in",
    3,
    "warn",
  ]);
  assert.deepEqual(receiver.problems, []);
});

Deno.test("no client reads or writes the room of events, by its name or by a pattern", async () => {
  await using receiver = new Receiver();
  receiver.answer = answer;
  await using bus = await startLocalBus(configOf(receiver.url) + PATIENT_POLICIES, FEW);
  const client = new HttpPeer(bus.http_url, await bus.tokenFor());
  assert.equal(
    await client.refused("POST", "rooms/~events/messages", { type: "t", data: {} }),
    "403 not-granted",
  );
  assert.equal(await client.refused("GET", "rooms/~events/messages"), "403 not-granted");
  using socket = await openText(bus.url, bus.token);
  socket.send({ op: "sub", room: "~events", id: 1 });
  assert.equal((await socket.json()).reason, "not-granted");
  await ask(socket, { op: "sub", room: "~*" });
  const denied = { type: "secret", data: {} };
  assert.equal((await client.call("POST", "rooms/o-1/messages", denied)).status, 403);
  await until("it is notified", () => callsOf(receiver, "policy.refused").length === 1);
  socket.send({ op: "pub", room: "~other", type: "mine", id: 3 });
  for (let frame = await socket.json(); frame.type !== "mine"; frame = await socket.json()) {
    assert.notEqual(frame.op, "msg", JSON.stringify(frame));
  }
});

Deno.test("hooks show that a tenant without a durable class gets no refusals; with one they are stored", async () => {
  await using receiver = new Receiver();
  receiver.answer = answer;
  const config = configOf(receiver.url).replace(durableRooms("o-*"), "");
  await using bus = await startLocalBus(config + PATIENT_POLICIES, FEW);
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin" }));
  const client = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "ann" }));
  const problems = async () =>
    (await admin.call("GET", "tenants/default/hooks")).body.hooks
      .map(({ id, problem }: { id: string; problem: string }) =>
        `${id} ${/no room class of the tenant is durable/.test(problem)}`
      ).toSorted();
  // The gate is called before the message, and not for anything afterwards.
  assert.deepEqual(await problems(), ["gate false", "other true", "told true"]);
  const secret = { type: "secret", data: {} };
  assert.equal((await client.call("POST", "rooms/o-1/messages", secret)).status, 403);
  const { status } = await admin.call("PUT", "tenants/default/rooms", {
    ...{ room: "o-*", durable: true },
  });
  assert.equal(status, 200);
  assert.deepEqual(await problems(), ["gate false", "other false", "told false"]);
  await until("it is stored", async () => {
    const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
    return metrics.includes('shield_hook_events_total{result="stored"} 1');
  });
});
