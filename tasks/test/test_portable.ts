/**
 * `deno task test:portable`: the tests that need nothing but Deno, for systems on which the servers'
 * own tests do not run: of the protocol, what is shared, the SDK and `arq`, those that start no
 * process and open no file by its path. Which those are is read from the sources, so that a new test
 * is in or out by what it does.
 */
import { listFiles, ROOT } from "../checkout/source_files.ts";
import { finish, runTests } from "./run_tests.ts";

/** Folders whose tests are looked at; the servers' own start processes. */
const FOLDERS = ["proto/", "shared/", "sdk/typescript/", "arq/"];

/** Paths with slashes from a `file:` URL, other processes, and folders that only Unix has. */
const BOUND =
  /import\.meta\.url\)\.pathname|import\.meta\.dirname|Deno\.(Command|kill)\b|\bstartNats\b|SIGTERM|["'`](\/tmp|\/proc|\/dev)\//;

/** A module of ours: its path below the root, its text and the paths of ours that it imports. */
export interface SourceModule {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

/** Test modules, and what only they import, are bound by what they say; product code is not. */
const isTestPart = (path: string) => /_test\.ts$|(^|\/)test_|\/testing\//.test(path);

/** The portable ones among the tests of `modules`, which are closed under imports; sorted. */
export function portableTests(modules: readonly SourceModule[]): string[] {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const bound = (path: string, seen: Set<string>): boolean => {
    if (seen.has(path)) return false;
    seen.add(path);
    if (!FOLDERS.some((folder) => path.startsWith(folder))) return /^(tests|tasks)\//.test(path);
    const module = byPath.get(path);
    if (module === undefined) return false;
    if (isTestPart(path) && BOUND.test(module.text)) return true;
    return module.imports.some((next) => bound(next, seen));
  };
  const tests = [...byPath.keys()].filter((path) =>
    path.endsWith("_test.ts") && FOLDERS.some((folder) => path.startsWith(folder))
  );
  return tests.filter((path) => !bound(path, new Set())).sort();
}

/** Where a relative import of `from` leads; undefined for packages. */
function target(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

/** Every module of ours, with its relative imports. */
export async function sourceModules(): Promise<SourceModule[]> {
  const files = await listFiles([".ts"]);
  return await Promise.all(files.map(async (path) => {
    const text = await Deno.readTextFile(ROOT + path);
    const specifiers = [...text.matchAll(/\b(?:from|import)\s*\(?\s*"([^"]+)"/g)];
    const imports = specifiers.map(([, specifier = ""]) => target(path, specifier));
    return { path, text, imports: imports.filter((found) => found !== undefined) };
  }));
}

if (import.meta.main) {
  const files = portableTests(await sourceModules());
  console.log(`${files.length} files of tests that need nothing but Deno`);
  finish(await runTests([...files, ...Deno.args], false));
}
