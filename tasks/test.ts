/**
 * `deno task test [paths and options of deno test]`: every test of every member and of `tests/`,
 * or those in the paths given. What needs data from outside of the checkout is `test_external.ts`.
 */
import { finish, runTests } from "./run_tests.ts";

/** deno takes files of these names for tests, by their names; load_test.js is for k6. */
const LEFT_OUT = "tests/external,tasks/test.ts,tests/load/load_test.js";

if (import.meta.main) finish(await runTests([`--ignore=${LEFT_OUT}`, ...Deno.args]));
