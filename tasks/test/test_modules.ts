/**
 * Writes the modules of groups, which `deno test` runs in the given order. It sorts files without a group by their
 * folders. The folder of the modules and the first module are the same in each run: deno caches checked types under the
 * first module, so that the second task checks only what the first one did not. The folder is outside of the checkout,
 * whose configuration excludes `.arqon`.
 */
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { pathToFileURL } from "node:url";
import { ROOT } from "../checkout/source_files.ts";
import { groupModule, type TestGroup } from "./test_groups.ts";

/** Has no tests. Deno caches checked types under the first module of a program. */
const FIRST: TestGroup = { name: "first", paths: ["tasks/test/global_types.ts"] };

/**
 * Workspace folders with compiler options of their own. A module outside that imports their tests would be checked
 * without these options, so these tests are in no group.
 */
async function foldersWithOptions(): Promise<string[]> {
  const { workspace } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const folders = (workspace as string[]).map((member) => member.replace(/^\.\//, ""));
  const texts = folders.map((folder) => Deno.readTextFile(`${ROOT}${folder}/deno.json`));
  const members = (await Promise.all(texts)).map((text) => JSON.parse(text));
  return folders.filter((_, at) => members[at].compilerOptions !== undefined);
}

const FOLDER = `${tmpdir()}/arqon_test_groups/${
  createHash("sha256").update(ROOT).digest("hex").slice(0, 16)
}`;

async function writeModule(group: TestGroup): Promise<string> {
  const path = `${FOLDER}/${group.name}_test.ts`;
  await Deno.mkdir(FOLDER, { recursive: true });
  await Deno.writeTextFile(path, groupModule(group, pathToFileURL(ROOT)));
  return path;
}

/** Writes the first module of each test task, and returns its path. */
export const firstModule = (): Promise<string> => writeModule(FIRST);

/**
 * The arguments of `deno test` for these files, grouped by `grouped`: modules, and single files. The modules of a `set`
 * are kept apart from those of the test tasks.
 */
export async function testModules(
  files: readonly string[],
  grouped: (files: readonly string[]) => readonly TestGroup[],
  set = "",
): Promise<string[]> {
  const own_options = await foldersWithOptions();
  const isAlone = (path: string) => own_options.some((one) => path.startsWith(`${one}/`));
  const groups = [FIRST, ...grouped(files.filter((path) => !isAlone(path)))];
  const modules = groups.map((group) => writeModule({ ...group, name: set + group.name }));
  return [...await Promise.all(modules), ...files.filter(isAlone)];
}
