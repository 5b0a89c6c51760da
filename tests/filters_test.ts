/**
 * Filters of subscribers and of room classes on a real bus: who receives what, live and from a log, in both forms, and
 * the refusals. Also over data with a schema. `tests/model` has all other readers, and `why`.
 */
import assert from "node:assert/strict";
import { encodePub, writeEnvelope } from "@arqon/proto";
import { fromJson, toBinary } from "@bufbuild/protobuf";
import { field, list, registryOf } from "../shield/schema/testing/messages.ts";
import { upload } from "../shield/schema/testing/schemas.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { send } from "./peers/own_connections.ts";
import { answered, ask, openBinary, openText, type RawClient } from "./peers/raw_client.ts";
import { EventReader } from "./peers/event_reader.ts";
import { joinRooms, type Place } from "./peers/room_listener.ts";
import { schemaAdmin } from "./peers/schema_admin.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[filters]
#constant filters.filters_per_room = 3
${durableRooms("log-*")}
[[rooms]]
room = "team-*"
durable = true
filter = 'headers["team"] in claims.teams'
`;

async function withBus(work: (bus: TestBus) => Promise<void>): Promise<void> {
  await using bus = await startLocalBus(CONFIG);
  await work(bus);
}

const subscribe = async (bus: TestBus, room: string, more: object, claims = {}) => {
  const client = await openText(bus.url, await bus.tokenFor({ user: "reader", claims }));
  await ask(client, { op: "sub", room, ...more });
  return client;
};

/** Publishes numbers, each with `n`, `parity` as a header, and a team; then one that everybody gets. */
async function publishNumbers(bus: TestBus, room: string, count: number): Promise<void> {
  using publisher = await openText(bus.url, await bus.tokenFor({ user: "writer" }));
  for (let n = 0; n < count; n++) {
    const headers = { parity: n % 2 ? "odd" : "even", team: n % 3 ? "red" : "blue" };
    const message_id = `${room}-${n}`;
    await ask(publisher, { op: "pub", room, type: "number", data: { n }, headers, message_id });
  }
  await ask(publisher, { op: "pub", room, type: "end", data: {}, headers: { team: "both" } });
}

/** The numbers before the end. */
async function numbers(client: RawClient): Promise<number[]> {
  const found: number[] = [];
  for (;;) {
    const message = await client.json();
    if (message.op !== "msg") continue;
    if (message.type === "end") return found;
    found.push((message.data as { n: number }).n);
  }
}

/** The result in an operation's ACK. */
// deno-lint-ignore no-explicit-any
const askFor = async (client: RawClient, operation: object): Promise<any> =>
  (await ask(client, operation)).result;

const history = (room: string, data: object) => ({ op: "cmd", room, name: "history.get", data });

Deno.test("stored messages arrive completely and in order also if filters take many turns", () =>
  withBus(async (bus) => {
    // Some 900 steps per message: four messages are a slice.
    const costly = `[${"1,".repeat(10)}1].all(x, [1, 2].all(y, x + y > 1)) && `;
    const filter = `${costly} (type == "end" || headers["parity"] == "odd")`;
    await publishNumbers(bus, "log-b", 60);
    const odd = Array.from({ length: 30 }, (_, n) => 2 * n + 1);
    using late = await openText(bus.url, await bus.tokenFor({ user: "reader" }));
    const first = await askFor(late, { op: "sub", room: "log-b", filter: "false" });
    const position = { after_offset: 1, epoch: first.epoch };
    await ask(late, { op: "sub", room: "log-b", filter, ...position });
    assert.deepEqual(await numbers(late), odd);
    const { messages } = await askFor(late, history("log-b", { filter, limit: 1_000 }));
    assert.deepEqual(
      messages.flatMap((one: { data: { n?: number } }) => one.data.n ?? []),
      odd,
    );
  }));

Deno.test("a room class's filter applies to everybody, live, in recovery and in history", () =>
  withBus(async (bus) => {
    using red = await subscribe(bus, "team-1", {}, { teams: ["red", "both"] });
    using blue = await subscribe(bus, "team-1", { filter: "true" }, { teams: ["blue", "both"] });
    using both = await subscribe(bus, "team-1", { filter: "data.n < 4 || true" }, {
      teams: ["red", "blue", "both"],
    });
    using none = await subscribe(bus, "team-1", {}, {});
    await publishNumbers(bus, "team-1", 10);
    assert.deepEqual(await numbers(red), [1, 2, 4, 5, 7, 8]);
    assert.deepEqual(await numbers(blue), [0, 3, 6, 9]);
    assert.equal((await numbers(both)).length, 10);
    const seen = await askFor(blue, history("team-1", {}));
    assert.deepEqual(seen.messages.map(({ data }: { data: { n?: number } }) => data.n), [
      ...[0, 3, 6, 9, undefined],
    ]);
    const page = await askFor(blue, history("team-1", { after: 4, limit: 1 }));
    assert.deepEqual(page.messages.map(({ data }: { data: { n: number } }) => data.n), [6]);
    assert.deepEqual([page.more, page.next], [true, 7]);
    assert.deepEqual((await askFor(none, history("team-1", {}))).messages, []);
    const token = await bus.tokenFor({ claims: { teams: ["blue"] } });
    const answer = await send(`${bus.http_url}/v1/rooms/team-1/messages?limit=100`, token, "GET");
    const { messages } = await answer.json();
    assert.equal(messages.length, 4);
    for (const method of ["GET", "PUT", "POST"]) {
      const body = method === "GET" ? undefined : "[]";
      const refused = await send(`${bus.http_url}/v1/streams/team-1`, token, method, body);
      await refused.body?.cancel();
      assert.equal(refused.status, method === "GET" ? 404 : 405);
    }
    const { epoch } = await askFor(blue, { op: "sub", room: "team-1" });
    await ask(blue, { op: "sub", room: "team-1", after_offset: 1, epoch });
    assert.deepEqual(await numbers(blue), [3, 6, 9]);
    // A client without a team receives nothing but answers.
    none.send({ op: "ping", data: "x" });
    assert.equal((await none.json()).op, "pong");
  }));

Deno.test("a filter about claims is refused, and so is one above a room's limit", () =>
  withBus(async (bus) => {
    using client = await openText(bus.url, bus.token);
    const of_claims = await answered(client, { op: "sub", room: "a", filter: "claims.team == 1" });
    assert.deepEqual([of_claims.code, of_claims.reason], [400, "invalid-filter"]);
    assert.match(of_claims.message, /unknown name "claims"/);
    using _one = await subscribe(bus, "b", { filter: "data.n == 1" });
    using _two = await subscribe(bus, "b", { filter: "data.n == 2" });
    using three = await subscribe(bus, "b", { filter: "data.n == 3" });
    const fourth = { op: "sub", room: "b", filter: "data.n == 4" };
    assert.equal((await answered(client, fourth)).reason, "too-many-filters");
    await ask(client, { op: "sub", room: "b", filter: "data.n == 3" });
    await ask(three, { op: "unsub", room: "b" });
    await ask(client, fourth);
  }));

Deno.test("a pattern's filter holds in each of its rooms, and changes with the next SUB", () =>
  withBus(async (bus) => {
    const end = 'type == "end" || ';
    using client = await subscribe(bus, "pat-*", { filter: `${end}data.n > 7` });
    await publishNumbers(bus, "pat-1", 10);
    assert.deepEqual(await numbers(client), [8, 9]);
    await ask(client, { op: "sub", room: "pat-*", filter: `${end}data.n < 2` });
    await publishNumbers(bus, "pat-3", 10);
    assert.deepEqual(await numbers(client), [0, 1]);
    await publishNumbers(bus, "pat-2", 10);
    assert.deepEqual(await numbers(client), [0, 1]);
    using team = await subscribe(bus, "team-*", {}, { teams: ["blue", "both"] });
    await publishNumbers(bus, "team-7", 4);
    assert.deepEqual(await numbers(team), [0, 3]);
  }));

Deno.test("server-sent events have a filter, and the class's", () =>
  withBus(async (bus) => {
    const token = await bus.tokenFor({ user: "page", claims: { teams: ["blue", "both"] } });
    const query = new URLSearchParams({ filter: 'type == "end" || data.n > 2' });
    const events = `${bus.http_url}/v1/rooms/team-sse/events`;
    using reader = await EventReader.open(`${events}?${query}`, { token });
    await reader.until("subscribed");
    await publishNumbers(bus, "team-sse", 10);
    const seen = [];
    for (let data; (data = (await reader.until("message")).data).type !== "end";) {
      seen.push(data.data.n);
    }
    assert.deepEqual(seen, [3, 6, 9]);
    const invalid = EventReader.open(`${events}?filter=data.n+%3E`, { token });
    await assert.rejects(invalid, { message: "400 invalid-filter" });
  }));

// Filters over data with a schema, on a real bus: its fields by both of their names, in both forms of the data, live,
// from a log and in history; and names that are no field of the schema. `filters_test.ts` has other filters.

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

/** An integer that a double cannot represent, which shows whether numbers are exact. */
const CENTS = 2n ** 53n + 1n;

const ORDERS = [
  { n: 1, unitPrice: 5, totalCents: String(CENTS), lines: [{ skuCode: "a" }] },
  { n: 2, unitPrice: 50, totalCents: String(CENTS - 1n), state: "PAID" },
  { n: 3, unitPrice: 0, firstLine: { skuCode: "b" }, lines: [{ skuCode: "b" }, { skuCode: "c" }] },
];

/** Filters, and the orders that they admit. */
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

/** Each filter is applied to the same orders live, in recovery and in history. */
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
    while (listener.received.length < orders.length) {
      await listener.ask({ op: "unsub", room: "nothing" });
    }
    await listener.ask({ op: "sub", room, filter, after_offset: 0, epoch: result.epoch });
    while (listener.received.length < 2 * orders.length) {
      await listener.ask({ op: "unsub", room: "nothing" });
    }
    const offsets = listener.received.map(({ offset = 0 }) => offset - result.offset);
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
  await t.step("events that name another schema", async () => {
    using ann = await joinRooms(place, "ann", 0);
    const room = "orders-protobuf";
    const data = { filter: "data.n == 1" };
    const shown = async () => {
      const { result } = await ann.ask({ op: "cmd", room, name: "history.get", data });
      return result.messages.map(({ schema_id = "" }) => schema_id);
    };
    await ann.sub(room, data);
    // An observing mapping lets them pass, and a log has those of its room's earlier mappings.
    await admin.map("default", { ...mapping, mode: "observe" });
    for (const schema_id of ["cars", "", "order"]) {
      const event = { type: "order", data: { n: 1 }, schema_id };
      assert.equal((await ann.ask({ op: "pub", room, ...event })).code, 0);
    }
    await ann.ask({ op: "unsub", room: "nothing" });
    assert.deepEqual([ann.received.length, await shown()], [2, ["", "", "order"]]);
    assert.equal((await admin.push("cars", upload(ORDER))).status, 200);
    await admin.map("default", { ...mapping, schema_id: "cars" });
    assert.deepEqual(await shown(), ["", "cars", ""]);
  });
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
