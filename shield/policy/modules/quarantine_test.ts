/** The quarantine of a bus: effective at once, on all Shields, across restarts and outages. */
import assert from "node:assert/strict";
import type { KeyValue, Spine } from "../../../shared/spine/contract/spine.ts";
import { until } from "../../../shared/testing/until.ts";
import { keptLog, testSpine } from "../../testing/spine.ts";
import { openQuarantine } from "./quarantine.ts";
import { overriding } from "../../../shared/testing/overriding.ts";

const ONE = "1".repeat(64);
const TWO = "2".repeat(64);
const BUCKET = "ARQON_POLICY_QUARANTINE";

/** A node's quarantine, and its callbacks. */
async function opened(spine: Spine, node: string) {
  const { log, lines } = keptLog();
  const reported: string[] = [];
  const quarantine = await openQuarantine({
    spine,
    log,
    now: () => 5,
    node,
    onAdded: (sha256) => reported.push(`added ${sha256[0]}`),
    onReleased: (sha256) => reported.push(`released ${sha256[0]}`),
  });
  return { quarantine, reported, lines, [Symbol.asyncDispose]: () => quarantine.close(1_000) };
}

Deno.test("every node keeps a module in quarantine, across restarts", async () => {
  await using engine = testSpine();
  const { spine } = engine;
  await using here = await opened(spine, "a");
  await using there = await opened(spine, "b");
  here.quarantine.add(ONE, "wedge");
  assert.equal(here.quarantine.has(ONE), true, "at once");
  await until("the other node", () => there.quarantine.has(ONE));
  assert.deepEqual(there.reported, ["added 1"]);
  assert.equal(here.reported.length, 0, "the node that found it knows it");
  // A second node that finds it leaves the first one's entry.
  there.quarantine.add(ONE, "crash");
  there.quarantine.add(TWO, "crash");
  await until("the other module", () => here.quarantine.has(TWO));
  const entry = { sha256: ONE, why: "wedge", at_ms: 5, node: "a" };
  await using restarted = await opened(spine, "c");
  assert.deepEqual(restarted.reported.toSorted(), ["added 1", "added 2"], "before it is open");
  assert.ok(restarted.quarantine.list().some((one) => one.sha256 === ONE));
  assert.deepEqual(restarted.quarantine.list().find(({ sha256 }) => sha256 === ONE), entry);
  assert.equal(await here.quarantine.release(ONE), true);
  assert.equal(await here.quarantine.release(ONE), false);
  await until("all nodes", () => !there.quarantine.has(ONE) && !restarted.quarantine.has(ONE));
  assert.ok(here.reported.includes("released 1") && there.reported.includes("released 1"));
  assert.deepEqual(restarted.quarantine.list().map(({ sha256 }) => sha256), [TWO]);
});

Deno.test("an unreadable entry counts, and a key that is not a module does not", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(BUCKET);
  await bucket.put([ONE], new TextEncoder().encode("no entry"));
  await bucket.put(["other"], new Uint8Array());
  await using here = await opened(engine.spine, "a");
  assert.deepEqual(here.quarantine.list(), [{ sha256: ONE, why: "unknown", at_ms: 0, node: "" }]);
});

Deno.test("a quarantine that cannot be stored yet is effective here, and is stored later", async () => {
  await using engine = testSpine();
  let refusals = 3;
  const bucket = await engine.spine.keyValue(BUCKET);
  const update: KeyValue["update"] = (...entry) =>
    refusals-- > 0 ? Promise.reject(new Error("away")) : bucket.update(...entry);
  const failing = overriding(bucket, { update });
  const spine = { keyValue: () => Promise.resolve(failing) } as unknown as Spine;
  await using here = await opened(spine, "a");
  here.quarantine.add(ONE, "wedge");
  assert.equal(here.quarantine.has(ONE), true);
  await using there = await opened(engine.spine, "b");
  await until("the write", () => there.quarantine.has(ONE));
  const logged = here.lines.filter((line) => line.includes("can be stored"));
  assert.equal(logged.length, 1, "logged once");
});
