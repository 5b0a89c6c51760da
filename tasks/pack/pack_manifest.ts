/**
 * The text files that an npm package has and a member of the workspace has not: `package.json` from
 * the member's `deno.json`, and the README with links that lead somewhere from npm. Pure; `pack.ts`
 * does the files.
 */

/** Where the sources are; npm's provenance compares it with the repository that published. */
export const REPOSITORY = "https://github.com/novelbytelabs/arqonbus";

/** The oldest Node with a WebSocket of its own. */
const NODE_RANGE = ">=22";

/** What of a member's `deno.json` says what it is. */
export interface MemberConfig {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly description: string;
  /** The only entry, or entries by subpath, for example `./protobuf`. Paths of `.ts` files. */
  readonly exports: string | Readonly<Record<string, string>>;
}

/** What a package needs: by name, the range of versions. */
export interface Needs {
  readonly dependencies: Readonly<Record<string, string>>;
  /** All of them optional: only some entry needs them. */
  readonly peerDependencies: Readonly<Record<string, string>>;
}

/** Subpath (`.` for the package itself) and source of every entry. */
export function entriesOf({ exports }: Pick<MemberConfig, "exports">): [string, string][] {
  return typeof exports === "string" ? [[".", exports]] : Object.entries(exports);
}

/** The package.json of a member at `directory` below the root. Throws for an entry that is no `.ts`. */
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
  return {
    name: config.name,
    version: config.version,
    description: config.description,
    keywords: ["arqonbus", "realtime", "websocket", "pubsub", "presence"],
    license: config.license,
    homepage: `${REPOSITORY}#readme`,
    bugs: { url: `${REPOSITORY}/issues` },
    repository: { type: "git", url: `git+${REPOSITORY}.git`, directory },
    type: "module",
    sideEffects: false,
    engines: { node: NODE_RANGE },
    // `main` and `types` are for tools that do not read `exports`.
    main: exports["."]?.default,
    types: exports["."]?.types,
    exports: { ...exports, "./package.json": "./package.json" },
    files: ["**/*.js", "**/*.d.ts"],
    ...(Object.keys(needs.dependencies).length > 0 ? { dependencies: needs.dependencies } : {}),
    ...(peers.length === 0 ? {} : {
      peerDependencies: needs.peerDependencies,
      peerDependenciesMeta: Object.fromEntries(peers.map((name) => [name, { optional: true }])),
    }),
    publishConfig: { access: "public", provenance: true },
  };
}

/** A README of `directory` whose relative links lead to the repository. */
export function npmReadme(text: string, directory: string): string {
  const base = new URL(`${REPOSITORY}/blob/main/${directory}/`);
  return text.replace(/\]\((?!https?:|#|mailto:)([^)\s]+)\)/g, (_, link) => {
    return `](${new URL(link, base)})`;
  });
}

/** The package of a bare specifier: `@a/b/c` is of `@a/b`. */
export function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}

/** Flags and permissions of `deno task NAME`, without the program. */
export function taskFlags(tasks: Readonly<Record<string, string>>, name: string): string[] {
  const [deno, run, ...flags] = tasks[name]?.split(" ") ?? [];
  if (deno !== "deno" || run !== "run" || flags.pop()?.endsWith("/main.ts") !== true) {
    throw new Error(`deno.json: the task ${name} is not "deno run FLAGS MAIN"`);
  }
  return flags;
}
