/**
 * Checks the import directions of docs/architecture.md#code over every TypeScript file of the checkout.
 * `layer_rules.ts` has the rules; this file asks `deno info --json` for the graph.
 */
import { checkFolders } from "./folder_rules.ts";
import { checkArrows, checkLists, checkPairs } from "./house_rules.ts";
import { checkLayers, checkPins, type Module } from "./layer_rules.ts";
import { deno } from "../checkout/programs.ts";
import { listFiles, ROOT } from "../checkout/source_files.ts";
import { exitWith } from "../checkout/violation.ts";

interface InfoReference {
  readonly specifier?: string;
  readonly span?: { readonly start: { readonly line: number } };
}

interface InfoModule {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly specifier: string;
    readonly code?: InfoReference;
    readonly type?: InfoReference;
  }[];
}

const rootUrl = new URL("../../", import.meta.url).href;
const ownPath = (url: string) => url.startsWith(rootUrl) ? url.slice(rootUrl.length) : url;

/** The module graph of all files, by one call for a module in the ignored cache that imports each of them. */
async function graph(files: readonly string[]): Promise<readonly InfoModule[]> {
  const folder = `${ROOT}.arqon/cache/`;
  await Deno.mkdir(folder, { recursive: true });
  const path = await Deno.makeTempFile({ dir: folder, prefix: "layers_", suffix: ".ts" });
  try {
    const text = files.map((file) => `import "../../${file}";\n`).join("");
    await Deno.writeTextFile(path, text);
    return JSON.parse((await deno(["info", "--json", path])).stdout).modules;
  } finally {
    await Deno.remove(path);
  }
}

function toModule(info: InfoModule): Module {
  return {
    path: ownPath(info.specifier),
    imports: (info.dependencies ?? []).map(({ specifier, code, type }) => {
      const resolved = code?.specifier ?? type?.specifier;
      const line = (code ?? type)?.span?.start.line ?? -1;
      const target = resolved === undefined ? `unresolved:${specifier}` : ownPath(resolved);
      return { specifier, target, line: line + 1, is_type: code === undefined };
    }),
  };
}

interface Workspace {
  readonly workspace: readonly string[];
  readonly imports: Readonly<Record<string, string>>;
}

async function bareSpecifiers(config: Workspace): Promise<Set<string>> {
  const names = await Promise.all(config.workspace.map(async (member) => {
    const text = await Deno.readTextFile(`${ROOT}${member}/deno.json`);
    // The examples are a member for the sake of compiler options, and are no package.
    const { name, exports = {} } = JSON.parse(text) as { name: string; exports?: string | object };
    const entries = typeof exports === "string" ? ["."] : Object.keys(exports);
    return entries.map((entry) => name + entry.slice(1));
  }));
  return new Set([...Object.keys(config.imports), ...names.flat()]);
}

if (import.meta.main) {
  const files = await listFiles([".ts"]);
  const known = new Set(files);
  const modules = (await graph(files)).map(toModule).filter((module) => known.has(module.path));
  if (modules.length !== files.length) {
    throw new Error(`deno info knows ${modules.length} of ${files.length} files`);
  }
  const config: Workspace = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  exitWith(
    [
      ...checkLayers(modules, await bareSpecifiers(config)),
      ...checkFolders(modules),
      ...checkArrows(modules),
      ...checkLists(modules),
      ...checkPairs(modules),
      ...checkPins(config.imports),
    ],
    `${files.length} files keep the layers`,
  );
}
