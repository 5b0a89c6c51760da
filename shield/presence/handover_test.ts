/** Which connections keep their id, on an embedded Spine: limits, times, invalid messages. */
import assert from "node:assert/strict";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import type { Random } from "../../shared/ids.ts";
import { keptLog, testLog } from "../../shared/testing/logs.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { MOVING } from "../../shared/subjects/subject.ts";
import { type AskConfirm, Handover } from "./handover.ts";

const ANN = { tenant_id: "acme", user_key: "https://idp ann" };
const random: Random = (size) => crypto.getRandomValues(new Uint8Array(size));
const log = testLog();

/** Shields on one Spine whose clock a test moves. */
function testMoving() {
  const spine = openEmbedded({ log, now: Date.now });
  const clock = { now_ms: 0 };
  const opened: Handover[] = [];
  const open = (node_id: string, confirm_ms = 60_000) => {
    const registry = createMetrics({ node_id, version: "0" });
    const moving = new Handover({
      node_id,
      spine,
      log,
      registry,
      random,
      patience_ms: 1_000,
      confirm_ms,
      monotonic_ms: () => clock.now_ms,
    });
    opened.push(moving);
    return Object.assign(moving, { registry });
  };
  const one = open("one");
  const two = open("two");
  const ask: AskConfirm = async (params) => (await two.confirm(params)).heard ? 0 : 1;
  one.askBy(ask);
  const tell = (ids: readonly string[]) => one.tell(ids.map((id) => ({ id, identity: ANN })));
  return {
    spine,
    clock,
    one,
    two,
    open,
    tell,
    async [Symbol.asyncDispose]() {
      for (const moving of opened) moving.close();
      await spine.drain();
    },
  };
}

Deno.test("an id is kept for its user, within the time, and not on its own Shield", async () => {
  await using test = testMoving();
  const { one, two, clock, spine } = test;
  await test.tell(["c1", "c2", "c3"]);
  assert.deepEqual([one.size, two.size], [0, 3]);
  assert.equal(two.keep("c1", { ...ANN, user_key: "https://idp bob" }), undefined);
  assert.equal(two.keep("c1", { ...ANN, tenant_id: "other" }), undefined);
  assert.equal(two.keep("c9", ANN), undefined);
  assert.equal(one.keep("c1", ANN), undefined);
  const first = two.keep("c1", ANN);
  assert.deepEqual([first?.connection_id, first?.is_last()], ["c1", true]);
  const second = two.keep("c1", ANN);
  assert.deepEqual([first?.is_last(), second?.is_last()], [false, true], "it reconnected");
  clock.now_ms = 999;
  assert.equal(two.keep("c2", ANN)?.connection_id, "c2");
  assert.match(await two.registry.metrics(), /shield_moved_connections_total(\{[^}]*\})? 2\n/);
  clock.now_ms = 1_000;
  assert.equal(two.keep("c3", ANN), undefined, "too late");
  assert.equal(two.size, 0);
  for (
    const text of [
      "",
      "{}",
      '{"from":"x","connections":[["a","b"]]}',
      '{"from":1}',
      '{"from":"x","telling":7,"connections":[]}',
      "\xff",
    ]
  ) {
    spine.publish(MOVING, new TextEncoder().encode(text));
  }
  await spine.flush();
  assert.equal(two.size, 0);
});

Deno.test("a Shield that starts meanwhile receives the expected connections, except those that have moved elsewhere", async () => {
  await using test = testMoving();
  await test.tell(["c1", "c2"]);
  test.two.keep("c2", ANN);
  // The process before it has ended.
  test.one.close();
  const next = test.open("one");
  await next.known();
  assert.equal(next.size, 1);
  assert.equal(next.keep("c1", ANN)?.connection_id, "c1");
  assert.equal(test.two.size, 2);
});

Deno.test("a request is answered with yes once all its connections are known, and with no after a timeout", async () => {
  await using test = testMoving();
  const request = { from: "three", telling: "t1", connections: 2 };
  const answer = test.two.confirm(request);
  const publish = (telling: string, id: string) => {
    const message = { from: "three", telling, connections: [[id, ANN.tenant_id, ANN.user_key]] };
    test.spine.publish(MOVING, new TextEncoder().encode(JSON.stringify(message)));
  };
  for (const [telling, id] of [["t1", "c1"], ["t2", "c2"], ["t1", "c3"]] as const) {
    publish(telling, id);
  }
  assert.deepEqual(await answer, { heard: true });
  assert.deepEqual(await test.two.confirm(request), { heard: true }, "also afterwards");
  assert.deepEqual(await test.two.confirm({ ...request, from: "two" }), { heard: true }, "its own");
  const hasty = test.open("hasty", 1);
  assert.deepEqual(await hasty.confirm({ ...request, telling: "t3" }), { heard: false });
  for (const wrong of [undefined, {}, { ...request, connections: 0 }, { ...request, more: 1 }]) {
    await assert.rejects(test.two.confirm(wrong));
  }
});

Deno.test("endless invalid announcements take no memory beyond the limit", async () => {
  await using test = testMoving();
  const hasty = test.open("hasty", 1);
  const ask = (telling: string) => hasty.confirm({ from: "x", telling, connections: 1 });
  await Promise.all(Array.from({ length: 1_100 }, (_, at) => ask(`t${at}`)));
  const message = { from: "x", telling: "late", connections: [["c1", "acme", "k"]] };
  test.spine.publish(MOVING, new TextEncoder().encode(JSON.stringify(message)));
  await test.spine.flush();
  assert.deepEqual(await ask("late"), { heard: false }, "there is no free slot");
  test.clock.now_ms = 1_000;
  test.spine.publish(MOVING, new TextEncoder().encode(JSON.stringify(message)));
  await test.spine.flush();
  assert.deepEqual(await ask("late"), { heard: true }, "there is a free slot again");
});

Deno.test("Shields without the moving connections are counted, and an unreachable Spine delays nothing", async () => {
  await using test = testMoving();
  const kept = keptLog({ level: "warn" });
  const registry = createMetrics({ node_id: "three", version: "0" });
  const moving = new Handover({
    node_id: "three",
    spine: test.spine,
    patience_ms: 1_000,
    confirm_ms: 500,
    random,
    registry,
    monotonic_ms: () => 0,
    log: kept.log,
  });
  const waits: number[] = [];
  const ask: AskConfirm = (_, timeout_ms) => Promise.resolve(waits.push(timeout_ms));
  moving.askBy(ask);
  await moving.tell([{ id: "c1", identity: ANN }]);
  await moving.tell([{ id: "c1", identity: ANN }], 200);
  await moving.tell([]);
  assert.deepEqual(waits, [500, 200]);
  assert.match(await registry.metrics(), /shield_moves_unheard_total(\{[^}]*\})? 3\n/);
  await test.spine.drain();
  await moving.tell([{ id: "c1", identity: ANN }]);
  assert.equal(kept.lines.length, 3);
  moving.close();
});
