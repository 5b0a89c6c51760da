/**
 * Our modules as the test programs read them: their text, their imports of our modules, and the transitive imports of a
 * test. `test_portable.ts` and `test_groups.ts` use them.
 */
import { listFiles, ROOT } from "../checkout/source_files.ts";

/** One of our modules: its path below the root, its text, and the paths of our modules that it imports. */
export interface SourceModule {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
}

/** Whether a module is a test or only tests import it. */
export const isTestPart = (path: string): boolean =>
  /_test\.ts$|(^|\/)test_|\/testing\/|^tests\//.test(path);

/** Returns whether the module at a path, or one of `modules` that it imports transitively, has the sign. */
export function reachesSign(
  modules: readonly SourceModule[],
  hasSign: (module: SourceModule) => boolean,
): (path: string) => boolean {
  const byPath = new Map(modules.map((module) => [module.path, module]));
  const reaches = (path: string, seen: Set<string>): boolean => {
    const module = byPath.get(path);
    if (module === undefined || seen.has(path)) return false;
    seen.add(path);
    return hasSign(module) || module.imports.some((next) => reaches(next, seen));
  };
  return (path) => reaches(path, new Set());
}

/** The path of a relative import in `from`; undefined for packages. */
function target(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return new URL(specifier, `file:///${from}`).pathname.slice(1);
}

/** All our modules, with their relative imports of values. */
export async function sourceModules(): Promise<SourceModule[]> {
  const files = await listFiles([".ts"]);
  return await Promise.all(files.map(async (path) => {
    const text = await Deno.readTextFile(ROOT + path);
    // Types do not run.
    const values = text.replaceAll(/^import type\b[^;]*;/gm, "");
    const specifiers = [...values.matchAll(/\b(?:from|import)\s*\(?\s*"([^"]+)"/g)];
    const imports = specifiers.map(([, specifier = ""]) => target(path, specifier));
    return { path, text, imports: imports.filter((found) => found !== undefined) };
  }));
}
