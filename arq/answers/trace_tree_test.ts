/** Jaeger's answer as a tree, whatever it contains. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { durationText, readTrace, traceTree } from "./trace_tree.ts";

const span = (spanID: string, parent: string, operationName: string, startTime: number) => ({
  spanID,
  operationName,
  startTime,
  duration: 1_250,
  processID: "p1",
  references: parent === "" ? [] : [{ refType: "CHILD_OF", spanID: parent }],
  tags: [{ key: "arqon.policy.fuel", type: "float64", value: 1.5 }],
});
const answer = (...spans: object[]) => ({
  data: [{ spans, processes: { p1: { serviceName: "arqon-shield" } } }],
});

Deno.test("children are below their parents, in the order in which they began", () => {
  const spans = readTrace(answer(
    span("c", "a", "policy", 30),
    span("d", "b", "inner", 25),
    span("a", "client", "publish", 10),
    span("b", "a", "schema", 20),
  ));
  assert.deepEqual(traceTree(spans!).split("\n"), [
    "publish      arqon-shield   +0 µs  1.25 ms  policy.fuel=1.5",
    "├─ schema    arqon-shield  +10 µs  1.25 ms  policy.fuel=1.5",
    "│  └─ inner  arqon-shield  +15 µs  1.25 ms  policy.fuel=1.5",
    "└─ policy    arqon-shield  +20 µs  1.25 ms  policy.fuel=1.5",
    "",
  ]);
});

Deno.test("a name cannot drive the terminal", () => {
  const shown = traceTree(readTrace(answer(span("a", "", "\u001b[2Jx\n", 0)))!);
  assert.ok(!shown.includes("\u001b"));
  assert.equal(shown.split("\n").length, 2);
});

Deno.test("an answer that is not Jaeger's differs from one without spans", () => {
  for (const other of [null, 1, [], {}, { data: 1 }]) assert.equal(readTrace(other), undefined);
  assert.deepEqual(readTrace({ data: [] }), []);
  assert.deepEqual(readTrace({ data: null, errors: [{ code: 404 }] }), []);
});

Deno.test("any answer is shown or refused, and circles of parents end", () => {
  const id = fc.constantFrom("a", "b", "c", "");
  const some = fc.tuple(id, id, fc.string(), fc.nat()).map((parts) => span(...parts));
  const any = fc.oneof(fc.anything(), fc.array(some).map((all) => answer(...all)));
  fc.assert(fc.property(any, (given) => {
    const spans = readTrace(given);
    if (spans !== undefined && spans.length > 0) assert.equal(typeof traceTree(spans), "string");
  }));
});

Deno.test("durations have the unit in which they are read", () => {
  assert.deepEqual([87, 1_250, 3_100_000].map(durationText), ["87 µs", "1.25 ms", "3.10 s"]);
});
