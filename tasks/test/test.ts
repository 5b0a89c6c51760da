/**
 * `deno task test [paths and options of deno test]`: the tests that start no process, and in parallel pytest for the
 * Python SDK on a real bus. With paths, any tests there. `tiers.ts` decides which tests `test:cluster` and `test:all`
 * run.
 */
import { finish, runTests, show } from "./run_tests.ts";
import { sourceModules } from "./source_modules.ts";
import { longestFirst, quietGroups } from "./test_groups.ts";
import { testModules } from "./test_modules.ts";
import { pytestSdk } from "./test_python.ts";
import { addTotals, type TestTotals } from "./test_summary.ts";
import { LONGEST, OTHER_TASKS, tiersOf } from "./tiers.ts";

/** Python's output is shown at the end, in one piece; otherwise the two outputs would be mixed. */
async function runQuiet(): Promise<TestTotals> {
  const { test } = tiersOf(await sourceModules());
  let output = "";
  const [totals, python] = await Promise.all([
    runTests(await testModules(test, (files) => longestFirst(files, LONGEST, quietGroups)), {
      with_nats: false,
    }),
    pytestSdk(Deno.env.has("CI"), (text) => output += text),
  ]);
  show(output);
  return addTotals([totals, python]);
}

if (import.meta.main) {
  finish(
    Deno.args.length === 0
      ? await runQuiet()
      : await runTests([`--ignore=${OTHER_TASKS.join(",")}`, ...Deno.args]),
  );
}
