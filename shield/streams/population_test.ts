/** The limit of a tenant's streams; expired ones do not count. */
import assert from "node:assert/strict";
import { writeEnvelope } from "@arqon/proto";
import { SPINE_NOW_MS, testSpine } from "../testing/spine.ts";
import { StreamRefusal } from "./refusal.ts";
import { streamShield } from "./testing/context.ts";

const isFull = (error: unknown) => error instanceof StreamRefusal && error.code === 429;

Deno.test("population: a tenant has a limited number of streams, and expired ones are removed", async () => {
  await using engine = testSpine();
  let now_ms = SPINE_NOW_MS;
  const shield = streamShield(engine.spine, { per_tenant: 2, clock: () => now_ms });
  await shield.put("one", { "stream-ttl": "10" });
  await shield.put("two", { "stream-ttl": "1000" });
  await assert.rejects(shield.put("three"), isFull);
  await shield.put("two", { "stream-ttl": "1000" });
  now_ms += 60_000;
  await shield.put("three");
  assert.deepEqual((await shield.context.records.roomsOf("acme")).toSorted(), ["three", "two"]);
  await assert.rejects(shield.put("four"), isFull);
});

for (const [by, step_ms] of [["forward", 3_600_000], ["back", -3_600_000]] as const) {
  Deno.test(`a Shield whose wall clock is set ${by} by an hour removes no stream, and keeps none longer`, async () => {
    await using engine = testSpine();
    let passed_ms = 0;
    const logClock = () => SPINE_NOW_MS + passed_ms;
    const right = streamShield(engine.spine, { clock: logClock, logClock });
    const set = streamShield(engine.spine, { clock: () => logClock() + step_ms, logClock });
    await right.put("read", { "stream-ttl": "600", "content-type": "text/plain" }, "one");
    await right.put("left", { "stream-ttl": "600", "content-type": "text/plain" }, "one");
    passed_ms += 599_000;
    assert.deepEqual(await set.texts("read"), ["one"]);
    await set.post("read", { "content-type": "text/plain" }, "two");
    // Its message is some ms younger: the log's clock goes on.
    passed_ms += 11_000;
    await assert.rejects(set.texts("left"), /no such stream/);
    passed_ms += 588_000;
    assert.deepEqual(await right.texts("read"), ["one", "two"]);
    passed_ms += 1_000;
    await assert.rejects(right.texts("read"), /no such stream/);
  });
}

Deno.test("a message that is published in the room of a stream in another way prolongs it", async () => {
  await using engine = testSpine();
  let log_ms = SPINE_NOW_MS - 60_000;
  const shield = streamShield(engine.spine, { logClock: () => log_ms });
  for (const room of ["left", "open", "closed"]) {
    await shield.put(room, { "stream-ttl": "600", "content-type": "text/plain" });
  }
  await shield.post("closed", { "stream-closed": "true" }, "");
  const log = await shield.context.logs.of("acme");
  const event = { type: "t", data: new TextEncoder().encode("another's") };
  for (const room_id of ["open", "closed"]) {
    await log.append(room_id, writeEnvelope({ tenant_id: "acme", room_id, event }));
  }
  log_ms += 601_000;
  assert.deepEqual(await shield.texts("open"), ["another's"]);
  for (const room of ["left", "closed"]) {
    await assert.rejects(shield.texts(room), /no such stream/, room);
  }
  log_ms += 120_000;
  await assert.rejects(shield.texts("open"), /no such stream/);
});

Deno.test("population: an interrupted creation is forgotten after a while", async () => {
  await using engine = testSpine();
  let now_ms = SPINE_NOW_MS;
  const shield = streamShield(engine.spine, { clock: () => now_ms });
  const cut = streamShield(engine.spine, {
    clock: () => now_ms,
    onAppend: () => new Promise(() => {}),
  });
  void cut.put("r", {}, "first");
  const key = { tenant_id: "acme", room_id: "r" };
  while ((await shield.context.records.get(key)) === undefined) await engine.spine.flush();
  await assert.rejects(shield.texts("r"), /no such stream/);
  now_ms += 31_000;
  await shield.put("r", {}, "second");
  assert.deepEqual(await shield.texts("r"), ["second"]);
});
