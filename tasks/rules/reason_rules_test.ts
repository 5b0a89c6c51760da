/** A reason without a test and a reused number must be reported. */
import assert from "node:assert/strict";
import { checkTested, checkUnique, countsAsTest } from "./reason_rules.ts";

Deno.test("a reason that no test quotes is reported", () => {
  const entries = [{ number: 1, name: "sample-a" }, { number: 2, name: "sample-b" }];
  const found = checkTested(entries, ['assert.equal(error.reason, "sample-a"); // sample-b']);
  assert.deepEqual(found.map((violation) => violation.message), [
    'no test names "sample-b"; trigger it in one, or mark it planned',
  ]);
});

Deno.test("a longer reason does not count as a test of a shorter reason that it contains", () => {
  assert.equal(checkTested([{ number: 1, name: "sample" }], ['"sample-longer"']).length, 1);
});

Deno.test("a planned reason needs no test", () => {
  assert.deepEqual(checkTested([{ number: 1, name: "sample", planned: true }], []), []);
});

Deno.test("numbers and names are unique", () => {
  const entries = [
    { number: 1, name: "sample-a" },
    { number: 1, name: "sample-b" },
    { number: 3, name: "sample-a" },
  ];
  assert.equal(checkUnique(entries).length, 2);
  assert.deepEqual(checkUnique(entries.slice(0, 1)), []);
});

Deno.test("tests, the harness and conformance suites count; sources and the gate do not", () => {
  for (
    const path of [
      "shield/a_test.ts",
      "tests/harness/bus.ts",
      "shared/spine/testing/conformance.ts",
    ]
  ) {
    assert.equal(countsAsTest(path), true, path);
  }
  for (const path of ["shield/a.ts", "tasks/rules/reason_rules_test.ts", "proto/gen/errors.ts"]) {
    assert.equal(countsAsTest(path), false, path);
  }
});
