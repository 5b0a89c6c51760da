/**
 * `deno task test:slow [options of deno test]`: runs the tests that hold a stream for most of a minute,
 * install packages for several runtimes, build the documents' site, drive a browser, attack a bus, fill a
 * process's memory, or compile the product once for each case of its switches. `deno task test` leaves them
 * out, so that it stays short; `.ci/run` runs both, and `test` runs any of them that a path names.
 */
import { finish, runTests } from "./run_tests.ts";

/** Paths of the slow tests; each takes most of a minute or more. */
export const SLOW: readonly string[] = [
  "tests/nats_backends_test.ts",
  "arq/commands/room/follow_test.ts",
  "tests/backup_oracle_test.ts",
  "tests/binaries/npm_test.ts",
  "tests/clients_test.ts",
  "tests/closed_unions_test.ts",
  "tests/console_test.ts",
  "tests/cookbook/token_servers_test.ts",
  "tests/dev_stack_test.ts",
  "tests/editor_example_test.ts",
  "tests/growing_chaos/show_test.ts",
  "tests/hostile/gallery_test.ts",
  "tests/installed_pages_test.ts",
  "tests/members_chaos/show_test.ts",
  "tests/memory/memory_test.ts",
  "tests/outage_test.ts",
  "tests/packages/packages_test.ts",
  "tests/production/production_test.ts",
  "tests/reducer_chaos/show_test.ts",
  "tests/site_test.ts",
  "tests/storage/many_test.ts",
  "tests/storage/storage_test.ts",
  "tests/thawed_server_test.ts",
  "tests/thawed_signals_test.ts",
  "tests/told_test.ts",
  "tests/yjs_many_test.ts",
];

if (import.meta.main) finish(await runTests([...SLOW, ...Deno.args]));
