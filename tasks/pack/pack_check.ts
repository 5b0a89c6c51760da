/**
 * Checks the files of a package before it is published, as a pure function: it must have code with types for every
 * entry, package.json, README and licence, and nothing else: no tests, sources or secrets, and no code that only Deno
 * or Node runs.
 */

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
