/**
 * Installs the npm packages that sources import, and their dependencies, into a flat `node_modules`. It takes the
 * versions of deno.lock, and excludes development files and platform binaries.
 */
import { deno } from "../checkout/programs.ts";
import { ROOT } from "../checkout/source_files.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";

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
    if (isUnused(name, path)) continue;
    const target = `${to}/${path}`;
    await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), { recursive: true });
    await Deno.copyFile(`${from}/${path}`, target);
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
