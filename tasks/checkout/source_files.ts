/**
 * Which files of the checkout are ours: a walk of the tree without what git ignores and without
 * generated code. It does not ask git, so that it works in an unpacked archive too.
 */
import { fileURLToPath } from "node:url";

/** The root of the checkout, with a trailing slash; the slashes lean forward on Windows too. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url)).replaceAll("\\", "/");

const LEFT_OUT = new Set([".git", ".arqon", "node_modules", "coverage", "dist", "__pycache__"]);
const GENERATED = [
  /^proto\/gen\//,
  /_gen\.py$/,
  /^docs\/(errors|configuration|arq)\.md$/,
  /^docs\/.*\.schema\.json$/,
  /^deno\.lock$/,
];

/** Whether `deno task gen` (or deno itself) writes this file; such files obey no size rule. */
export function isGenerated(path: string): boolean {
  return GENERATED.some((pattern) => pattern.test(path));
}

/** Whether a path is a test, by its name. */
export function isTest(path: string): boolean {
  return /_test\.ts$/.test(path);
}

/**
 * Whether a file serves only tests: a test, a file in a `testing` folder, `test_*.ts` beside the
 * source, or a part of what both SDKs are tested with. The gate's own programs are named after what
 * they run and are none.
 */
export function isTestCode(path: string): boolean {
  if (path.startsWith("sdk/conformance/")) return true;
  if (path.startsWith("tasks/")) return isTest(path);
  return isTest(path) || /\/testing\//.test(path) || /(^|\/)test_[^/]*\.ts$/.test(path);
}

const PRODUCT = ["proto/", "shared/", "shield/", "brain/", "sdk/typescript/", "arq/"];

/** Whether a path is TypeScript that somebody wrote and that users run: no test and no gate. */
export function isProduct(path: string): boolean {
  return path.endsWith(".ts") && PRODUCT.some((folder) => path.startsWith(folder)) &&
    !isGenerated(path) && !isTestCode(path);
}

/** Paths below the root that end in one of `extensions` (with dot), sorted, generated ones too. */
export async function listFiles(
  extensions: readonly string[],
  root: string = ROOT,
): Promise<string[]> {
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for await (const entry of Deno.readDir(root + folder)) {
      const path = folder + entry.name;
      if (LEFT_OUT.has(entry.name) || path === "bench/results") continue;
      if (entry.isDirectory) await walk(`${path}/`);
      else if (entry.isFile && extensions.some((end) => path.endsWith(end))) found.push(path);
    }
  };
  await walk("");
  return found.sort();
}
