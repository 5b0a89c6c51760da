/**
 * Reducer rooms on a real bus: calls by the SDKs and over HTTP, which clients receive which event, and a room's schema
 * end to end: types of `arq reducer types`, and a bus that refuses what passes the compiler. `reducer_chaos/` has
 * faults during calls.
 */
import assert from "node:assert/strict";
import { connect, type Room } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { optimistic, type OptimisticRoom, reduced, type ReducedRoom } from "@arqon/sdk/reducers";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { reducedRooms } from "../shared/testing/reducers.ts";
import { createHash } from "node:crypto";
import { createClient, whenReady } from "@arqon/sdk/stores";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { ArqonProvider, useReduced } from "../sdk/react/mod.ts";
import type { Lot, Sale } from "../examples/auction/sale.ts";
import { decodeModule } from "../wasm/module/decode.ts";
import { encodeModule } from "../wasm/module/encode.ts";
import { meterReducer } from "../wasm/reducer/reducer_check.ts";
import { folderWith } from "../arq/testing/disk_io.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

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
  const banned = { reason: "room-banned" };
  await assert.rejects(watched.ended, banned);
  assert.equal(watched.is_current, false);
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
    reason: "call-rejected",
    code: 403,
    message: /only an admin resets/,
  });
  await assert.rejects(counter.call("add", "many"), { reason: "call-rejected", code: 400 });
  await assert.rejects(ann.room("count-1").publish("counted", "9"), { reason: "not-granted" });
  await assert.rejects(reduced(ann.room("lobby")).call("add", 1), {
    reason: "invalid-command",
    message: /lobby has no reducer/,
  });
  const log = ann.room("count-1~reducer");
  await assert.rejects(history(log), { reason: "not-granted" });
  await assert.rejects(log.publish("x", "y"), { reason: "not-granted" });
  const admin = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "admin", user: "root" }));
  const reset = await admin.call("POST", "rooms/count-1/commands", {
    name: "room.call",
    data: { command: "reset" },
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

const SALE = new URL("../policies/build/reducers/sale.wasm", import.meta.url).pathname;
const configOf = (large: string) => `
[server]
drain_ms = 0
[limits]
#constant limits.command_timeout_ms = 60_000
[[reducers]]
name = "sale"
file = "${SALE}"
[[reducers]]
name = "large"
file = "${large}"
${durableRooms("large-*", 'reducer = "large"', "reducer_public = true")}
[[rooms]]
room = "sale-*"
durable = true
reducer = "sale"
reducer_visible = ["lot", "state", "title", "seller", "price", "bidder", "closes_ms"]
reducer_public = true
${durableRooms("own-*", 'reducer = "sale"', 'reducer_visible = ["lot"]')}
`;

/** The same module with so much data that it needs three pages. */
async function largeFile(): Promise<Uint8Array> {
  const bytes = new Uint8Array(250_000);
  for (let at = 0; at < bytes.length; at++) bytes[at] = at * 31 >> 3;
  const module = decodeModule(await Deno.readFile(SALE));
  const segment = { mode: "passive", at: [], bytes, offset: 0 } as const;
  return encodeModule({ ...module, data: [...module.data, segment] });
}

/** Clients that may subscribe get the module if the class allows it, and see their own calls at once through it. */
async function theBusGivesTheModule(bus: TestBus): Promise<void> {
  const token = await bus.tokenFor({ user: "cid" });
  await using cid = await connect({ url: bus.url, token, request_timeout_ms });
  const room = reduced<Sale>(cid.room("sale-1"));
  const { module, bytes, fuel_units } = await room.module();
  const file = await Deno.readFile(SALE);
  assert.equal(module, createHash("sha256").update(file).digest("hex"));
  assert.deepEqual(bytes, meterReducer(file, 64).bytes);
  assert.equal(fuel_units, 5_000_000);
  const large = await reduced(cid.room("large-1")).module();
  assert.ok(large.bytes.length > 250_000);
  assert.deepEqual(large.bytes, meterReducer(await largeFile(), 64).bytes);
  using seen = await optimistic(room, { user: "cid" });
  const bid = seen.call("bid", { amount: 20 });
  assert.equal(seen.read("price"), "20", "before the room has answered");
  await bid;
  await until("the room has confirmed it", () => seen.pending === 0);
  await ownCallsAreTyped(seen);
  await assert.rejects(reduced(cid.room("own-1")).module(), {
    reason: "invalid-command",
    message: /own-1 does not publish it: no reducer_public/,
  });
  const grants = [{ room: "sale-1", actions: ["command"] }];
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "eve", claims: { grants } }));
  // Nor by the names without `room.`.
  for (const name of ["room.module", "module", "room.values", "values", "room.past", "past"]) {
    const { status } = await peer.call("POST", "rooms/sale-1/commands", { name, data: {} });
    assert.equal(status, 403, name);
  }
}

/** An optimistic room has the same types as the underlying room. */
async function ownCallsAreTyped(seen: OptimisticRoom<Sale>): Promise<void> {
  const lot: Lot = (await seen.call("look")).answer;
  const price: number | undefined = seen.watched.json("price");
  const state: Lot["state"] | undefined = seen.read("state");
  assert.deepEqual([lot.price, price, state], [20, 20, "open"]);
  // @ts-expect-error A name that no command has.
  await assert.rejects(seen.call("buy", { amount: 5 }), { reason: "call-rejected" });
  // @ts-expect-error A text where a number belongs.
  await assert.rejects(seen.call("bid", { amount: "5" }), { reason: "call-rejected" });
  // @ts-expect-error A key that the room does not show.
  assert.equal(seen.read("highest"), undefined);
  // @ts-expect-error A key that the room does not show.
  assert.equal(seen.watched.json("highest"), undefined);
}

