/**
 * The files of `arq`, the Shield and the Brain, and the packages that they import, from Deno's own module graph. It
 * copies them unchanged.
 */
import { deno } from "../checkout/programs.ts";
import { ROOT } from "../checkout/source_files.ts";

/** The entry of each program, by its name. */
export const PROGRAMS = { arq: "arq/main.ts", shield: "shield/main.ts", brain: "brain/main.ts" };

/** Modules that are started by URL, as threads or as the child that compiles; no program's graph contains them. */
export const STARTED: readonly string[] = [
  "shared/watchdog/watch_thread.ts",
  "shared/process/parse_thread.ts",
  "shield/policy/worker/worker.ts",
  "shield/policy/modules/meter_thread.ts",
  "wasm/instance/compile_child.ts",
  "shield/schema/registry/set_thread.ts",
  "brain/reducers/thread/reducer_thread.ts",
  "brain/reducers/thread/compile_thread.ts",
  "arq/replay/replay_thread.ts",
  "arq/traffic/schema_thread.ts",
];

/** The members of the workspace that the sources import by name. */
export const MEMBERS: Readonly<Record<string, string>> = {
  "@arqon/proto": "proto/mod.ts",
  "@arqon/sdk": "sdk/typescript/mod.ts",
  "@arqon/sdk/history": "sdk/typescript/history.ts",
  "@arqon/sdk/reducers": "sdk/typescript/reducers.ts",
  "@arqon/sdk/state": "sdk/typescript/state.ts",
};

/** The files and packages of one or more programs. */
export interface Sources {
  /** Paths of TypeScript modules relative to the root, sorted. */
  readonly modules: readonly string[];
  /** Paths of files that are imported as text, relative to the root, sorted. */
  readonly texts: readonly string[];
  /** The `npm:NAME@VERSION/PATH` of each bare specifier in the sources. */
  readonly packages: Readonly<Record<string, string>>;
}

interface Graph {
  readonly modules: readonly {
    readonly kind?: string;
    readonly specifier: string;
    readonly error?: string;
  }[];
}

async function graphOf(entry: string): Promise<Graph> {
  return JSON.parse((await deno(["info", "--json", entry])).stdout);
}

/** Everything that `entries` load. Throws an Error with the names of imports that do not exist. */
export async function sourcesOf(entries: readonly string[]): Promise<Sources> {
  const base = new URL(`file://${ROOT.startsWith("/") ? "" : "/"}${ROOT}`).href;
  const modules = new Set<string>();
  const texts = new Set<string>();
  const npm = new Set<string>();
  for (const { modules: found } of await Promise.all(entries.map(graphOf))) {
    for (const { kind, specifier, error } of found) {
      if (error !== undefined) throw new Error(error);
      if (kind === "npm") npm.add(specifier.replace(/^npm:\//, "npm:"));
      if (!specifier.startsWith(base)) continue;
      const path = decodeURIComponent(specifier.slice(base.length));
      (kind === "esm" ? modules : texts).add(path);
    }
  }
  const { imports } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)) as {
    readonly imports: Readonly<Record<string, string>>;
  };
  const used = Object.entries(imports).filter(([, target]) => npm.has(target));
  return {
    modules: [...modules].sort(),
    texts: [...texts].sort(),
    packages: Object.fromEntries(used),
  };
}

/** Copies the files into `folder`, with the same paths as relative to the root. */
export async function copySources({ modules, texts }: Sources, folder: string): Promise<void> {
  for (const path of [...modules, ...texts]) {
    const target = `${folder}/${path}`;
    await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    await Deno.copyFile(`${ROOT}${path}`, target);
  }
}
