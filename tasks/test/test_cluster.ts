/**
 * `deno task test:cluster [options of deno test]`: the tests that start NATS, Valkey, PostgreSQL, Prometheus or a proxy,
 * without the slow ones. What of these a machine lacks, their tests name.
 */
import { finish, runTests } from "./run_tests.ts";
import { sourceModules } from "./source_modules.ts";
import { tiersOf } from "./tiers.ts";

if (import.meta.main) {
  const { cluster } = tiersOf(await sourceModules());
  finish(await runTests([...cluster, ...Deno.args]));
}
