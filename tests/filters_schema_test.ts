/**
 * Filters over data that has a schema, on a real bus: its fields by both of their names, in both forms of the data,
 * live, from a log and in history; and what no field of the schema is. Other filters: `filters_test.ts`.
 */
import assert from "node:assert/strict";
import { fromJson, toBinary } from "@bufbuild/protobuf";
import { encodePub, writeEnvelope } from "@arqon/proto";
import { field, list, registryOf } from "../shield/schema/testing/messages.ts";
import { upload } from "../shield/schema/testing/schemas.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import type { TestBus } from "./harness/test_bus.ts";
import { openBinary } from "./peers/raw_client.ts";
import { joinRooms } from "./peers/room_listener.ts";
import type { Place } from "./peers/room_listener.ts";
import { schemaAdmin } from "./peers/schema_admin.ts";

const ORDER = {
  syntax: "proto3",
  enumType: [{
    name: "State",
    value: [{ name: "OPEN", number: 0 }, { name: "PAID", number: 1 }],
  }],
  messageType: [{
    name: "Order",
    field: [
      field("n", 1, "int32"),
      field("unit_price", 2, "double"),
      field("total_cents", 3, "int64"),
      field("state", 4, ".t.State", { type: "TYPE_ENUM" }),
      list("lines", 5, ".t.Line"),
      field("first_line", 6, ".t.Line"),
    ],
  }, { name: "Line", field: [field("sku_code", 1, "string")] }],
};

/** One order more than a double can hold exactly, so that it counts whether the number is one. */
const CENTS = 2n ** 53n + 1n;
const ORDERS = [
  { n: 1, unitPrice: 5, totalCents: String(CENTS), lines: [{ skuCode: "a" }] },
  { n: 2, unitPrice: 50, totalCents: String(CENTS - 1n), state: "PAID" },
  { n: 3, unitPrice: 0, firstLine: { skuCode: "b" }, lines: [{ skuCode: "b" }, { skuCode: "c" }] },
];

/** Filters, and which orders they let through. */
const FILTERS: readonly (readonly [filter: string, orders: readonly number[]])[] = [
  ["data.unit_price > 10.0", [2]],
  ["data.unitPrice > 1", [1, 2]],
  ["has(data.unitPrice)", [1, 2]],
  ["!has(data.first_line)", [1, 2]],
  ["data.first_line.sku_code == 'b'", [3]],
  ["data.firstLine.skuCode == ''", [1, 2]],
  ["data.state == 1", [2]],
  ["data.total_cents == 9007199254740993", [1]],
  ["data.lines.exists(line, line.skuCode == 'c')", [3]],
  ["size(data.lines) == 1 && data.lines[0].sku_code == 'a'", [1]],
  ["type == 'order'", [1, 2, 3]],
];

const REFUSED = [
  ["data.unit_prize > 10.0", /t\.Order has no field "unit_prize"; did you mean "unit_price"\?/],
  ["has(data.total)", /t\.Order has no field "total"/],
  ["data.lines.exists(line, line.sku == 'c')", /t\.Line has no field "sku"/],
  ["data.first_line.n == 1", /t\.Line has no field "n"/],
] as const;

const binary = (order: typeof ORDERS[number]) => {
  const desc = registryOf(ORDER).getMessage("t.Order");
  assert.ok(desc);
  return toBinary(desc, fromJson(desc, order));
};

/** Each filter judges the same orders live, in recovery and in history. */
async function judged(bus: TestBus, place: Place, form: "json" | "protobuf"): Promise<void> {
  const room = `orders-${form}`;
  using bob = await openBinary(bus.url, await bus.tokenFor({ user: "bob" }));
  using first = await joinRooms(place, "first", 0);
  const { result } = await first.ask({ op: "sub", room });
  const listeners = await Promise.all(FILTERS.map(async ([filter]) => {
    const listener = await joinRooms(place, "ann", 0);
    await listener.sub(room, { filter });
    return listener;
  }));
  const publish = async (type: string, order: typeof ORDERS[number]) => {
    const data = form === "json" ? new TextEncoder().encode(JSON.stringify(order)) : binary(order);
    const event = { type, data, content_type: `application/${form}` };
    bob.send(encodePub(writeEnvelope({ room_id: room, request_id: 1, event })));
    const answer = await bob.frame();
    assert.ok(answer.kind === "ack" && answer.ack.code === 0, JSON.stringify(answer));
  };
  for (const order of ORDERS) await publish("order", order);
  await first.take(ORDERS.length);
  for (const [at, [filter, orders]] of FILTERS.entries()) {
    using listener = listeners[at];
    assert.ok(listener);
    while (listener.heard.length < orders.length) {
      await listener.ask({ op: "unsub", room: "nothing" });
    }
    await listener.ask({ op: "sub", room, filter, after_offset: 0, epoch: result.epoch });
    while (listener.heard.length < 2 * orders.length) {
      await listener.ask({ op: "unsub", room: "nothing" });
    }
    const offsets = listener.heard.map(({ offset = 0 }) => offset - result.offset);
    assert.deepEqual(offsets, [...orders, ...orders], `live and recovered: ${filter}`);
    const history = await listener.ask({
      op: "cmd",
      room,
      name: "history.get",
      data: { filter },
    });
    assert.deepEqual(
      history.result.messages.map(({ offset }: { offset: number }) => offset - result.offset),
      orders,
      `history: ${filter}`,
    );
  }
}

Deno.test("filters over data with a schema", async (t) => {
  await using bus = await startLocalBus('[[rooms]]\nroom = "orders-*"\ndurable = true\n');
  const admin = await schemaAdmin(bus);
  assert.equal((await admin.push("order", upload(ORDER))).status, 200);
  const mapping = { subject: "in.t.default.r.orders-*", schema_id: "order", message: "t.Order" };
  const mapped = await admin.map("default", mapping);
  assert.equal(mapped.status, 200, JSON.stringify(mapped.body));
  const place = {
    urls: [bus.url, bus.url] as const,
    ops_url: bus.ops_url,
    tokenFor: (user: string) => bus.tokenFor({ user }),
  };
  for (const form of ["json", "protobuf"] as const) {
    await t.step(form, () => judged(bus, place, form));
  }
  await t.step("a field that the schema does not have", async () => {
    using ann = await joinRooms(place, "ann", 0);
    for (const [filter, why] of REFUSED) {
      const subscribed = await ann.ask({ op: "sub", room: "orders-json", filter });
      assert.equal(subscribed.reason, "invalid-filter", filter);
      assert.match(subscribed.message, why);
      const data = { filter };
      const asked = await ann.ask({ op: "cmd", room: "orders-json", name: "history.get", data });
      assert.equal(asked.reason, "invalid-filter", filter);
    }
    await ann.sub("plain", { filter: "data.whatever" });
  });
});
