/**
 * `deno task test [paths and options of deno test]`: runs the tests of every member and of `tests/`, then
 * those of the Python SDK; with paths, only the tests of the former there. `test_slow.ts` has the slowest
 * tests, `test_external.ts` those that need data from outside of the checkout.
 */
import { finish, runTests } from "./run_tests.ts";
import { testPython } from "./test_python.ts";
import { SLOW } from "./test_slow.ts";

/** Files that deno takes for tests because of their names; load_test.js is for k6. */
const LEFT_OUT = "tests/external,tasks/test/test.ts,tests/load/load_test.js";

if (import.meta.main) {
  const left_out = Deno.args.length === 0 ? `${LEFT_OUT},${SLOW.join(",")}` : LEFT_OUT;
  const totals = await runTests([`--ignore=${left_out}`, ...Deno.args]);
  const python = Deno.args.length === 0
    ? await testPython(Deno.env.has("CI"))
    : { passed: 0, failed: 0 };
  finish({ passed: totals.passed + python.passed, failed: totals.failed + python.failed });
}
