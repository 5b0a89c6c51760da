/**
 * `deno task test [paths and options of deno test]`: the tests that start no process, and in parallel pytest for the
 * Python SDK on a real bus. With paths, any tests there. `tiers.ts` decides which tests `test:cluster` and `test:all`
 * run.
 */
import { NO_SERVERS } from "../nats_server.ts";
import { finish, runTests } from "./run_tests.ts";
import { sourceModules } from "./source_modules.ts";
import { longestFirst, quietGroups } from "./test_groups.ts";
import { testModules } from "./test_modules.ts";
import { besidePytest } from "./test_python.ts";
import type { TestTotals } from "./test_summary.ts";
import { LONGEST, OTHER_TASKS, tiersOf } from "./tiers.ts";

async function runQuiet(): Promise<TestTotals> {
  // Users run this with nothing but Node and Python.
  Deno.env.set(NO_SERVERS, "deno task test");
  const { test } = tiersOf(await sourceModules());
  const modules = await testModules(test, (files) => longestFirst(files, LONGEST, quietGroups));
  return await besidePytest("not nats", runTests(modules, { with_nats: false }));
}

if (import.meta.main) {
  finish(
    Deno.args.length === 0
      ? await runQuiet()
      : await runTests([`--ignore=${OTHER_TASKS.join(",")}`, ...Deno.args]),
  );
}
