/** The trace of an SDK message. */
import assert from "node:assert/strict";
import { tracedBy } from "./room_request.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;
const OTHER = `00-${"1".repeat(32)}-b7ad6b7169203331-01`;

Deno.test("without a trace a message gets a new one, and no header", () => {
  const headers = { a: "b" };
  const made = [tracedBy({}, undefined), tracedBy({}, () => undefined)];
  assert.deepEqual(made.map((one) => one.headers), [undefined, undefined]);
  assert.deepEqual(tracedBy({ headers }, undefined).headers, headers);
  // More than are made at once.
  for (let n = 0; n < 1_000; n++) made.push(tracedBy({}, undefined));
  for (const { trace_id } of made) assert.match(trace_id, /^(?!0{32})[0-9a-f]{32}$/);
  assert.equal(new Set(made.map(({ trace_id }) => trace_id)).size, made.length);
});

Deno.test("a traceparent gives the message its header and its trace id", () => {
  const traced = { trace_id: TRACE, headers: { traceparent: PARENT } };
  assert.deepEqual(tracedBy({ traceparent: PARENT }, () => OTHER), traced);
  assert.deepEqual(tracedBy({}, () => PARENT), traced);
  const both = tracedBy({ traceparent: PARENT, trace_id: TRACE, headers: { a: "b" } }, undefined);
  assert.deepEqual(both, { trace_id: TRACE, headers: { a: "b", traceparent: PARENT } });
});

Deno.test("a message's own trace id overrides the connection's traceparent", () => {
  const own = { trace_id: TRACE, headers: undefined };
  assert.deepEqual(tracedBy({ trace_id: TRACE }, () => OTHER), own);
});

Deno.test("an invalid traceparent, or one of another trace, is a TypeError with the expected form", () => {
  const none = ["", "1", `ff${PARENT.slice(2)}`, PARENT.toUpperCase(), `00-${"0".repeat(32)}-1-01`];
  for (const traceparent of [...none, `${PARENT}0`]) {
    assert.throws(() => tracedBy({ traceparent }, undefined), /expected 00-<32>-/);
    assert.throws(() => tracedBy({}, () => traceparent), TypeError);
  }
  const mixed = { traceparent: OTHER, trace_id: TRACE };
  assert.throws(() => tracedBy(mixed, undefined), /of trace_id/);
});
