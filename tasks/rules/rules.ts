/**
 * The rules of the gates over the whole checkout, in one program that reads each file once. Arguments are names of
 * rules, and prefixes of the paths whose violations are shown:
 * `deno run --allow-read --allow-env tasks/rules/rules.ts sizes shield/`. Without a name it checks those of
 * `deno task ok`.
 */
import { listFiles } from "../checkout/source_files.ts";
import { exitWith, type Violation } from "../checkout/violation.ts";
import { checkExports, namesOf } from "./export_rules.ts";
import { checkFolders } from "./folder_rules.ts";
import { checkArrows, checkLines, checkLists, checkNames, checkPairs } from "./house_rules.ts";
import { checkLayers, checkPins } from "./layer_rules.ts";
import { checkReasons } from "./reason_rules.ts";
import { checkSizes } from "./size_rules.ts";
import { importsIn, Sources } from "./sources.ts";
import { checkAllStyle } from "./style_rules.ts";
import { checkAllSwitches } from "./switch_rules.ts";

/** The targets of the workspace packages' bare specifiers, by name with the entry. */
function packageEntries(sources: Sources): Map<string, string> {
  const entries = new Map<string, string>();
  for (const member of sources.json("deno.json").workspace as string[]) {
    const folder = member.replace(/^\.\//, "");
    // The examples are a member only for their compiler options, and are not a package.
    const { name = folder, exports = {} } = sources.json(`${folder}/deno.json`);
    const named: Record<string, string> = typeof exports === "string" ? { ".": exports } : exports;
    for (const [entry, path] of Object.entries(named)) {
      entries.set(name + entry.slice(1), folder + path.slice(1));
    }
  }
  return entries;
}

/** The target of a module's import: a path relative to the root, or a specifier with a scheme. */
function targetOf(sources: Sources): (from: string, specifier: string) => string {
  const entries = packageEntries(sources);
  const { imports } = sources.json("deno.json") as { imports: Record<string, string> };
  return (from, specifier) => {
    if (specifier.startsWith(".")) return new URL(specifier, `file:///${from}`).pathname.slice(1);
    if (/^[a-z]+:/.test(specifier)) return specifier;
    const target = entries.get(specifier) ?? imports[specifier];
    return target?.replace(/^\.\//, "") ?? `unresolved:${specifier}`;
  };
}

function layers(sources: Sources): Violation[] {
  const target = targetOf(sources);
  const modules = sources.ending([".ts"]).map((path) => {
    return { path, imports: importsIn(sources.tree(path), (specifier) => target(path, specifier)) };
  });
  const { imports } = sources.json("deno.json");
  const bare = new Set([...Object.keys(imports), ...packageEntries(sources).keys()]);
  return [
    ...checkLayers(modules, bare),
    ...checkFolders(modules),
    ...checkArrows(modules),
    ...checkLists(modules),
    ...checkPairs(modules),
    ...checkNames(modules.map(({ path }) => ({ path, tree: () => sources.tree(path) }))),
    ...checkLines(
      modules.map(({ path }) => ({ path, lines: sources.text(path).split("\n").length - 1 })),
    ),
    ...checkPins(imports),
  ];
}

function exports(sources: Sources): Violation[] {
  const target = targetOf(sources);
  const resolve = (from: string, specifier: string) => {
    const path = target(from, specifier);
    return /^[a-z]+:/.test(path) ? undefined : path;
  };
  const modules = sources.ending([".ts"]).map((path) => namesOf(path, sources.tree(path), resolve));
  return checkExports(modules, [...packageEntries(sources).values()]);
}

/** The rules that run only by name: the documents' rule also reads our configuration. */
const SLOW = {
  documents: async (sources: Sources) => (await import("./doc_rules.ts")).checkDocuments(sources),
  reasons: checkReasons,
};
const QUICK = {
  sizes: checkSizes,
  style: checkAllStyle,
  layers,
  exports,
  switches: checkAllSwitches,
};
const RULES: Readonly<Record<string, (sources: Sources) => Violation[] | Promise<Violation[]>>> = {
  ...QUICK,
  ...SLOW,
};

if (import.meta.main) {
  const chosen = Deno.args.filter((one) => Object.hasOwn(RULES, one));
  const names = chosen.length > 0 ? chosen : Object.keys(QUICK);
  const starts = Deno.args.filter((one) => !chosen.includes(one));
  const sources = new Sources(await listFiles([""]));
  const found: Violation[] = [];
  for (const name of names) found.push(...await RULES[name]!(sources));
  exitWith(
    found.filter(({ path }) => starts.length === 0 || starts.some((one) => path.startsWith(one))),
    `${sources.paths.length} files keep the rules: ${names.join(", ")}`,
  );
}