/** Also for a room with known commands only. Compiled, not run. */
async function _callsAloneAreTyped(room: Room): Promise<number> {
  const auction = await optimistic(reduced<{ bid: [number, number] }>(room));
  // @ts-expect-error A text where a number belongs.
  await auction.call("bid", "x");
  return (await auction.call("bid", 5)).answer;
}

/** Calls that do not compile; each with the bus's refusal. */
const WRONG: readonly (readonly [
  ask: (sale: ReducedRoom<Sale>) => Promise<unknown>,
  code: number,
  message: RegExp,
])[] = [
  // @ts-expect-error A name that no command has.
  [(sale) => sale.call("buy", { amount: 5 }), 404, /no command "buy"; expected one of: offer, bid/],
  // @ts-expect-error A text where a number belongs.
  [(sale) => sale.call("bid", { amount: "5" }), 400, /data\.amount: expected a whole number/],
  // @ts-expect-error A member that is missing.
  [(sale) => sale.call("bid", {}), 400, /data\.amount: it is missing/],
  // @ts-expect-error A member too many.
  [(sale) => sale.call("bid", { amount: 5, at: 1 }), 400, /data\.at: there is no such member/],
  // @ts-expect-error No data where some is needed.
  [(sale) => sale.call("bid"), 400, /data: expected an object, found none/],
  // @ts-expect-error Data where there is none.
  [(sale) => sale.call("look", 5), 400, /data: expected none/],
  // Errors that no type expresses.
  [(sale) => sale.call("bid", { amount: 0 }), 400, /data\.amount: expected at least 1, found 0/],
];

/** A store of its values, for pages: subscribed, then unsubscribed. */
async function theStoreShowsValues(bus: TestBus): Promise<void> {
  const token = await bus.tokenFor({ user: "dan" });
  const client = createClient({ url: bus.url, token, request_timeout_ms });
  const watch = (room: Room) => reduced<Sale>(room).state.watch();
  const store = client.room("sale-1").values(watch);
  assert.equal(client.room("sale-1").values(watch), store);
  assert.equal(store.get().values, undefined);
  const Price = () => useReduced("sale-1", watch).values?.json("price") ?? "none yet";
  const page = createElement(ArqonProvider, { client }, createElement(Price));
  assert.equal(renderToString(page), "none yet", "a server has no connection");
  const versions: number[] = [];
  const leave = store.subscribe(({ version }) => void versions.push(version));
  await whenReady(store);
  const price: number | undefined = store.get().values?.json("price");
  assert.equal(price, 20);
  await client.room("sale-1").use((room) => reduced<Sale>(room).call("bid", { amount: 30 }));
  await until("the new price", () => store.get().values?.json("price") === 30);
  assert.deepEqual(versions, versions.toSorted((one, other) => one - other));
  leave();
  await until("nothing of it is left", () => store.get().values === undefined);
  await until("nor a connection", () => client.connection.get().state === "connecting");
  const none = client.room("lobby").values(watch);
  const end = none.subscribe(() => {});
  await until("the refusals", () => none.get().error !== undefined);
  assert.equal(none.get().error?.reason, "invalid-command");
  end();
  await until("no connection", () => client.connection.get().state === "connecting");
}

Deno.test("calls, answers, events and values of a room match its schema", async () => {
  await using folder = await folderWith({});
  const large = `${folder.path}/large.wasm`;
  await Deno.writeFile(large, await largeFile());
  await using bus = await startLocalBus(configOf(large));
  const as = async (user: string) =>
    await connect({ url: bus.url, token: await bus.tokenFor({ user }), request_timeout_ms });
  await using sam = await as("sam");
  await using ann = await as("ann");
  const sale = reduced<Sale>(ann.room("sale-1"));
  using messages = ann.room("sale-1").subscribe();
  await messages.ready;
  for (const [ask, code, message] of WRONG) {
    await assert.rejects(ask(sale), { reason: "call-rejected", code, message: message });
  }
  const cup = { title: "A cup", price: 10, seconds: 86_400 };
  assert.equal((await reduced<Sale>(sam.room("sale-1")).call("offer", cup)).entry, 1);
  await sale.call("bid", { amount: 12 });
  const { answer } = await sale.call("look");
  const lot: Lot = answer;
  assert.deepEqual([lot.state, lot.price, lot.bidder], ["open", 12, "ann"]);
  for await (const message of messages) {
    const event = sale.event(message);
    assert.equal(event?.type, "lot");
    // @ts-expect-error A member that no lot has.
    assert.equal(event?.data.amount, undefined);
    if (event?.data.bidder === "ann") break;
  }
  using values = sale.state.watch();
  await values.ready;
  const price: number | undefined = values.json("price");
  const state: "open" | "sold" | "unsold" | undefined = values.read("state");
  assert.deepEqual([price, state, values.read("price")], [12, "open", "12"]);
  // @ts-expect-error A text is no JSON.
  assert.throws(() => values.json("title"), SyntaxError);
  // @ts-expect-error A key that the room does not show.
  assert.equal(values.read("highest"), undefined);
  const peer = new HttpPeer(bus.http_url, await bus.tokenFor({ user: "bob" }));
  const request = { name: "room.call", data: { command: "bid", data: { amount: 1e10 } } };
  const { status, body } = await peer.call("POST", "rooms/sale-1/commands", request);
  assert.equal(status, 400);
  assert.match(
    JSON.stringify(body),
    /data\.amount: expected at most 1000000000, found 10000000000/,
  );
  await theBusGivesTheModule(bus);
  await theStoreShowsValues(bus);
});
