/**
 * The files of `arq`, the Shield and the Brain, and the packages that they import, from Deno's own module graph. It
 * copies them unchanged, and installs the packages and their dependencies into a flat `node_modules`, in the versions
 * of deno.lock, without development files and platform binaries.
 */
import { dirname } from "node:path";
import { deno } from "../checkout/programs.ts";
import { ROOT } from "../checkout/source_files.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";

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

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(dirname(to), { recursive: true });
  await Deno.copyFile(from, to);
}

/** Copies the files into `folder`, with the same paths as relative to the root. */
export async function copySources({ modules, texts }: Sources, folder: string): Promise<void> {
  for (const path of [...modules, ...texts]) await copy(`${ROOT}${path}`, `${folder}/${path}`);
}

/** A package with its name and version. */
export interface PackedModule {
  readonly name: string;
  readonly version: string;
}

const VERSIONED = /^(@?[^@]+)@(\d[^@_]*)(?:_.*)?$/;

/**
 * Files that no program loads. Size is not the only reason to exclude them: `deno compile` 2.9 treats a file without an
 * extension as a script, and overflows its stack over the numbers in bintrees/test (denoland/deno#36746).
 */
const UNUSED =
  /(?:^|\/)(?:test|tests|testdata|specs?|examples?|docs)\/|\.(?:[cm]?ts|map|md|markdown|html|proto)$|(?:^|\/)(?:\.[^/]+|Makefile|gruntfile\.js)$/;
/** Files of single packages that no program loads. */
const UNUSED_OF: Readonly<Record<string, RegExp>> = {
  binaryen: /^bin\//,
  assemblyscript: /^(?:bin|std|cli)\//,
};

/** Whether a file of a package is excluded. Licences are always kept. */
function isUnused(name: string, path: string): boolean {
  if (/(?:^|\/)(?:licen[cs]e|notice|copying)/i.test(path)) return false;
  return UNUSED.test(path) || UNUSED_OF[name]?.test(path) === true;
}

/**
 * The name and version of a folder `@a+b@1.2.3` or `b@1.2.3_@a+c@1.0.0`; undefined for a folder that is not a package.
 */
export function moduleOf(folder: string): PackedModule | undefined {
  const [, name = "", version = ""] = VERSIONED.exec(folder.replaceAll("+", "/")) ?? [];
  return name === "" ? undefined : { name, version };
}

async function filesBelow(folder: string, prefix = ""): Promise<string[]> {
  const files: string[] = [];
  for await (const entry of Deno.readDir(`${folder}/${prefix}`)) {
    const path = `${prefix}${entry.name}`;
    // A package's own node_modules has only links to its dependencies.
    if (entry.isDirectory) files.push(...await filesBelow(folder, `${path}/`));
    else if (entry.isFile) files.push(path);
  }
  return files;
}

async function copyModule(name: string, from: string, to: string): Promise<void> {
  for (const path of await filesBelow(from)) {
    if (!isUnused(name, path)) await copy(`${from}/${path}`, `${to}/${path}`);
  }
}

async function install(folder: string, imports: Readonly<Record<string, string>>): Promise<void> {
  const config = { nodeModulesDir: "auto", imports };
  await Deno.writeTextFile(`${folder}/deno.json`, JSON.stringify(config));
  await Deno.copyFile(`${ROOT}deno.lock`, `${folder}/deno.lock`);
  await deno(["install", "--quiet"], { cwd: folder });
}

/** The packages in the repository's deno.lock, as `NAME@VERSION`. */
async function locked(): Promise<ReadonlySet<string>> {
  const { npm } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.lock`)) as { npm: object };
  const modules = Object.keys(npm).flatMap((key) => moduleOf(key) ?? []);
  return new Set(modules.map(({ name, version }) => `${name}@${version}`));
}

/**
 * Fills `folder`/node_modules with the packages that `imports` (bare specifier to `npm:`) need. Resolves with the
 * packages, sorted by name. Throws an Error if deno.lock has another version, or if a package would have two versions.
 */
export async function stageModules(
  folder: string,
  imports: Readonly<Record<string, string>>,
): Promise<PackedModule[]> {
  await using temporary = await temporaryFolder();
  const work = temporary.path;
  await install(work, imports);
  const known = await locked();
  const found = new Map<string, PackedModule>();
  for await (const entry of Deno.readDir(`${work}/node_modules/.deno`)) {
    const module = entry.isDirectory ? moduleOf(entry.name) : undefined;
    if (module === undefined) continue;
    const { name, version } = module;
    if (!known.has(`${name}@${version}`)) throw new Error(`deno.lock has no ${name}@${version}`);
    if (found.has(name)) throw new Error(`two versions of ${name}: one folder holds one`);
    found.set(name, module);
    const from = `${work}/node_modules/.deno/${entry.name}/node_modules/${name}`;
    await copyModule(name, from, `${folder}/node_modules/${name}`);
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
