/**
 * Puts files of tests together, some to an isolate: each isolate loads all that its tests import anew, which takes
 * longer than most of these tests. Only files that start nothing are put together, so that what takes long runs
 * beside others as before. They are found by reading the sources. Pure; `test.ts` writes the modules.
 */
import { isTestPart, reachesSign, type SourceModule } from "./source_modules.ts";

/** Files in a group, at most: one file that waits makes the others of its group wait. */
const FILES_MAX = 12;

/** Signs that a test starts a process, changes the folder of its own, or starts a thread. */
const STARTS = /\bDeno\.(Command|kill|chdir)\b|\bstartNats\b|\bnew Worker\(/;

/** Files of tests, which run in one isolate, one after another. */
export interface TestGroup {
  /** The folder that they are in, and a number: `shield-3`. */
  readonly name: string;
  readonly paths: readonly string[];
}

/**
 * Groups of the tests among `modules` that start nothing; the others, and those left out, are in no group. A group has
 * files of one folder at the root. All imports of the modules must be among them.
 */
export function testGroups(
  modules: readonly SourceModule[],
  isLeftOut: (path: string) => boolean = () => false,
): TestGroup[] {
  const starts = reachesSign(modules, ({ path, text }) => isTestPart(path) && STARTS.test(text));
  const quiet = modules.map(({ path }) => path)
    .filter((path) => path.endsWith("_test.ts") && !isLeftOut(path) && !starts(path)).sort();
  const folders = Map.groupBy(quiet, (path) => path.slice(0, path.indexOf("/")));
  return [...folders].flatMap(([folder, paths]) => {
    // Neighbours import much of the same. All groups of a folder have about as many files.
    const count = Math.ceil(paths.length / FILES_MAX);
    const begin = (at: number) => Math.round(at * paths.length / count);
    return Array.from({ length: count }, (_, at) => ({
      name: `${folder}-${at + 1}`,
      paths: paths.slice(begin(at), begin(at + 1)),
    }));
  });
}

/** The text of a module that runs the tests of a group; `root` is the URL of the folder that its paths begin at. */
export function groupModule({ paths }: TestGroup, root: URL): string {
  return paths.map((path) => `import ${JSON.stringify(new URL(path, root).href)};\n`).join("");
}
