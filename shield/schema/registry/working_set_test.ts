/** Which messages are compiled: recent ones within the limit; the others are compiled again on use. */
import assert from "node:assert/strict";
import { SchemaError } from "../../../shared/schema/schema_error.ts";
import { sha256Of } from "./store.ts";
import { BAD_PING, GOOD_PING, ping, pong, ruledPing } from "../testing/schemas.ts";
import { SchemaSource, WorkingSet } from "./working_set.ts";

const ALLOW = { unknown_fields: "allow" } as const;

/** A working set whose clock advances by `step_ms` at every reading, and distinct versions. */
function testSet(options: { compiled_bytes?: number; restore_ms?: number; step_ms?: number } = {}) {
  const clock = { now_ms: 1_000_000, step_ms: options.step_ms ?? 0 };
  const { compiled_bytes = 1_073_741_824, restore_ms = 1_000 } = options;
  const monotonic_ms = () => clock.now_ms += clock.step_ms;
  const working = new WorkingSet({ compiled_bytes, restore_ms, monotonic_ms });
  const source = (version: number, bytes = ping([`f${version}`, 100, "int32"])) =>
    new SchemaSource(version, sha256Of(bytes), bytes);
  return { working, clock, source };
}

/** The bytes of one of these messages. */
function costOf(bytes = ping(["f1", 100, "int32"])): number {
  const { working, source } = testSet();
  working.compile(source(1, bytes), "t.Ping");
  return working.heap_bytes;
}

Deno.test("beyond the limit the least recently used are evicted, and restored unchanged", () => {
  const cost = costOf();
  assert.ok(cost > 10_000 && cost < 100_000, `${cost} bytes`);
  const { working, source } = testSet({ compiled_bytes: 3 * cost });
  const all = [1, 2, 3].map((version) => working.compile(source(version), "t.Ping"));
  assert.ok(all.every(({ message }) => message !== undefined));
  assert.ok(all[0]);
  working.use(all[0], "acme");
  const fourth = working.compile(source(4), "t.Ping");
  const here = () => [...all, fourth].map(({ message }) => message !== undefined);
  assert.deepEqual(here(), [true, false, true, true], "the second is the least recently used");
  assert.equal(working.size, 3);
  assert.ok(working.heap_bytes <= 3 * cost);
  assert.ok(all[1]);
  const back = working.use(all[1], "acme");
  assert.equal(back?.validate(GOOD_PING, ALLOW).total, 0);
  assert.equal(back?.validate(BAD_PING, ALLOW).total, 1);
  assert.deepEqual(here(), [true, true, false, true]);
  assert.deepEqual(working.totals, { put_away: 2, restored: 1, refused: 0 });
});

Deno.test("one message is kept at any size; messages of one version share its types", () => {
  const { working, source } = testSet({ compiled_bytes: 1 });
  const one = source(1);
  const outer = working.compile(one, "t.Ping");
  assert.ok(outer.message !== undefined && one.open_bytes > 0);
  const inner = working.compile(one, "t.Inner");
  assert.equal(outer.message, undefined);
  assert.ok(inner.message !== undefined && one.open_bytes > 0, "still in use by the other");
  const roomy = testSet();
  const both = roomy.source(1);
  roomy.working.compile(both, "t.Ping");
  const first_bytes = roomy.working.heap_bytes;
  roomy.working.compile(both, "t.Inner");
  assert.ok(roomy.working.heap_bytes - first_bytes < both.open_bytes, "counted once");
});

Deno.test("a dropped message leaves nothing behind, evicted or not", () => {
  const { working, source } = testSet({ compiled_bytes: 2 * costOf() });
  const all = [1, 2, 3, 4].map((version) => working.compile(source(version), "t.Ping"));
  assert.equal(working.size, 2);
  for (const one of all) working.drop(one);
  for (const one of all) working.drop(one);
  assert.equal(working.size, 0);
  assert.equal(working.heap_bytes, 0);
  assert.ok(all.every(({ source }) => source.open_bytes === 0));
  assert.equal(working.totals.put_away, 2, "only evictions count");
});

Deno.test("a message that fails to compile takes no memory, and keeps the types of others", () => {
  const { working, source } = testSet();
  const lacking = source(1, pong());
  assert.throws(() => working.compile(lacking, "t.Ping"), SchemaError);
  assert.equal(lacking.open_bytes + working.heap_bytes + working.size, 0);
  const broken = new SchemaSource(1, "", new Uint8Array([0x1f, 0x8b, 1]));
  assert.throws(() => working.compile(broken, "t.Ping"), SchemaError);
  const good = working.compile(lacking, "t.Pong");
  assert.throws(() => working.compile(lacking, "t.Ping"), SchemaError);
  assert.ok(lacking.open_bytes > 0 && good.message !== undefined);
});

Deno.test("rules count with their memory", () => {
  assert.ok(costOf(ruledPing()) > costOf() + 150_000);
});

Deno.test("a tenant whose messages do not fit loses its own, and the time to restore is shared", () => {
  const cost = costOf();
  const limits = { compiled_bytes: 3 * cost, restore_ms: 200, step_ms: 20 };
  const { working, source } = testSet(limits);
  const all = [1, 2, 3, 4].map((version) => working.compile(source(version), "t.Ping"));
  const calm = working.compile(source(5), "t.Ping");
  assert.ok(working.use(calm, "calm"));
  const restored = () => all.map((one) => working.use(one, "greedy") !== undefined);
  for (let round = 0; round < 40; round++) restored();
  assert.ok(working.totals.refused > 0, "it has used up its time");
  assert.ok(calm.message !== undefined, "kept");
  working.drop(calm);
  const back = working.compile(source(6), "t.Ping");
  working.drop(back);
  assert.ok(working.use(back, "calm"), "another tenant has time of its own");
});
