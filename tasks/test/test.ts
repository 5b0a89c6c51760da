/**
 * `deno task test [paths and options of deno test]`: runs the tests of every member and of `tests/`, and
 * beside them those of the Python SDK; with paths, only the tests of the former there. `--no-check` alone is
 * for who has checked the types already. `test_slow.ts` has the slowest tests, `test_external.ts` those that
 * need data from outside of the checkout.
 */
import { finish, runTests, show } from "./run_tests.ts";
import { testPython } from "./test_python.ts";
import { SLOW } from "./test_slow.ts";
import type { TestTotals } from "./test_summary.ts";

/** Files that deno takes for tests because of their names; load_test.js is for k6. */
const LEFT_OUT = "tests/external,tasks/test/test.ts,tests/load/load_test.js";

/**
 * Everything but the slow tests. What Python says is shown at the end, in one piece: the two outputs would
 * be mixed.
 */
async function runAll(): Promise<TestTotals> {
  let said = "";
  const [totals, python] = await Promise.all([
    runTests([`--ignore=${LEFT_OUT},${SLOW.join(",")}`, ...Deno.args]),
    testPython(Deno.env.has("CI"), (text) => said += text),
  ]);
  show(said);
  return { passed: totals.passed + python.passed, failed: totals.failed + python.failed };
}

if (import.meta.main) {
  const isWhole = Deno.args.every((argument) => argument === "--no-check");
  finish(isWhole ? await runAll() : await runTests([`--ignore=${LEFT_OUT}`, ...Deno.args]));
}
