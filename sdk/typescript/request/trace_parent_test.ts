/** What an SDK message says about its trace. */
import assert from "node:assert/strict";
import { tracedBy } from "./trace_parent.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;
const OTHER = `00-${"1".repeat(32)}-b7ad6b7169203331-01`;

Deno.test("without any trace nothing is added", () => {
  const nothing = { trace_id: undefined, headers: undefined };
  assert.deepEqual(tracedBy({}, undefined), nothing);
  assert.deepEqual(tracedBy({}, () => undefined), nothing);
  const headers = { a: "b" };
  assert.deepEqual(tracedBy({ headers }, undefined), { trace_id: undefined, headers });
});

Deno.test("a traceparent gives the message its header and its trace id", () => {
  const traced = { trace_id: TRACE, headers: { traceparent: PARENT } };
  assert.deepEqual(tracedBy({ traceparent: PARENT }, () => OTHER), traced);
  assert.deepEqual(tracedBy({}, () => PARENT), traced);
  const both = tracedBy({ traceparent: PARENT, trace_id: TRACE, headers: { a: "b" } }, undefined);
  assert.deepEqual(both, { trace_id: TRACE, headers: { a: "b", traceparent: PARENT } });
});

Deno.test("a trace id of the message's own keeps out the connection's traceparent", () => {
  const own = { trace_id: TRACE, headers: undefined };
  assert.deepEqual(tracedBy({ trace_id: TRACE }, () => OTHER), own);
});

Deno.test("a traceparent that is none, or of another trace, is a TypeError that says what is right", () => {
  const none = ["", "1", `ff${PARENT.slice(2)}`, PARENT.toUpperCase(), `00-${"0".repeat(32)}-1-01`];
  for (const traceparent of [...none, `${PARENT}0`]) {
    assert.throws(() => tracedBy({ traceparent }, undefined), /expected 00-<32>-/);
    assert.throws(() => tracedBy({}, () => traceparent), TypeError);
  }
  const mixed = { traceparent: OTHER, trace_id: TRACE };
  assert.throws(() => tracedBy(mixed, undefined), /of trace_id/);
});
