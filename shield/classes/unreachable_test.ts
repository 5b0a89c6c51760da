/** Stored messages that other classes would hide or delete, over a log with the test's clock. */
import assert from "node:assert/strict";
import { RoomClassEntry, TenantRoomClass } from "../../shared/config/schema_durable.ts";
import { RoomClasses } from "../../shared/rooms/classes.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { ModelLog } from "../durable/testing/model_log.ts";
import { unreachable } from "./api.ts";

const BYTES = new Uint8Array(1);

/** The messages of the log that would be lost by this change of the tenant's classes. */
async function lost(log: ModelLog, from: object[], to: object[], config: object[] = []) {
  const classes = new RoomClasses(config.map((one) => RoomClassEntry.parse(one)));
  const [before, after] = [from, to].map((all) => all.map((one) => TenantRoomClass.parse(one)));
  classes.setTenant("acme", before!);
  const change = { tenant_id: "acme", before: classes, after: classes.withTenant("acme", after!) };
  return await unreachable(log, change, { before: before!, after: after! });
}

Deno.test("a shorter age cuts older messages, and a shorter history excess ones", async () => {
  const log = new ModelLog();
  for (let hour = 0; hour < 10; hour++) {
    log.put("a-1", BYTES);
    log.put("other", BYTES);
    log.now_ms += 3_600_000;
  }
  const one = { room: "a-*", durable: true };
  const of_hours = (hours: number) => ({ ...one, history_ttl_seconds: 3_600 * hours });
  // The newest is an hour old.
  for (const [hours, messages] of [[24, 0], [10, 0], [9, 1], [4, 6], [1, 9]] as const) {
    const { cut, hidden, more } = await lost(log, [one], [of_hours(hours)]);
    assert.deepEqual([cut.messages, hidden.rooms, more], [messages, 0, false], `${hours} h`);
  }
  assert.equal((await lost(log, [one], [{ ...one, history_size: 3 }])).cut.messages, 7);
  assert.equal((await lost(log, [{ ...one, history_size: 5 }], [])).hidden.messages, 5);
  assert.equal((await lost(log, [one], [{ ...of_hours(4), history_size: 2 }])).cut.messages, 8);
  assert.deepEqual((await lost(log, [one], [of_hours(48)])).cut, { rooms: 0, messages: 0 });
});

Deno.test("a class without a room's reducer or its journal of members hides their logs", async () => {
  const log = new ModelLog();
  for (const room of ["r-1~reducer", "r-1", "m-1", "m-1~members"]) log.put(room, BYTES);
  const config = [{ room: "r-*", durable: true, reducer: "counter" }];
  const own = { room: "r-*", durable: true };
  const { hidden, named } = await lost(log, [], [own], config);
  assert.deepEqual([hidden, named], [
    { rooms: 1, messages: 1 },
    [{ room: "r-1~reducer", messages: 1 }],
  ]);
  const kept = { room: "m-*", durable: true, membership: "journal" };
  const without = await lost(log, [kept], [{ room: "m-*", durable: true }]);
  assert.deepEqual(without.named, [{ room: "m-1~members", messages: 1 }]);
  assert.equal((await lost(log, [kept], [])).hidden.rooms, 2);
});

Deno.test("of very many rooms the first ones are counted, and `more` is set", async () => {
  const log = new ModelLog();
  for (let number = 0; number < 3_100; number++) log.put(`a-${number}`, BYTES);
  const { value, turns } = await turnsDuring(() => lost(log, [{ room: "a-*", durable: true }], []));
  const { hidden, named, more } = value;
  // Other tasks run between the rooms.
  assert(turns > 3_000, `${turns} turns`);
  assert.deepEqual([hidden.rooms, hidden.messages, named.length, more], [3_100, 3_000, 20, true]);
});
