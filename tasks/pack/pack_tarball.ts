/**
 * Runs the real `npm pack` on a folder that is ready to be published, and checks the files of the tarball: it must have
 * code with types for every entry, package.json, README and licence, and nothing else: no tests, sources or secrets,
 * and no code that only Deno or Node runs. `pack.ts` prepares the folder; the release publishes.
 */
import { must, run } from "../checkout/programs.ts";

/** A packed tarball. */
export interface Tarball {
  readonly name: string;
  readonly version: string;
  /** Absolute path of the `.tgz`. */
  readonly path: string;
  readonly size_bytes: number;
  /** Total size of all files, without compression. */
  readonly unpacked_bytes: number;
  /** Paths of the files in the package, sorted. */
  readonly files: readonly string[];
}

interface PackReport {
  readonly name: string;
  readonly version: string;
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

/**
 * npm's warnings about the package, without those about the machine's npmrc: that affects only the access to the
 * registry.
 */
function warnings(err: string): string[] {
  return err.split("\n").filter((line) => /\bnpm warn\b/i.test(line) && !/ config /.test(line));
}

async function contents(folder: string, files: readonly string[]): Promise<Map<string, string>> {
  const read = async (path: string): Promise<[string, string]> => [
    path,
    await Deno.readTextFile(`${folder}/${path}`),
  ];
  return new Map(await Promise.all(files.map(read)));
}

/**
 * Packs `folder` into `out_dir`. Throws an Error if npm warns about the folder, or if the tarball has a file that does
 * not belong there. `check` decides which files belong; the default is for a portable library.
 */
export async function packTarball(
  folder: string,
  out_dir: string,
  check: (files: PackageFiles) => string[] = checkPackage,
): Promise<Tarball> {
  const args = ["pack", "--json", "--pack-destination", out_dir, "--update-notifier=false"];
  const npm = await must(Deno.build.os === "windows" ? "npm.cmd" : "npm", args, { cwd: folder });
  const warned = warnings(npm.stderr);
  if (warned.length > 0) throw new Error(`npm pack warns:\n${warned.join("\n")}`);
  const [report] = JSON.parse(npm.stdout) as PackReport[];
  if (report === undefined) throw new Error(`npm pack in ${folder} made nothing`);
  const path = `${out_dir}/${report.filename}`;
  const listed = await run("tar", ["-tzf", path]);
  // The list is read from the tarball and not from npm, since users unpack the tarball.
  const files = (listed?.text ?? "").split("\n").filter((line) => line !== "")
    .map((line) => line.replace(/^package\//, "")).sort();
  if (listed?.ok !== true || files.length === 0) throw new Error(`tar -tzf ${path} failed`);
  const problems = check(await contents(folder, files));
  if (problems.length > 0) throw new Error(`${report.name}:\n${problems.join("\n")}`);
  const { name, version, size: size_bytes, unpackedSize: unpacked_bytes } = report;
  return { name, version, path, size_bytes, unpacked_bytes, files };
}

/** The text of each file by its path in the package, for example `mod.js`. */
export type PackageFiles = ReadonlyMap<string, string>;

const PAPERS = ["package.json", "README.md", "LICENSE"];
const WANTED = /^(?:[a-z0-9_]+\/)*[a-z0-9_]+\.(?:js|d\.ts)$/;
const FOR_TESTS = /(?:^|\/)(?:testing|tests)\/|_test\.|(?:^|\/)test_/;

const SECRETS: readonly [RegExp, string][] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----/, "a private key"],
  [/\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}/, "a token"],
  [/"d":\s*"[\w-]{40,}"/, "a private JWK"],
  [/\b(?:npm|ghp|gho|ghs)_[A-Za-z0-9]{30,}/, "a registry's token"],
];

/** Patterns of code that depends on one runtime; comments may match them. */
const TIES: readonly [RegExp, string][] = [
  [/\bDeno\s*\./, "uses Deno's API"],
  [/\bprocess\s*\.\s*(?:env|argv|exit|on)\b/, "uses Node's process"],
  [/(?:from|import)\s*\(?\s*["'](?:node|npm|jsr|https?):/, "imports what only one runtime has"],
  [/(?:from|import)\s*\(?\s*["']\.{1,2}\/[^"']+\.ts["']/, "imports a source file"],
];

/** The code without its comments. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

interface Entry {
  readonly types?: string;
  readonly default?: string;
}

function entryProblems(files: PackageFiles): string[] {
  const manifest = JSON.parse(files.get("package.json") ?? "{}") as {
    exports?: Record<string, Entry | string>;
  };
  return Object.entries(manifest.exports ?? {}).flatMap(([subpath, entry]) => {
    if (typeof entry === "string") return [];
    return (["types", "default"] as const).flatMap((kind) => {
      const path = entry[kind]?.replace(/^\.\//, "");
      return path !== undefined && files.has(path)
        ? []
        : [`package.json: the ${kind} of "${subpath}" (${path ?? "none"}) are not in the package`];
    });
  });
}

/** The problems with secrets in any of the files. */
export function checkSecrets(files: PackageFiles): string[] {
  return [...files].flatMap(([path, text]) =>
    SECRETS.filter(([pattern]) => pattern.test(text))
      .map(([, what]) => `${path} has what looks like ${what}`)
  );
}

/** All problems of a package; empty if it may be published. */
export function checkPackage(files: PackageFiles): string[] {
  const problems = PAPERS.filter((name) => !files.has(name)).map((name) => `${name} is missing`);
  for (const [path, text] of files) {
    if (!PAPERS.includes(path) && !WANTED.test(path)) {
      problems.push(`${path} does not belong there`);
    }
    if (FOR_TESTS.test(path)) problems.push(`${path} is for tests`);
    if (path.endsWith(".js") && !files.has(`${path.slice(0, -3)}.d.ts`)) {
      problems.push(`${path} has no types`);
    }
    if (!/\.(?:js|d\.ts)$/.test(path)) continue;
    for (const [pattern, what] of TIES) {
      if (pattern.test(code(text))) problems.push(`${path} ${what}`);
    }
  }
  return [...problems, ...checkSecrets(files), ...entryProblems(files)];
}
