/**
 * `deno task test [paths and options of deno test]`: the tests that start no process, and beside them pytest for the
 * Python SDK on a real bus. With paths, any tests there. `tiers.ts` says what `test:cluster` and `test:all` run.
 */
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { pathToFileURL } from "node:url";
import { ROOT } from "../checkout/source_files.ts";
import { finish, runTests, show } from "./run_tests.ts";
import { sourceModules } from "./source_modules.ts";
import { groupModule, testGroups } from "./test_groups.ts";
import { pytestSdk } from "./test_python.ts";
import { addTotals, type TestTotals } from "./test_summary.ts";
import { OTHER_TASKS, tiersOf } from "./tiers.ts";

/**
 * Folders of the workspace with compiler options of their own. A module that imports their tests from elsewhere would be
 * checked without them, so that these tests are in no group.
 */
async function foldersWithOptions(): Promise<string[]> {
  const { workspace } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const folders = (workspace as string[]).map((member) => member.replace(/^\.\//, ""));
  const texts = folders.map((folder) => Deno.readTextFile(`${ROOT}${folder}/deno.json`));
  const members = (await Promise.all(texts)).map((text) => JSON.parse(text));
  return folders.filter((_, at) => members[at].compilerOptions !== undefined);
}

/**
 * Writes the groups' modules; the paths of what to run. The folder is the same in each run, for deno remembers by its
 * modules' places which types it has checked. It lies outside of the checkout, whose configuration leaves out `.arqon`.
 */
async function writeGroups(): Promise<string[]> {
  const checkout = createHash("sha256").update(ROOT).digest("hex").slice(0, 16);
  const folder = `${tmpdir()}/arqon_test_groups/${checkout}`;
  await Deno.mkdir(folder, { recursive: true });
  const { test } = tiersOf(await sourceModules());
  const own_options = await foldersWithOptions();
  const isAlone = (path: string) => own_options.some((one) => path.startsWith(`${one}/`));
  const root = pathToFileURL(ROOT);
  const modules = testGroups(test.filter((path) => !isAlone(path))).map(async (group) => {
    const path = `${folder}/${group.name}_test.ts`;
    await Deno.writeTextFile(path, groupModule(group, root));
    return path;
  });
  return [...await Promise.all(modules), ...test.filter(isAlone)];
}

/** What Python says is shown at the end, in one piece: the two outputs would be mixed. */
async function runQuiet(): Promise<TestTotals> {
  let said = "";
  const [totals, python] = await Promise.all([
    runTests(await writeGroups(), { with_nats: false }),
    pytestSdk(Deno.env.has("CI"), (text) => said += text),
  ]);
  show(said);
  return addTotals([totals, python]);
}

if (import.meta.main) {
  finish(
    Deno.args.length === 0
      ? await runQuiet()
      : await runTests([`--ignore=${OTHER_TASKS.join(",")}`, ...Deno.args]),
  );
}
