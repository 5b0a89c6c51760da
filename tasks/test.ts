/**
 * `deno task test [paths and options of deno test]`: every test of every member and of `tests/`, then
 * those of the Python SDK; or those of the former in the paths given. What needs data from outside of
 * the checkout is `test_external.ts`.
 */
import { finish, runTests } from "./run_tests.ts";
import { testPython } from "./test_python.ts";

/** deno takes files of these names for tests, by their names; load_test.js is for k6. */
const LEFT_OUT = "tests/external,tasks/test.ts,tests/load/load_test.js";

if (import.meta.main) {
  const totals = await runTests([`--ignore=${LEFT_OUT}`, ...Deno.args]);
  const python = Deno.args.length === 0
    ? await testPython(Deno.env.has("CI"))
    : { passed: 0, failed: 0 };
  finish({ passed: totals.passed + python.passed, failed: totals.failed + python.failed });
}
