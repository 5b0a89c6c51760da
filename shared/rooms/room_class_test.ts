/** The companion room of members: its name and its class. */
import assert from "node:assert/strict";
import { RoomClassEntry, TenantRoomClass } from "../config/schema_durable.ts";
import { ownFilterOf } from "../filter/reduced.ts";
import { RoomClasses } from "./classes.ts";
import {
  membersRoomOf,
  RECORDED_UNITS_MAX,
  recordedRoomOf,
  valuedRoomOf,
  valuesRoomOf,
} from "./reserved.ts";

const classes = (...all: Record<string, unknown>[]) => {
  const made = new RoomClasses([]);
  made.setTenant("acme", all.map((one) => TenantRoomClass.parse(one)));
  return made;
};

Deno.test("the name of a room of members leads back to its room, and is an id", () => {
  const longest = "r".repeat(RECORDED_UNITS_MAX);
  assert.equal(membersRoomOf(longest)?.length, 64);
  assert.equal(recordedRoomOf(membersRoomOf(longest) ?? ""), longest);
  assert.equal(membersRoomOf(`${longest}r`), undefined);
  for (const other of ["lobby", "~members", "lobby~member", ""]) {
    assert.equal(recordedRoomOf(other), undefined);
  }
});

Deno.test("a room of members keeps as much as its room's class, at least an hour and 1,000 messages", () => {
  const made = classes(
    { room: "few-*", membership: "journal", history_size: 1, history_ttl_seconds: 60, echo: false },
    { room: "many-*", membership: "journal", history_size: 5_000, history_ttl_seconds: 9_000 },
    { room: "none-*" },
  );
  const few = made.of("acme", "few-1~members");
  assert.deepEqual(
    [few.durable, few.history_size, few.history_ttl_seconds, few.presence, few.membership],
    [true, 1_000, 3_600, false, "off"],
  );
  assert.equal(made.of("acme", "few-2~members"), few, "one object for one class");
  assert.equal(made.explain("acme", "few-1~members")[0], few);
  assert.equal(made.explain("acme", "none-1~members")[0]?.durable, false);
  const many = made.of("acme", "many-1~members");
  assert.deepEqual([many.history_size, many.history_ttl_seconds], [5_000, 9_000]);
  assert.equal(made.of("acme", "none-1~members").durable, false);
  assert.equal(made.of("acme", "few-1").durable, false, "the room itself keeps nothing");
  assert.deepEqual(made.retentionOf("acme"), {
    history_size: 5_000,
    history_ttl_seconds: 9_000,
    replicas: undefined,
  });
});

Deno.test("a companion room of values exists if its room's class has visible values, and has none itself", () => {
  const shows = { room: "a-*", durable: true, reducer: "r", history_size: 7 };
  const made = new RoomClasses([
    RoomClassEntry.parse({ ...shows, reducer_visible: ["public/"] }),
    RoomClassEntry.parse({ ...shows, room: "b-*" }),
  ]);
  const values = made.of("t", "a-1~values");
  assert.deepEqual(
    [values.durable, values.history_size, values.reducer, values.reducer_visible, values.filter],
    [true, 7, undefined, [], undefined],
  );
  assert.equal(made.of("t", "a-2~values"), values, "one object for one class");
  assert.equal(made.explain("t", "a-1~values")[0], values);
  assert.equal(made.of("t", "b-1~values").reducer, "r", "a room like any other of its class");
  assert.equal(valuesRoomOf("a-1"), "a-1~values");
  for (const beside of ["a-1~values", "a-1~growing", "r".repeat(58)]) {
    assert.equal(valuesRoomOf(beside), undefined);
  }
  for (const other of ["~values", "a-1~value", ""]) assert.equal(valuedRoomOf(other), undefined);
});

Deno.test("a filter beside a reducer is refused if both together are too much", () => {
  const reduced = { room: "a-*", durable: true, reducer: "r" };
  const [short, long] = [10, 4_000].map((size) => `type != "${"x".repeat(size)}"`);
  const made = new RoomClasses([RoomClassEntry.parse({ ...reduced, filter: short })]);
  assert.equal(ownFilterOf(made.of("t", "a-1").filter!), short);
  assert.ok(RoomClassEntry.safeParse({ room: "a-*", filter: long }).success);
  const { error } = RoomClassEntry.safeParse({ ...reduced, filter: long });
  assert.match(
    error?.issues[0]?.message ?? "",
    /at most 4096, with the part that the reducer adds/,
  );
});
