/**
 * `deno task test:slow [options of deno test]`: tests that hold a stream for most of a minute, install
 * packages for several runtimes, build the documents' site, drive a browser, attack a bus, or take a
 * process's memory. `deno task test`
 * leaves them out, so that it stays short; `.ci/run` runs both, and a path names any of them to `test`.
 */
import { finish, runTests } from "./run_tests.ts";

/** Each takes most of a minute or more. */
export const SLOW: readonly string[] = [
  "arq/follow_test.ts",
  "tests/binaries/npm_test.ts",
  "tests/clients_test.ts",
  "tests/console_test.ts",
  "tests/dev_stack_test.ts",
  "tests/hostile/gallery_test.ts",
  "tests/installed_pages_test.ts",
  "tests/memory_test.ts",
  "tests/outage_test.ts",
  "tests/packages/packages_test.ts",
  "tests/site_test.ts",
  "tests/thawed_server_test.ts",
];

if (import.meta.main) finish(await runTests([...SLOW, ...Deno.args]));
