/** What may be set: the bounds of tenants, a tenant's state with many schedules, and bodies with integers. */
import assert from "node:assert/strict";
import { SCHEDULES_BUCKET } from "../../shared/records/buckets.ts";
import { overriding } from "../../shared/testing/overriding.ts";
import { turnsDuring } from "../../shared/testing/turns_during.ts";
import { until } from "../../shared/testing/until.ts";
import { turn } from "../../shared/turns/next_turn.ts";
import { writingOf } from "../apply/applies.ts";
import { keptLog, testSpine } from "../testing/spine.ts";
import { requireDue } from "./body.ts";
import { encodeSchedule } from "./schedule.ts";
import { Schedules } from "./schedules.ts";
import { schedulesKind } from "./schedules_kind.ts";
import { KEY, optionsOf, scheduleOf } from "./testing/schedules.ts";

Deno.test("many schedules of a tenant's state are checked, written and listed one by one, in turns with other work", async () => {
  await using engine = testSpine();
  const kind = schedulesKind({
    spine: engine.spine,
    log: keptLog().log,
    now: () => 1_000,
    limits: { headers: 10, header_bytes: 1_000, field_bytes: 100 },
    running: {
      bounds: { tenant_schedules: 300, schedules: 3_000 },
      schedules: { hasRoom: (_, { tenant_schedules }, more) => more <= tenant_schedules },
    },
  });
  const when = { cron: "0 0 29 2 1#5", zone: "Pacific/Apia" };
  const wanted = Array.from({ length: 300 }, (_, at) => ({
    id: `s${at}`,
    room: "lobby",
    user: "schedule",
    message: { type: "tick" },
    ...when,
  }));
  const checked = await turnsDuring(() => kind.check("acme", wanted));
  assert.equal(checked.value.length, 300);
  const writing = { tenant_id: "acme", by: "root", at_ms: 1_000 };
  let reads = 0;
  const isPending = () => Promise.resolve(++reads > 0);
  const written = await turnsDuring(() => kind.write(writingOf(writing, isPending), checked.value));
  assert.equal(reads, 1, "the apply is read once for all schedules");
  const listed = await turnsDuring(() => kind.list("acme"));
  assert.equal(listed.value.length, 300);
  const turns = [checked, written, listed].map((one) => one.turns);
  assert(turns.every((one) => one > 290), `${turns} turns`);
  // Two Shields finish the same apply, and each has read what the other deletes.
  const isLater = () => turn().then(() => true);
  const empty = () => kind.write(writingOf(writing, isLater), []);
  await Promise.all([empty(), empty()]);
  assert.deepEqual(await kind.list("acme"), []);
  // Too many are refused before any is checked.
  const many = [...wanted, { ...wanted[0]!, id: "one" }];
  await assert.rejects(kind.check("acme", many), { reason: "settings-conflict" });
});

Deno.test("a tenant with many or long schedules leaves room for another's, also in the bucket", async () => {
  await using engine = testSpine();
  const stored = await engine.spine.keyValue(SCHEDULES_BUCKET);
  const bucket = overriding(stored, { limit_bytes: 40_000 });
  const schedules = new Schedules(optionsOf(bucket));
  await schedules.ready;
  const bounds = { tenant_schedules: 10, schedules: 20 };
  const fits = (tenant: string, more: number, bytes: number) =>
    schedules.hasRoom(tenant, bounds, more, bytes);
  assert.deepEqual([fits("acme", 10, 0), fits("acme", 11, 0)], [true, false]);
  assert.deepEqual([fits("acme", 1, 30_000), fits("acme", 1, 34_000)], [true, false]);
  const message = { type: "t", data: "x".repeat(29_000) };
  await bucket.put(KEY, encodeSchedule(scheduleOf(Date.now(), { message, is_paused: true })));
  await until("it is known", () => !fits("acme", 1, 2_000));
  assert.equal(fits("acme", 0, -1), true, "a shorter one in its place");
  assert.equal(fits("globex", 1, 2_000), true);
  await bucket.delete(KEY);
  await until("it is forgotten", () => fits("acme", 1, 30_000));
  await schedules.close();
});

Deno.test("an integer whose digits were lost when the request was read is refused", () => {
  const due = (data: string) => {
    const message = { type: "x", data: JSON.parse(data) };
    const body = { room: "lobby", message, user: "schedule", at_ms: 2_000 };
    return requireDue(body, { tenant_id: "acme", schedule_id: "s", now_ms: 1_000 }, {
      headers: 64,
      header_bytes: 16_384,
      field_bytes: 256,
    });
  };
  assert.equal(due('{"n":[9007199254740991,-2.5,"12345678901234567890"]}'), 2_000);
  for (const number of ["12345678901234567890", "1e400", "-1e400"]) {
    assert.throws(() => due(`{"n":[${number}]}`), { reason: "invalid-field" });
  }
});
