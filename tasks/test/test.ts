/**
 * `deno task test [paths and options of deno test]`: runs the tests of every member and of `tests/`, and
 * beside them those of the Python SDK; with paths, only the tests of the former there. `--no-check` alone is
 * for who has checked the types already. `test_slow.ts` has the slowest tests, `test_external.ts` those that
 * need data from outside of the checkout.
 */
import { pathToFileURL } from "node:url";
import { ROOT } from "../checkout/source_files.ts";
import { finish, runTests, show } from "./run_tests.ts";
import { sourceModules } from "./source_modules.ts";
import { groupModule, testGroups } from "./test_groups.ts";
import { testPython } from "./test_python.ts";
import { SLOW } from "./test_slow.ts";
import type { TestTotals } from "./test_summary.ts";

/** Files that deno takes for tests because of their names; load_test.js is for k6. */
const LEFT_OUT = ["tests/external", "tasks/test/test.ts", "tests/load/load_test.js"];

/** What a whole run leaves out, by itself or with its folder. */
const LEFT_OUT_OF_ALL = [...LEFT_OUT, ...SLOW];
const isLeftOut = (path: string) =>
  LEFT_OUT_OF_ALL.some((one) => path === one || path.startsWith(`${one}/`));

/** Writes the modules of groups of tests to a folder; the paths of the tests in them. */
async function writeGroups(folder: string): Promise<string[]> {
  const groups = testGroups(await sourceModules(), isLeftOut);
  const root = pathToFileURL(ROOT);
  for (const group of groups) {
    await Deno.writeTextFile(`${folder}/${group.name}_test.ts`, groupModule(group, root));
  }
  return groups.flatMap(({ paths }) => paths);
}

/**
 * Everything but the slow tests, and those that start nothing in groups. What Python says is shown at the end,
 * in one piece: the two outputs would be mixed.
 */
async function runAll(): Promise<TestTotals> {
  let said = "";
  const folder = await Deno.makeTempDir({ prefix: "arqon_tests_" });
  try {
    const ignored = [...LEFT_OUT_OF_ALL, ...await writeGroups(folder)];
    const [totals, python] = await Promise.all([
      runTests([`--ignore=${ignored.join(",")}`, ".", folder, ...Deno.args]),
      testPython(Deno.env.has("CI"), (text) => said += text),
    ]);
    show(said);
    return { passed: totals.passed + python.passed, failed: totals.failed + python.failed };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

if (import.meta.main) {
  const isWhole = Deno.args.every((argument) => argument === "--no-check");
  finish(
    isWhole ? await runAll() : await runTests([`--ignore=${LEFT_OUT.join(",")}`, ...Deno.args]),
  );
}
