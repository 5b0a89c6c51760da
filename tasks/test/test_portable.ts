/**
 * `deno task test:portable`: runs the tests that need only Deno, for systems on which the servers' own tests
 * do not run. These are the tests of the protocol, of `shared`, of the SDK and of `arq` that start no process
 * and open no file by its path. They are found by reading the sources, so that a new test is in or out by
 * what it does.
 */
import { listFiles, ROOT } from "../checkout/source_files.ts";
import { finish, runTests } from "./run_tests.ts";

/** Folders whose tests may be portable; the servers' own tests start processes. */
const FOLDERS = ["proto/", "shared/", "sdk/typescript/", "arq/"];

/**
 * Signs that a test is bound to a system: paths with slashes from a `file:` URL, other processes, folders
 * that only Unix has.
 */
const BOUND =
  /import\.meta\.url\)\.pathname|import\.meta\.dirname|Deno\.(Command|kill)\b|\bstartNats\b|SIGTERM|["'`](\/tmp|\/proc|\/dev)\//;

/** One of our modules: its path below the root, its text, and the paths of our modules that it imports. */
export interface SourceModule {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

/**
 * Whether a module is a test or only tests import it. Its text decides whether tests are bound; that of
 * product code does not.
 */
const isTestPart = (path: string) => /_test\.ts$|(^|\/)test_|\/testing\//.test(path);

/** The portable tests among `modules`, sorted. All imports of the modules must be among them. */
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

/** The path to which a relative import of `from` leads; undefined for packages. */
function target(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

/** All our modules, with their relative imports. */
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
  finish(await runTests([...files, ...Deno.args], { with_nats: false }));
}
