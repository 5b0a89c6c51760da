/**
 * `deno task test:slow [options of deno test]`: runs the tests that hold a stream for most of a minute,
 * install packages for several runtimes, build the documents' site, drive a browser, attack a bus, fill a
 * process's memory, or compile the product once for each case of its switches. `deno task test` leaves them
 * out, so that it stays short; `.ci/run` runs both, and `test` runs any of them that a path names.
 */
import { finish, runTests } from "./run_tests.ts";

/** Those that take several minutes each. They begin at once, so that none is left when all others are done. */
const LONGEST: readonly string[] = [
  "tests/console_test.ts",
  "tests/installed_pages_test.ts",
  "tests/site_test.ts",
];

/** Each takes most of a minute or more. */
const OTHERS: readonly string[] = [
  "tests/nats_backends_test.ts",
  "arq/commands/room/follow_test.ts",
  "tests/backup_oracle_test.ts",
  "tests/binaries/npm_test.ts",
  "tests/clients_test.ts",
  "tests/closed_unions_test.ts",
  "tests/cookbook/token_servers_test.ts",
  "tests/dev_stack_test.ts",
  "tests/editor_example_test.ts",
  "tests/growing_chaos/show_test.ts",
  "tests/hostile/gallery_test.ts",
  "tests/members_chaos/show_test.ts",
  "tests/memory/memory_test.ts",
  "tests/outage_test.ts",
  "tests/packages/packages_test.ts",
  "tests/presence_simulation/long_test.ts",
  "tests/production/production_test.ts",
  "tests/react/react_test.ts",
  "tests/reducer_chaos/show_test.ts",
  "tests/storage/many_test.ts",
  "tests/storage/storage_test.ts",
  "tests/thawed_server_test.ts",
  "tests/thawed_signals_test.ts",
  "tests/told_test.ts",
  "tests/yjs_many_test.ts",
];

/** Paths of the slow tests. */
export const SLOW: readonly string[] = [...LONGEST, ...OTHERS];

if (import.meta.main) {
  finish(await runTests([...OTHERS, ...Deno.args], { beside: [...LONGEST, ...Deno.args] }));
}
