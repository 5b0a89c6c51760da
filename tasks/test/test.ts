/**
 * Three tasks, each with a part of the tests; `tiers.ts` decides which.
 *
 * `deno task test [paths and options of deno test]`: the tests that start no process, and in parallel pytest for the
 * Python SDK on a real bus. With paths, any tests there.
 *
 * `deno task test:cluster [options of deno test]`: the tests that start NATS, Valkey, PostgreSQL, Prometheus or a
 * proxy, without the slow tests and those with kills at many moments, and in parallel those of the Python SDK. The
 * tests name the servers that a machine lacks.
 *
 * `deno task test:all [--slice K/N]`: the other tests (of the command line and of everything else that starts
 * processes, and the slow tests), then the tasks that check the bus against other projects' suites, the coverage floor,
 * and the contents of a release. With `--slice`, the Kth of N parts of both.
 */
import { NO_SERVERS } from "../nats_server.ts";
import { finish, runTests, show } from "./run_tests.ts";
import {
  longestFirst,
  quietGroups,
  serverGroups,
  singleGroups,
  testModules,
} from "./test_modules.ts";
import { followTests } from "./test_process.ts";
import { besidePytest } from "./test_python.ts";
import { addTotals, lastTotals, type TestTotals } from "./test_summary.ts";
import { LONGEST, LONGEST_CLUSTER, OTHER_TASKS, sliceOf, sourceModules, tiersOf } from "./tiers.ts";

async function quickTests(args: readonly string[]): Promise<TestTotals> {
  if (args.length > 0) return await runTests([`--ignore=${OTHER_TASKS.join(",")}`, ...args]);
  // Users run this with nothing but Node and Python.
  Deno.env.set(NO_SERVERS, "deno task test");
  const { test } = tiersOf(await sourceModules());
  const modules = await testModules(test, (files) => longestFirst(files, LONGEST, quietGroups));
  return await besidePytest("not nats", runTests(modules, { with_nats: false }));
}

async function clusterTests(args: readonly string[]): Promise<TestTotals> {
  const { cluster } = tiersOf(await sourceModules());
  const modules = await testModules(
    cluster,
    (files) => longestFirst(files, LONGEST_CLUSTER, serverGroups),
  );
  const tests = runTests([...modules, ...args]);
  return await (args.length === 0 ? besidePytest("nats", tests) : tests);
}

/** Tasks whose last line has their totals. */
const TESTS: readonly string[] = ["conformance:streams", "test:python", "coverage"];
/** Tasks without totals, which pass or fail as a whole. */
const CHECKS: readonly string[] = ["release:dry-run", "compile --target x86_64-unknown-linux-gnu"];
const TASKS: readonly string[] = [...TESTS, ...CHECKS];

/** K and N of `--slice K/N`; undefined if they are not a slice. */
export function readSlice(text: string): readonly [number, number] | undefined {
  const [, at, count] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (at === undefined || Number(at) < 1 || Number(at) > Number(count)) return undefined;
  return [Number(at), Number(count)];
}

async function runTask(name: string): Promise<TestTotals> {
  show(`\n== deno task ${name}\n`);
  const command = [Deno.execPath(), "task", "--quiet", ...name.split(" ")];
  const { output, success } = await followTests({ name, command }, show);
  if (TESTS.includes(name)) return lastTotals(output, success);
  return success ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

function readArguments(args: readonly string[]): readonly [number, number] {
  const [option, text = ""] = args;
  if (option === undefined) return [1, 1];
  const slice = option === "--slice" ? readSlice(text) : undefined;
  if (slice !== undefined && args.length === 2) return slice;
  console.error("usage: deno task test:all [--slice K/N], with K from 1 to N, such as 3/19");
  Deno.exit(2);
}

async function otherTests(args: readonly string[]): Promise<TestTotals> {
  const [at, count] = readArguments(args);
  const { all } = tiersOf(await sourceModules());
  const chosen = sliceOf([...TASKS, ...all], at - 1, count);
  const tasks = chosen.filter((one) => TASKS.includes(one));
  const paths = chosen.filter((one) => !TASKS.includes(one));
  show(`${paths.length} of ${all.length} files, ${tasks.length} of ${TASKS.length} tasks\n`);
  const all_totals = paths.length === 0 ? [] : [
    await runTests(await testModules(paths, singleGroups)),
  ];
  for (const task of tasks) all_totals.push(await runTask(task));
  return addTotals(all_totals);
}

if (import.meta.main) {
  const [tier, ...rest] = Deno.args;
  const tests = tier === "--tier=cluster"
    ? clusterTests(rest)
    : tier === "--tier=all"
    ? otherTests(rest)
    : quickTests(Deno.args);
  finish(await tests);
}
