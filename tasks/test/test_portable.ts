/**
 * `deno task test:portable`: runs the tests that need only Deno, for systems on which the servers' own tests do not
 * run. These are the tests of the protocol, of `shared`, of the SDK and of `arq` that start no process and open no file
 * by its path. The selection reads the sources, so a new test needs no entry.
 */
import { finish, runTests } from "./run_tests.ts";
import { isTestPart, reachesSign, type SourceModule, sourceModules } from "./tiers.ts";

/** Folders whose tests may be portable; the servers' own tests start processes. */
const FOLDERS = ["proto/", "shared/", "sdk/typescript/", "arq/"];

/**
 * Signs that a test depends on a system: paths with slashes from a `file:` URL, other processes, folders that only Unix
 * has.
 */
const BOUND =
  /import\.meta\.url\)\.pathname|import\.meta\.dirname|Deno\.(Command|kill)\b|\bstartNats\b|SIGTERM|["'`](\/tmp|\/proc|\/dev)\//;

/**
 * The portable tests among `modules`, sorted. All imports of the modules must be among them. The text of tests decides;
 * that of product code does not. Modules outside of folders with portable tests are not read: a test that imports a
 * part of the gate or of the tests of whole systems is not portable.
 */
export function portableTests(modules: readonly SourceModule[]): string[] {
  const isInside = (path: string) => FOLDERS.some((folder) => path.startsWith(folder));
  const isSystem = (path: string) => /^(tests|tasks)\//.test(path);
  const isBound = reachesSign(
    modules.filter(({ path }) => isInside(path) || isSystem(path)),
    ({ path, text }) => isSystem(path) || isTestPart(path) && BOUND.test(text),
  );
  return modules.map(({ path }) => path)
    .filter((path) => path.endsWith("_test.ts") && isInside(path) && !isBound(path)).sort();
}

if (import.meta.main) {
  const files = portableTests(await sourceModules());
  console.log(`${files.length} files of tests that need nothing but Deno`);
  finish(await runTests([...files, ...Deno.args], { with_nats: false }));
}
