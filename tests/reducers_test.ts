/**
 * Reducer rooms on a real bus: calls by the SDKs and over HTTP, and which clients receive which event. `reducer_chaos/`
 * has faults during calls.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { reduced } from "@arqon/sdk/reducers";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { reducedRooms } from "../shared/testing/reducers.ts";

const request_timeout_ms = 60_000;
const CONFIG = `
[server]
drain_ms = 0
[limits]
#constant limits.command_timeout_ms = 60_000
${reducedRooms("count-*", "counter", 'reducer_visible = ["total"]')}
${reducedRooms("auction-*", "auction")}
reducer_visible = ["bidder", "closes_ms", "highest", "seller", "state"]
`;

/**
 * Only clients that may subscribe to the room and are not banned can read and watch its visible state, and nothing
 * else.
 */
async function onlySubscribersSee(bus: TestBus, admin: HttpPeer): Promise<void> {
  const read = async (token: string) => {
    const peer = new HttpPeer(bus.http_url, token);
    return await peer.call("POST", "rooms/count-1/commands", { name: "room.values" });
  };
  const granted = (room: string, action: string) =>
    bus.tokenFor({ user: "eve", claims: { grants: [{ room, actions: [action] }] } });
  const token = await granted("count-1", "subscribe");
  const { status, body } = await read(token);
  assert.equal(status, 200, JSON.stringify(body));
  assert.match(JSON.stringify(body), /"values":\[\["total","8"\]\]/);
  assert.equal((await read(await granted("count-1", "command"))).status, 403);
  const other = await granted("count-2", "subscribe");
  assert.equal((await read(other)).status, 403);
  await using eve = await connect({ url: bus.url, token, request_timeout_ms });
  const values = eve.room("count-1~values");
  const all = (await history(values)).messages.map((message) => message.text()).join();
  assert.match(all, /"total","8"/);
  assert.doesNotMatch(all, /user\//, "what is not visible is nobody's");
  await assert.rejects(values.publish("values", "{}"), { reason: "not-granted" });
  const watched = reduced(eve.room("count-1")).state.watch();
  await watched.ready;
  const ban = { name: "room.ban", data: { user_id: "eve", scope: "room" } };
  assert.equal((await admin.call("POST", "rooms/count-1/commands", ban)).status, 200);
  await watched.ended;
  const banned = { reason: "room-banned" };
  await assert.rejects(reduced(eve.room("count-1")).state.watch().ready, banned);
  await assert.rejects(history(values), banned);
  assert.equal((await read(token)).status, 403, "who is kept out reads nothing");
  await using mallory = await connect({ url: bus.url, token: other, request_timeout_ms });
  await assert.rejects(history(mallory.room("count-1~values")), { reason: "not-granted" });
}

Deno.test("a room is called by the SDK and over HTTP, and publishes its events", async () => {
  await using bus = await startLocalBus(CONFIG);
  const as = async (user: string) =>
    await connect({ url: bus.url, token: await bus.tokenFor({ user }), request_timeout_ms });
  await using ann = await as("ann");
  const counter = reduced<
    { add: [number | string | Uint8Array, number]; reset: [undefined, null] }
  >(
    ann.room("count-1"),
  );
  assert.deepEqual(await counter.call("add", 5, { call_id: "one" }), {
    entry: 1,
    visible: true,
    answer: 5,
  });
  const again = await counter.call("add", 5, { call_id: "one" });
  assert.deepEqual(again, { entry: 2, repeats: 1, answer: 5 });
  assert.equal((await counter.call("add", "-2")).answer, 3);
  assert.equal((await counter.call("add", new TextEncoder().encode("1"))).answer, 4);
  await assert.rejects(counter.call("reset"), {
    ...{ reason: "call-rejected", code: 403, message: /only an admin resets/ },
  });
  await assert.rejects(counter.call("add", "many"), { reason: "call-rejected", code: 400 });
  await assert.rejects(ann.room("count-1").publish("counted", "9"), { reason: "not-granted" });
  await assert.rejects(reduced(ann.room("lobby")).call("add", 1), {
    ...{ reason: "invalid-command", message: /lobby has no reducer/ },
  });
  const log = ann.room("count-1~reducer");
  await assert.rejects(history(log), { reason: "not-granted" });
  await assert.rejects(log.publish("x", "y"), { reason: "not-granted" });
  const admin = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "admin", user: "root" }));
  const reset = await admin.call("POST", "rooms/count-1/commands", {
    ...{ name: "room.call", data: { command: "reset" } },
  });
  assert.equal(reset.status, 200, JSON.stringify(reset.body));
  const stored = async () =>
    (await history(ann.room("count-1"))).messages.map(({ type }) => type).join();
  await until("events", async () => await stored() === "counted,counted,counted,reset");
  await counter.call("add", 8);
  await onlySubscribersSee(bus, admin);
});

Deno.test("a watcher of an erased room goes on with the values of the room that begins again", async () => {
  await using bus = await startLocalBus(CONFIG);
  await using ann = await connect({ url: bus.url, token: bus.token, request_timeout_ms });
  const counter = reduced<{ add: [number, number] }>(ann.room("count-2"));
  const values = counter.state.watch();
  await values.ready;
  for (let n = 0; n < 5; n++) await counter.call("add", 5);
  await until("its values", () => values.read("total") === "25");
  const admin = new HttpPeer(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));
  const whose = { tenant: "default", room: "count-2" };
  assert.equal((await admin.call("POST", "data/erase", whose)).status, 200);
  assert.equal((await counter.call("add", 1)).answer, 1);
  await until("the new values", () => values.read("total") === "1");
});

Deno.test("an event for one user is received by nobody else, and the room ends its auction itself", async () => {
  await using bus = await startLocalBus(CONFIG);
  await using stack = new AsyncDisposableStack();
  const received = new Map<string, string[]>();
  const rooms = new Map<string, ReturnType<typeof reduced>>();
  for (const user of ["sam", "ann", "bob"]) {
    const client = await connect({
      url: bus.url,
      token: await bus.tokenFor({ user }),
      request_timeout_ms,
    });
    stack.use(client);
    const own: string[] = [];
    received.set(user, own);
    const listener = client.room("auction-1").listen(({ type }) => void own.push(type));
    await listener.ready;
    rooms.set(user, reduced(client.room("auction-1")));
  }
  // Everybody is connected; a bid ten seconds before the end leaves ten more.
  await rooms.get("sam")?.call("open", 10_000);
  await rooms.get("ann")?.call("bid", 100);
  await assert.rejects(rooms.get("bob")!.call("bid", 50), { reason: "call-rejected" });
  await until("the end", () => received.get("ann")?.includes("won") ?? false);
  await until("for all", () => received.get("bob")?.includes("closed") ?? false);
  await until("for the seller", () => received.get("sam")?.includes("closed") ?? false);
  assert.deepEqual(received.get("sam"), ["opened", "bid", "closed"]);
  assert.deepEqual(received.get("ann"), ["opened", "bid", "closed", "won"]);
  assert.deepEqual(received.get("bob"), ["opened", "bid", "closed"]);
});
