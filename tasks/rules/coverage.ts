/**
 * `deno task coverage`: runs the quick tests of each folder with a coverage floor, and fails if a folder is below the
 * floor of lines in deno.json. A file that no test loads does not count. `test:all` runs it: the tests under coverage
 * take as long as the rest of `verify`, and run without coverage at every landing.
 */
import { run } from "../checkout/programs.ts";
import { ROOT } from "../checkout/source_files.ts";
import { finish } from "../test/run_tests.ts";
import { sourceModules, tiersOf } from "../test/tiers.ts";
import { testGroups, testModules } from "../test/test_modules.ts";
import type { TestTotals } from "../test/test_summary.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";

const FOLDERS = ["brain", "shared/presence", "shield/policy"];

/** Quick tests in other folders that run most of the reducers' code. */
const FAR_TESTS =
  /^tests\/(reducers|reducers_optimistic|reducers_typed|rooms|usage_reducers)_test\.ts$/;

/** Runs this deno; returns whether it succeeds. Its output is printed; for a failed test run only the errors. */
async function deno(args: readonly string[], env: Record<string, string> = {}): Promise<boolean> {
  const { ok = false, text = "" } =
    await run(Deno.execPath(), args, { env: { NO_COLOR: "1", ...env } }) ?? {};
  console.log(text.slice(Math.max(0, text.search(/^ *ERRORS *$/m))));
  return ok;
}

/** Runs the tests, and counts the folders with their share. */
async function measured(tests: readonly string[]): Promise<TestTotals> {
  await using temporary = await temporaryFolder();
  const profile = temporary.path;
  let failed = 0;
  const raw = ["--coverage-raw-data-only", `--coverage=${profile}`];
  // A separate prefix keeps the other tasks' modules and Deno's type cache for them; without it, the cache would have
  // only the types of these files.
  const modules = await testModules(tests, testGroups, "coverage-");
  // With the variable, programs that a test starts also report their coverage.
  const env = { DENO_COVERAGE_DIR: profile };
  if (!await deno(["task", "--quiet", "test", ...raw, ...modules], env)) failed++;
  for (const folder of FOLDERS) {
    const include = `--include=^file://${ROOT}${folder}/`;
    if (await deno(["coverage", include, "--exclude=/testing/|_test\\.ts$", profile])) continue;
    console.log(`FAIL  ${folder}`);
    failed++;
  }
  return { passed: Math.max(0, FOLDERS.length - failed), failed };
}

if (import.meta.main) {
  const { test } = tiersOf(await sourceModules());
  const tests = test.filter((path) =>
    FAR_TESTS.test(path) || FOLDERS.some((folder) => path.startsWith(`${folder}/`))
  );
  finish(await measured(tests));
}
