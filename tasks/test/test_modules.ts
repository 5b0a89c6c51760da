/**
 * Writes the modules of groups, which `deno test` runs in the order in which they are given. Files that it is given
 * itself it sorts by their folders. The folder of the modules is the same in each run, and so is the first of them: by
 * that one deno remembers which types it has checked, so that the second task that runs checks what the first one has
 * not. It lies outside of the checkout, whose configuration leaves out `.arqon`.
 */
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { pathToFileURL } from "node:url";
import { ROOT } from "../checkout/source_files.ts";
import { groupModule, type TestGroup } from "./test_groups.ts";

/** Has no tests. Deno keeps what it knows of types under the first module that it is given. */
const FIRST: TestGroup = { name: "first", paths: ["tasks/test/global_types.ts"] };

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

const FOLDER = `${tmpdir()}/arqon_test_groups/${
  createHash("sha256").update(ROOT).digest("hex").slice(0, 16)
}`;

/** Writes the module of a group; its path. */
async function writeModule(group: TestGroup): Promise<string> {
  const path = `${FOLDER}/${group.name}_test.ts`;
  await Deno.mkdir(FOLDER, { recursive: true });
  await Deno.writeTextFile(path, groupModule(group, pathToFileURL(ROOT)));
  return path;
}

/** Writes the first module of each test task; its path. */
export const firstModule = (): Promise<string> => writeModule(FIRST);

/**
 * What to give to `deno test` for these files, as `grouped` puts them together: modules, and files by themselves. Modules
 * of a `set` are beside those of the test tasks.
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
