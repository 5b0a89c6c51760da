/**
 * A room's schema end to end: types of `arq reducer types`, which the compiler checks calls against, and a bus that
 * refuses what passes the compiler.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { connect, type Room } from "@arqon/sdk";
import { createClient, whenReady } from "@arqon/sdk/stores";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { until } from "../shared/testing/until.ts";
import { ArqonProvider, useReduced } from "../sdk/react/mod.ts";
import { optimistic, type OptimisticRoom, reduced, type ReducedRoom } from "@arqon/sdk/reducers";
import type { Lot, Sale } from "../examples/auction/sale.ts";
import { decodeModule } from "../wasm/module/decode.ts";
import { encodeModule } from "../wasm/module/encode.ts";
import { meterReducer } from "../wasm/reducer/reducer_check.ts";
import { folderWith } from "../arq/testing/disk_io.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const SALE = new URL("../policies/build/reducers/sale.wasm", import.meta.url).pathname;
const request_timeout_ms = 60_000;
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
    ...{ reason: "invalid-command", message: /own-1 does not publish it: no reducer_public/ },
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
