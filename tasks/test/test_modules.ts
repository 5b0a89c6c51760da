/**
 * Groups test files, several to an isolate: each isolate loads all imports of its tests again, which takes longer than
 * most of these tests. It writes a module for each group, which `deno test` runs in the given order. The folder of the
 * modules and the first module are the same in each run: deno caches checked types under the
 * first module, so that the second task checks only what the first one did not. The folder is outside of the checkout,
 * whose configuration excludes `.arqon`.
 */
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { pathToFileURL } from "node:url";
import { ROOT } from "../checkout/source_files.ts";

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

/**
 * Maximum number of files in a group: a file that waits delays the others of its group, and six groups run at a time.
 */
const FILES_MAX = 24;
/** Maximum for tests of whole systems that start no server: each loads a bus, and most wait. */
const QUIET_SYSTEMS_FILES_MAX = 12;
const SERVERS_FILES_MAX = 4;
/** Maximum for tests of whole systems that start servers: loading a bus into an isolate takes 1.6 s of a core. */
const SYSTEMS_FILES_MAX = 3;

/** Test files that run in one isolate, one after another. */
export interface TestGroup {
  /** Their folder and a number: `shield-3`. */
  readonly name: string;
  readonly paths: readonly string[];
}

/** Groups of the tests in `paths`. A group has files of one top-level folder. */
export function testGroups(paths: readonly string[], files_max: number = FILES_MAX): TestGroup[] {
  const folders = Map.groupBy(paths.toSorted(), (path) => path.slice(0, path.indexOf("/")));
  return [...folders].flatMap(([folder, paths]) => {
    // Adjacent files share many imports. All groups of a folder have about the same size.
    const count = Math.ceil(paths.length / files_max);
    const begin = (at: number) => Math.round(at * paths.length / count);
    return Array.from({ length: count }, (_, at) => ({
      name: `${folder}-${at + 1}`,
      paths: paths.slice(begin(at), begin(at + 1)),
    }));
  });
}

/** A group of these files, with the name of the first. */
const groupOf = (paths: readonly [string, ...string[]]): TestGroup => ({
  name: paths[0].replace(/_test\.ts$/, "").replaceAll("/", "."),
  paths,
});

/** Groups of one file each, in this order. */
export const singleGroups = (paths: readonly string[]): TestGroup[] =>
  paths.map((path) => groupOf([path]));

/** Groups of `paths` by `grouped`, after those in `first`, so that none of those runs alone at the end. */
export function longestFirst(
  paths: readonly string[],
  first: readonly (readonly string[])[],
  grouped: (paths: readonly string[]) => readonly TestGroup[],
): TestGroup[] {
  const groups = first.map((files) => files.filter((path) => paths.includes(path)));
  return [
    ...groups.flatMap(([path, ...more]) => path === undefined ? [] : [groupOf([path, ...more])]),
    ...grouped(paths.filter((path) => !first.flat().includes(path))),
  ];
}

const isSystem = (path: string) => path.startsWith("tests/");

/** Groups of tests that start no process: whole-system tests, which wait most, are first. */
export const quietGroups = (paths: readonly string[]): TestGroup[] => [
  ...testGroups(paths.filter(isSystem), QUIET_SYSTEMS_FILES_MAX),
  ...testGroups(paths.filter((path) => !isSystem(path))),
];

/** Groups of tests that start servers: a few files per group, fewer for whole systems. */
export function serverGroups(paths: readonly string[]): TestGroup[] {
  return [
    ...testGroups(paths.filter((path) => !isSystem(path)), SERVERS_FILES_MAX),
    ...testGroups(paths.filter(isSystem), SYSTEMS_FILES_MAX),
  ];
}

/**
 * The text of a module that runs the tests of a group; `root` is the URL of the folder that its paths are relative to.
 */
export function groupModule({ paths }: TestGroup, root: URL): string {
  return paths.map((path) => `import ${JSON.stringify(new URL(path, root).href)};\n`).join("");
}
