/**
 * Puts files of tests together, some to an isolate: each isolate loads all that its tests import anew, which takes
 * longer than most of these tests. Pure; `test_modules.ts` writes the modules.
 */

/** Files in a group, at most: one file that waits makes the others of its group wait, and six groups run at a time. */
const FILES_MAX = 24;
/** Of a group of tests of whole systems that start none: each loads a bus, and most wait. */
const QUIET_SYSTEMS_FILES_MAX = 12;
/** Of a group whose files start servers. */
const SERVERS_FILES_MAX = 4;
/** Of a group of tests of whole systems: to load a bus into an isolate takes 1.6 s of a core. */
const SYSTEMS_FILES_MAX = 3;

/** Files of tests, which run in one isolate, one after another. */
export interface TestGroup {
  /** The folder that they are in, and a number: `shield-3`. */
  readonly name: string;
  readonly paths: readonly string[];
}

/** Groups of the tests in `paths`. A group has files of one folder at the root. */
export function testGroups(paths: readonly string[], files_max: number = FILES_MAX): TestGroup[] {
  const folders = Map.groupBy(paths.toSorted(), (path) => path.slice(0, path.indexOf("/")));
  return [...folders].flatMap(([folder, paths]) => {
    // Neighbours import much of the same. All groups of a folder have about as many files.
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

/** Groups of `paths` by `grouped`, behind those in `first`: none of these is left alone at the end. */
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

/** Groups of tests that start no process: those of whole systems, which wait most, begin. */
export const quietGroups = (paths: readonly string[]): TestGroup[] => [
  ...testGroups(paths.filter(isSystem), QUIET_SYSTEMS_FILES_MAX),
  ...testGroups(paths.filter((path) => !isSystem(path))),
];

/** Groups of tests that start servers: a few to a group, of whole systems fewer. */
export function serverGroups(paths: readonly string[]): TestGroup[] {
  return [
    ...testGroups(paths.filter((path) => !isSystem(path)), SERVERS_FILES_MAX),
    ...testGroups(paths.filter(isSystem), SYSTEMS_FILES_MAX),
  ];
}

/** The text of a module that runs the tests of a group; `root` is the URL of the folder that its paths begin at. */
export function groupModule({ paths }: TestGroup, root: URL): string {
  return paths.map((path) => `import ${JSON.stringify(new URL(path, root).href)};\n`).join("");
}
