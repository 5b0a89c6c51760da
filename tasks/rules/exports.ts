/**
 * Checks that every export of the product is needed by more than tests. `export_rules.ts` has the rule; this
 * file reads the sources and the packages' entries.
 */
import { graphOf } from "./export_graph.ts";
import { checkExports } from "./export_rules.ts";
import { listFiles, ROOT } from "../checkout/source_files.ts";
import { exitWith } from "../checkout/violation.ts";

interface Member {
  readonly name?: string;
  readonly exports?: string | Readonly<Record<string, string>>;
}

/** The path below the root of each package entry, by its bare specifier. */
async function packageEntries(): Promise<Map<string, string>> {
  const { workspace } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const entries = new Map<string, string>();
  for (const member of workspace as string[]) {
    const folder = member.replace(/^\.\//, "");
    const text = await Deno.readTextFile(`${ROOT}${folder}/deno.json`);
    const { name = folder, exports = {} }: Member = JSON.parse(text);
    const named = typeof exports === "string" ? { ".": exports } : exports;
    for (const [entry, path] of Object.entries(named)) {
      entries.set(name + entry.slice(1), folder + path.slice(1));
    }
  }
  return entries;
}

if (import.meta.main) {
  const entries = await packageEntries();
  const resolve = (from: string, specifier: string) =>
    specifier.startsWith(".")
      ? new URL(specifier, `file:///${from}`).pathname.slice(1)
      : entries.get(specifier);
  const modules = await Promise.all(
    (await listFiles([".ts"])).map(async (path) =>
      graphOf(path, await Deno.readTextFile(ROOT + path), resolve)
    ),
  );
  const exported = modules.flatMap(({ declarations }) =>
    declarations.filter(({ is_exported }) => is_exported)
  );
  exitWith(
    checkExports(modules, [...entries.values()]),
    `${exported.length} exports are needed`,
  );
}
