/** The logs of tenants on the embedded engine: opened once, written in order, sized by their classes. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { TenantLogs } from "./logs.ts";
import { tenantClass, type TestDurable, testDurable } from "../testing/durable.ts";
import type { LogAppend } from "../../message/logs.ts";
import { overriding } from "../../../shared/testing/overriding.ts";

const DURABLE = [{ room: "log-*", durable: true, history_size: 5 }];

function append(
  test: TestDurable,
  more: Partial<LogAppend> = {},
): ReturnType<TenantLogs["append"]> {
  const { tenant_id = "acme", room_id = "log-a" } = more;
  return test.durable.logs.append({
    tenant_id,
    room_id,
    room_class: test.classes.of(tenant_id, room_id),
    envelope: new Uint8Array([1, 2, 3]),
    message_id: "",
    sender_id: "ann",
    headers: undefined,
    ...more,
  });
}

Deno.test("messages that arrive while a log opens are stored before later ones", async () => {
  await using test = testDurable(DURABLE);
  const order: number[] = [];
  const one = () =>
    append(test).then((stored) => {
      order.push(stored.offset);
      return stored;
    });
  const first = Array.from({ length: 50 }, one);
  await test.durable.logs.of("acme");
  const second = Array.from({ length: 50 }, one);
  const offsets = (await Promise.all([...first, ...second])).map(({ offset }) => offset);
  assert.deepEqual(offsets, Array.from({ length: 100 }, (_, index) => index + 1));
  assert.deepEqual(order, offsets);
  assert.equal(await test.metric("shield_log_stored_total"), 100);
  assert.equal(await test.metric('shield_log_stored_bytes_total{class="log-*"}'), 300);
  assert.equal(await test.metric("shield_log_pending_appends"), 0);
});

Deno.test("bytes that the caller changes while a log opens are stored unchanged", async () => {
  await using test = testDurable(DURABLE);
  const envelope = new Uint8Array([7]);
  const stored = append(test, { envelope });
  envelope[0] = 9;
  await stored;
  const log = await test.durable.logs.of("acme");
  const { messages } = await log.read("log-a", { after: 0, limit: 1, max_bytes: 100 });
  assert.deepEqual([...messages[0]!.payload], [7]);
});

Deno.test("a message id is stored once per sender and room, and then reported as a duplicate", async () => {
  await using test = testDurable(DURABLE);
  const same = { message_id: "order/1 ü" };
  const first = await append(test, same);
  assert.equal(first.duplicate, false);
  assert.deepEqual(await append(test, same), { ...first, duplicate: true });
  assert.equal((await append(test, { ...same, sender_id: "bob" })).duplicate, false);
  assert.equal((await append(test, { ...same, room_id: "log-b" })).duplicate, false);
  assert.equal((await append(test, { ...same, tenant_id: "other" })).duplicate, false);
  const split = { sender_id: "a/b", message_id: "c" };
  assert.equal((await append(test, split)).duplicate, false);
  assert.equal((await append(test, { sender_id: "a", message_id: "b/c" })).duplicate, false);
  assert.equal(await test.metric("shield_log_deduplicated_total"), 1);
});

Deno.test("the next message retries a log that could not be opened", async () => {
  let fails = true;
  const no_space = () => Promise.reject(new ArqonError("log-unavailable", "no space"));
  const wrap = (spine: Spine): Spine =>
    overriding(spine, { log: (...given) => fails ? no_space() : spine.log(...given) });
  await using test = testDurable(DURABLE, wrap);
  const refused = (error: unknown) =>
    error instanceof ArqonError && error.reason === "log-unavailable";
  const refusals = [append(test), append(test)];
  for (const refusal of refusals) await assert.rejects(refusal, refused);
  assert.equal(await test.metric('shield_log_refused_total{reason="log-unavailable"}'), 2);
  fails = false;
  assert.equal((await append(test)).offset, 1);
});

Deno.test("a run-time change of a class changes the retention of the tenant's open log", async () => {
  await using test = testDurable(DURABLE);
  await append(test);
  const log = await test.durable.logs.of("acme");
  assert.equal((await log.status()).history_size, 5);
  test.classes.setTenant("acme", [tenantClass("big", { durable: true, history_size: 40 })]);
  await log.append("log-a", new Uint8Array(1));
  assert.equal((await log.status()).history_size, 40);
  test.classes.setTenant("acme", []);
  await log.append("log-a", new Uint8Array(1));
  assert.equal((await log.status()).history_size, 5);
});

Deno.test("a tenant without a durable class has no log", async () => {
  await using test = testDurable([{ tenant: "acme", room: "*", durable: true }]);
  await assert.rejects(
    test.durable.logs.of("other"),
    (error) => error instanceof ArqonError && error.reason === "log-unavailable",
  );
});
