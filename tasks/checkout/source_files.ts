/**
 * Finds our files of the checkout: it walks the tree and excludes files that git ignores and generated code. It does
 * not use git, so that it also works in an unpacked archive.
 */
import { fileURLToPath } from "node:url";

/** The root of the checkout, with a trailing slash; forward slashes, also on Windows. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url)).replaceAll("\\", "/");

const LEFT_OUT = new Set([".git", ".arqon", "node_modules", "coverage", "dist", "__pycache__"]);
const GENERATED = [
  /^proto\/gen\//,
  /_gen\.py$/,
  /^docs\/(errors|configuration)\.md$/,
  /^docs\/.*\.schema\.json$/,
  /^deno\.lock$/,
];

/** Whether `deno task gen` (or deno itself) writes this file. The size rules do not apply to such files. */
export function isGenerated(path: string): boolean {
  return GENERATED.some((pattern) => pattern.test(path));
}

/** Whether a path is a test, by its name. */
export function isTest(path: string): boolean {
  return /_test\.ts$/.test(path);
}

/**
 * Whether a file serves only tests: a test, a file in a `testing` folder, `test_*.ts` beside the source, or a part of
 * the tests that both SDKs share. The gate's own programs have the names of the tests that they run, but are not test
 * code.
 */
export function isTestCode(path: string): boolean {
  if (path.startsWith("sdk/conformance/")) return true;
  if (path.startsWith("tasks/")) return isTest(path);
  return isTest(path) || /\/testing\//.test(path) || /(^|\/)test_[^/]*\.ts$/.test(path);
}

const PRODUCT = [
  ...["proto/", "shared/", "shield/", "brain/", "sdk/typescript/", "sdk/react/", "arq/"],
];

/** Whether a path is manual TypeScript that users run, so neither a test nor a part of the gate. */
export function isProduct(path: string): boolean {
  return path.endsWith(".ts") && PRODUCT.some((folder) => path.startsWith(folder)) &&
    !isGenerated(path) && !isTestCode(path);
}

/** Paths relative to the root that end in one of `extensions` (with dot), sorted. Generated files are included. */
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
