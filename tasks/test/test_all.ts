/**
 * `deno task test:all [--slice K/N]`: the tests outside of `test` and `test:cluster` (of the command line and of
 * everything else that starts processes, and the slow tests), then the tasks that check the bus against other projects'
 * suites, the coverage floor, and the contents of a release. With `--slice`, the Kth of N parts of both.
 */
import { finish, runTests, show } from "./run_tests.ts";
import { sourceModules } from "./source_modules.ts";
import { singleGroups } from "./test_groups.ts";
import { testModules } from "./test_modules.ts";
import { followTests } from "./test_process.ts";
import { addTotals, lastTotals, type TestTotals } from "./test_summary.ts";
import { sliceOf, tiersOf } from "./tiers.ts";

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

function readArguments(): readonly [number, number] {
  const [option, text = ""] = Deno.args;
  if (option === undefined) return [1, 1];
  const slice = option === "--slice" ? readSlice(text) : undefined;
  if (slice !== undefined && Deno.args.length === 2) return slice;
  console.error("usage: deno task test:all [--slice K/N], with K from 1 to N, such as 3/19");
  Deno.exit(2);
}

if (import.meta.main) {
  const [at, count] = readArguments();
  const { all } = tiersOf(await sourceModules());
  const chosen = sliceOf([...TASKS, ...all], at - 1, count);
  const tasks = chosen.filter((one) => TASKS.includes(one));
  const paths = chosen.filter((one) => !TASKS.includes(one));
  show(`${paths.length} of ${all.length} files, ${tasks.length} of ${TASKS.length} tasks\n`);
  const all_totals = paths.length === 0 ? [] : [
    await runTests(await testModules(paths, singleGroups)),
  ];
  for (const task of tasks) all_totals.push(await runTask(task));
  finish(addTotals(all_totals));
}
