/**
 * `deno task test:cluster [options of deno test]`: the tests that start NATS, Valkey, PostgreSQL, Prometheus or a
 * proxy, without the slow tests and those with kills at many moments, and in parallel those of the Python SDK. The
 * tests name the servers that a machine lacks.
 */
import { finish, runTests } from "./run_tests.ts";
import { sourceModules } from "./source_modules.ts";
import { longestFirst, serverGroups } from "./test_groups.ts";
import { testModules } from "./test_modules.ts";
import { besidePytest } from "./test_python.ts";
import { LONGEST_CLUSTER, tiersOf } from "./tiers.ts";

if (import.meta.main) {
  const { cluster } = tiersOf(await sourceModules());
  const modules = await testModules(
    cluster,
    (files) => longestFirst(files, LONGEST_CLUSTER, serverGroups),
  );
  const tests = runTests([...modules, ...Deno.args]);
  finish(await (Deno.args.length === 0 ? besidePytest("nats", tests) : tests));
}
