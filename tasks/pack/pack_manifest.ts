/**
 * The text files that an npm package needs and a member of the workspace lacks: `package.json`, generated from the
 * member's `deno.json`, and the README with links that work on npm. Pure; `pack.ts` reads and writes the files.
 */

/** Address of the sources. npm's provenance compares it with the publishing repository. */
const REPOSITORY = "https://github.com/novelbytelabs/arqonbus";

/** The oldest Node with a built-in WebSocket. */
const NODE_RANGE = ">=22";

/** The parts of a member's `deno.json` that describe the package. */
export interface MemberConfig {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  /** The only entry, or the entries by subpath, for example `./protobuf`. All are paths of `.ts` files. */
  readonly exports: string | Readonly<Record<string, string>>;
}

/** The dependencies of a package, with the range of versions for each name. */
export interface Needs {
  readonly dependencies: Readonly<Record<string, string>>;
  /** Packages that the program provides: optional, since only some entries need them. */
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly required?: readonly string[];
}

/** The subpath (`.` for the package itself) and the source of every entry. */
export function entriesOf({ exports }: Pick<MemberConfig, "exports">): [string, string][] {
  return typeof exports === "string" ? [[".", exports]] : Object.entries(exports);
}

/** The members that every package.json has; `directory` is that of the package, relative to the root. */
export const commonManifest = (directory: string) => ({
  license: "Apache-2.0",
  homepage: `${REPOSITORY}#readme`,
  bugs: { url: `${REPOSITORY}/issues` },
  repository: { type: "git", url: `git+${REPOSITORY}.git`, directory },
  type: "module",
  publishConfig: { access: "public", provenance: true },
});

/** The package.json of the member at `directory` relative to the root. Throws for an entry that is not a `.ts` file. */
export function packageJson(
  config: MemberConfig,
  directory: string,
  needs: Needs,
): Record<string, unknown> {
  const exports = Object.fromEntries(
    entriesOf(config).map(([subpath, source]) => {
      if (!/^\.\/[\w/]+\.ts$/.test(source)) {
        throw new TypeError(`"${source}" is no entry: ./NAME.ts`);
      }
      const stem = source.slice(0, -".ts".length);
      return [subpath, { types: `${stem}.d.ts`, default: `${stem}.js` }];
    }),
  );
  const peers = Object.keys(needs.peerDependencies);
  const optional = peers.filter((name) => !needs.required?.includes(name));
  return {
    name: config.name,
    version: config.version,
    description: config.description,
    keywords: ["arqonbus", "realtime", "websocket", "pubsub", "presence"],
    ...commonManifest(directory),
    sideEffects: false,
    engines: { node: NODE_RANGE },
    // Tools that do not read `exports` read `main` and `types`.
    main: exports["."]?.default,
    types: exports["."]?.types,
    exports: { ...exports, "./package.json": "./package.json" },
    files: ["**/*.js", "**/*.d.ts"],
    ...(Object.keys(needs.dependencies).length > 0 ? { dependencies: needs.dependencies } : {}),
    ...(peers.length === 0 ? {} : {
      peerDependencies: needs.peerDependencies,
      ...(optional.length === 0 ? {} : {
        peerDependenciesMeta: Object.fromEntries(
          optional.map((name) => [name, { optional: true }]),
        ),
      }),
    }),
  };
}

/** The README of `directory`, with relative links replaced by links to the repository. */
export function npmReadme(text: string, directory: string): string {
  const base = new URL(`${REPOSITORY}/blob/main/${directory}/`);
  return text.replace(/\]\((?!https?:|#|mailto:)([^)\s]+)\)/g, (_, link) => {
    return `](${new URL(link, base)})`;
  });
}

/** The package of a bare specifier: that of `@a/b/c` is `@a/b`. */
export function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** The flags and permissions in `deno task NAME`, without the program. */
export function taskFlags(tasks: Readonly<Record<string, string>>, name: string): string[] {
  const [deno, run, ...flags] = tasks[name]?.split(" ") ?? [];
  if (deno !== "deno" || run !== "run" || flags.pop()?.endsWith("/main.ts") !== true) {
    throw new Error(`deno.json: the task ${name} is not "deno run FLAGS MAIN"`);
  }
  return flags;
}
