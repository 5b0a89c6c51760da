/**
 * A room as its schema says, from end to end: types of `arq reducer types` that the compiler holds calls to, and a bus
 * that refuses what gets past it.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { reduced, type ReducedRoom } from "@arqon/sdk/reducers";
import type { Lot, Sale } from "../examples/auction/sale.ts";
import { startBusWith } from "./harness/bus.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const request_timeout_ms = 60_000;
const CONFIG = `
[server]
host = "127.0.0.1"
port = 0
drain_ms = 0
[ops]
host = "127.0.0.1"
[limits]
command_timeout_ms = 60_000
[[reducers]]
name = "sale"
file = "${new URL("../policies/build/reducers/sale.wasm", import.meta.url).pathname}"
[[rooms]]
room = "sale-*"
durable = true
reducer = "sale"
reducer_visible = ["lot", "state", "title", "seller", "price", "bidder", "closes_ms"]
`;

/** Calls that do not compile; each with how the bus refuses it. */
const WRONG: readonly (readonly [
  ask: (sale: ReducedRoom<Sale>) => Promise<unknown>,
  code: number,
  said: RegExp,
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
  // What no type says.
  [(sale) => sale.call("bid", { amount: 0 }), 400, /data\.amount: expected at least 1, found 0/],
];

Deno.test("calls, answers, events and values of a room are what its schema says", async () => {
  await using bus = await startBusWith(CONFIG);
  const as = async (user: string) =>
    await connect({ url: bus.url, token: await bus.tokenFor({ user }), request_timeout_ms });
  await using sam = await as("sam");
  await using ann = await as("ann");
  const sale = reduced<Sale>(ann.room("sale-1"));
  using heard = ann.room("sale-1").subscribe();
  await heard.ready;
  for (const [ask, code, said] of WRONG) {
    await assert.rejects(ask(sale), { reason: "call-rejected", code, message: said });
  }
  const cup = { title: "A cup", price: 10, seconds: 86_400 };
  assert.equal((await reduced<Sale>(sam.room("sale-1")).call("offer", cup)).entry, 1);
  await sale.call("bid", { amount: 12 });
  const { answer } = await sale.call("look");
  const lot: Lot = answer;
  assert.deepEqual([lot.state, lot.price, lot.bidder], ["open", 12, "ann"]);
  for await (const message of heard) {
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
  const asked = { name: "room.call", data: { command: "bid", data: { amount: 1e10 } } };
  const { status, body } = await peer.call("POST", "rooms/sale-1/commands", asked);
  assert.equal(status, 400);
  assert.match(
    JSON.stringify(body),
    /data\.amount: expected at most 1000000000, found 10000000000/,
  );
});
