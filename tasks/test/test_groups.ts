/**
 * Groups test files, several to an isolate: each isolate loads all imports of its tests again, which takes longer than
 * most of these tests. Pure; `test_modules.ts` writes the modules.
 */

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
