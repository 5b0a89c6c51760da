/**
 * Generates NOTICE, the list of third-party packages in the packages, images and binaries of `arq`, the Shield and the
 * Brain, and LICENSES.txt with the texts of their licences for packed programs. Deno's module graph and deno.lock name
 * the packages, and Deno's cache has the texts. Development tools are excluded.
 */
import { deno } from "../checkout/programs.ts";
import { PROGRAMS, sourcesOf, STARTED } from "../pack/pack_sources.ts";

/** The npm packages in deno.lock. */
export interface Lock {
  /** The version of each `npm:NAME@RANGE`, with its peers. */
  readonly specifiers: Readonly<Record<string, string>>;
  readonly npm: Readonly<Record<string, { readonly dependencies?: readonly string[] }>>;
}

/** One third-party package, with its licence. */
interface Licensed {
  readonly name: string;
  readonly version: string;
  /** Name of the licence in its package.json: "MIT". */
  readonly license: string;
  /** Address of its sources; "" if its package.json has none. */
  readonly repository: string;
  /** Texts of its licence and notices, unchanged; empty if it has none. */
  readonly texts: readonly string[];
}

const LICENCE_FILE = /^(?:licen[cs]e|notice|copying|copyright)(?:[.-][\w.-]+)?$/i;
const RULE = "-".repeat(79);

const HEAD = `ArqonBus
Licensed under the Apache License, Version 2.0; see LICENSE.

Its programs carry the packages of others below. LICENSES.txt, beside this file in the npm package and
with the binaries, has the texts of their licences and their notices; an image has them in the folder
of each package below /deno-dir/npm. deno task gen writes this list.
`;
/** The file with the texts, in an npm package or beside binaries. */
export const LICENCES = "LICENSES.txt";

/** The name and version in a specifier: `@a/b@1.2.3/x/y` and `@a/b@1.2.3_peers` are `@a/b` in 1.2.3. */
function nameAndVersion(text: string): readonly [name: string, version: string] {
  const [, name = "", version = ""] = /^(@?[^@]+)@([^/_]+)/.exec(text) ?? [];
  if (name === "") throw new Error(`${text} is no package with a version`);
  return [name, version];
}

/** The key of a dependency in the lock. A dependency is a name, plus the version if there are several. */
function keyOf({ npm }: Lock, dependency: string): string {
  const keys = Object.keys(npm).filter((key) =>
    key === dependency || key.startsWith(`${dependency}@`) || key.startsWith(`${dependency}_`)
  );
  const [key, ...more] = keys;
  if (key === undefined || more.length > 0) throw new Error(`deno.lock: which ${dependency}?`);
  return key;
}

/** The packages that `roots` (`npm:NAME@VERSION/PATH`) need, as NAME@VERSION, sorted, without duplicates. */
export function packagesOf(lock: Lock, roots: readonly string[]): string[] {
  const found = new Set<string>();
  const visit = (key: string): void => {
    if (found.has(key)) return;
    found.add(key);
    for (const dependency of lock.npm[key]?.dependencies ?? []) visit(keyOf(lock, dependency));
  };
  for (const root of roots) {
    const [name, version] = nameAndVersion(root.replace(/^npm:/, ""));
    const locked = lock.specifiers[`npm:${name}@${version}`];
    if (locked === undefined) throw new Error(`deno.lock has no ${name}@${version}`);
    visit(`${name}@${locked}`);
  }
  return [...new Set([...found].map((key) => nameAndVersion(key).join("@")))].sort();
}

const titleOf = ({ name, version, license, repository }: Licensed) => {
  if (license === "") throw new Error(`${name} ${version} names no licence`);
  return `${name} ${version} (${license}) ${repository}`.trim();
};

/** The text of NOTICE. Throws for a package without a licence name. */
export function noticeText(packages: readonly Licensed[]): string {
  return `${HEAD}\n${packages.map(titleOf).join("\n")}\n`;
}

/** The text of LICENSES.txt, in which packages with the same texts share them. Throws as `noticeText` does. */
export function licencesText(packages: readonly Licensed[]): string {
  const groups = new Map<string, Licensed[]>();
  for (const one of packages) {
    const key = one.texts.join(`\n\n`) || `no text ${one.license}`;
    groups.set(key, [...groups.get(key) ?? [], one]);
  }
  const parts = [...groups.values()].map((group) => {
    const texts = group[0]?.texts ?? [];
    const text = texts.length === 0
      ? "Its package brings no text of the licence that it names."
      : texts.join("\n\n");
    return `${RULE}\n${group.map(titleOf).join("\n")}\n\n${text}\n`;
  });
  return parts.join("\n");
}

/** A text with `\n` as line end and without trailing blanks; these are not part of a licence. */
function tidy(text: string): string {
  return text.replace(/^\uFEFF/, "").split(/\r?\n/).map((line) => line.trimEnd()).join("\n").trim();
}

/**
 * The address of a repository for browsers, from `git+https://…/x.git`, `git://…`, `git@github.com:a/b`, `github:a/b`
 * or `a/b`.
 */
export function repositoryUrl(repository: unknown): string {
  const of_object = typeof repository === "object" && repository !== null && "url" in repository
    ? repository.url
    : repository;
  if (typeof of_object !== "string") return "";
  const url = of_object.replace(/^git\+/, "").replace(/^(?:git|ssh):\/\/(?:git@)?/, "https://")
    .replace(/^(?:git@github\.com|github):/, "").replace(/\.git$/, "");
  return /^[\w.-]+\/[\w.-]+$/.test(url) ? `https://github.com/${url}` : url;
}

async function read(cache: string, package_id: string): Promise<Licensed> {
  const [name, version] = nameAndVersion(package_id);
  const folder = `${cache}/${name}/${version}`;
  const about = JSON.parse(await Deno.readTextFile(`${folder}/package.json`));
  const { license = "", repository } = about;
  const files: string[] = [];
  for await (const { name: file, isFile } of Deno.readDir(folder)) {
    if (isFile && LICENCE_FILE.test(file)) files.push(file);
  }
  const texts = await Promise.all(
    files.sort().map(async (file) => tidy(await Deno.readTextFile(`${folder}/${file}`))),
  );
  const named = typeof license === "object" ? license.type ?? "" : license;
  return { name, version, license: named, repository: repositoryUrl(repository), texts };
}

/** The folder in Deno's cache with packages by name, for the registry of their origin. */
async function cacheFolder(): Promise<string> {
  const { npmCache }: { npmCache: string } = JSON.parse((await deno(["info", "--json"])).stdout);
  const [registry, ...more] = [...Deno.readDirSync(npmCache)].filter((entry) => entry.isDirectory);
  if (registry === undefined || more.length > 0) {
    throw new Error(`${npmCache}: expected the packages of one registry`);
  }
  return `${npmCache}/${registry.name}`;
}

/** The packages of the checkout at `root`. Throws if one of them is not in Deno's cache. */
export async function licensedPackages(root: string): Promise<Licensed[]> {
  const lock: Lock = JSON.parse(await Deno.readTextFile(`${root}deno.lock`));
  const { packages } = await sourcesOf([...Object.values(PROGRAMS), ...STARTED]);
  const cache = await cacheFolder();
  const all = packagesOf(lock, Object.values(packages));
  return await Promise.all(all.map((one) => read(cache, one)));
}
