/**
 * Measures what the SDK adds to a web page: bundles programs with esbuild as a site would, prints the gzipped
 * sizes and the contents of the first bundle, and exits 1 when a bundle is over its limit or has what no page
 * should load. It reads the sources; the code on npm is the same without types.
 */
import { gzipSync } from "node:zlib";
import { build, type Plugin, stop } from "esbuild";
import { type BundleInputs, bundleProblems, contributors } from "./bundle_size_rules.ts";
import { ROOT } from "../checkout/source_files.ts";

/** One program, and how large its bundle may be. */
interface Program {
  readonly name: string;
  readonly text: string;
  /** Most bytes after gzip -9; with `beside`, most bytes more than those of that program. */
  readonly limit_bytes: number;
  readonly beside?: string;
}

const KB = 1_024;
const PROGRAM = "program.js";
/** The SDK as the stores use it: locks, the state of rooms, and history. */
const USED_BY_STORES = `export { connect, holdLock } from "@arqon/sdk";
export { roomState } from "@arqon/sdk/state";
export { history } from "@arqon/sdk/history";`;
const PROGRAMS: readonly Program[] = [
  {
    name: "connect",
    text: 'export { connect } from "@arqon/sdk";',
    limit_bytes: 20.9 * KB,
  },
  {
    name: "the state of rooms beside connect",
    text: `export { connect } from "@arqon/sdk"; export { roomState } from "@arqon/sdk/state";`,
    limit_bytes: 1.6 * KB,
    beside: 'export { connect } from "@arqon/sdk";',
  },
  {
    name: "history and replay beside connect",
    text:
      `export { connect } from "@arqon/sdk"; export { history, replay } from "@arqon/sdk/history";`,
    limit_bytes: 0.95 * KB,
    beside: 'export { connect } from "@arqon/sdk";',
  },
  {
    name: "stores beside the SDK",
    text: 'export { createClient, whenReady } from "@arqon/sdk/stores";',
    limit_bytes: 3.25 * KB,
    beside: USED_BY_STORES,
  },
  {
    name: "React's hooks and the stores beside the SDK",
    text: 'export * from "@arqon/react";',
    limit_bytes: 4 * KB,
    beside: USED_BY_STORES,
  },
  {
    name: "ArqonError alone",
    text: 'export { ArqonError } from "@arqon/sdk";',
    limit_bytes: 2 * KB,
  },
];
/** What a page has that uses the package which needs it. */
const EXTERNAL = ["react"];
/** Most lines in the table of a bundle's contents. */
const SHOWN = 12;

const ENTRIES: Readonly<Record<string, string>> = {
  "@arqon/sdk": `${ROOT}sdk/typescript/mod.ts`,
  "@arqon/sdk/state": `${ROOT}sdk/typescript/state.ts`,
  "@arqon/sdk/history": `${ROOT}sdk/typescript/history.ts`,
  "@arqon/sdk/stores": `${ROOT}sdk/typescript/stores.ts`,
  "@arqon/react": `${ROOT}sdk/react/mod.ts`,
  "@arqon/proto": `${ROOT}proto/mod.ts`,
};

/** Resolves the packages to their sources, with `"sideEffects": false` as in their package.json. */
const PACKAGES: Plugin = {
  name: "packages",
  setup(build) {
    build.onResolve({ filter: /^@arqon\// }, ({ path }) => ({
      path: ENTRIES[path] ?? path,
      sideEffects: false,
    }));
    build.onResolve({ filter: /^\.{1,2}\/.*\.ts$/ }, ({ path, resolveDir }) => ({
      path: new URL(path, `file://${resolveDir}/`).pathname,
      sideEffects: false,
    }));
  },
};

/** What a page loads at once, and what it may load later. */
interface Bundle {
  readonly text: string;
  /** The files that it comes from. */
  readonly inputs: BundleInputs;
  readonly later: readonly { readonly file: string; readonly text: string }[];
}

async function bundle(contents: string): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents, resolveDir: ROOT, sourcefile: PROGRAM },
    absWorkingDir: ROOT,
    plugins: [PACKAGES],
    bundle: true,
    minify: true,
    splitting: true,
    external: [...EXTERNAL],
    outdir: ROOT,
    format: "esm",
    platform: "browser",
    target: "es2022",
    metafile: true,
    write: false,
  });
  const texts = Object.keys(metafile.outputs).map((file) => ({
    file,
    text: outputFiles.find(({ path }) => path === ROOT + file)?.text ?? "",
  }));
  const first = texts.find(({ file }) => metafile.outputs[file]?.entryPoint === PROGRAM);
  if (first === undefined) throw new Error("esbuild says of no file that it is the program");
  const later = texts.filter((other) => other !== first);
  return { text: first.text, inputs: metafile.outputs[first.file]?.inputs ?? {}, later };
}

/** Prints the sizes of a program. Returns the problems of its bundle. */
async function judge(program: Program): Promise<string[]> {
  const { name, text: contents, limit_bytes, beside } = program;
  const { text, inputs, later } = await bundle(contents);
  const sizeOf = (of: string) => gzipSync(of, { level: 9 }).length;
  const base_bytes = beside === undefined ? 0 : sizeOf((await bundle(beside)).text);
  const size_bytes = sizeOf(text) - base_bytes;
  const kb = (bytes: number) => `${(bytes / KB).toFixed(2)} KB`;
  const limit = `limit ${kb(limit_bytes)}`;
  console.log(`${name}: ${kb(size_bytes)} gzipped, ${kb(text.length)} minified, ${limit}`);
  for (const [path, bytes] of contributors(inputs, SHOWN)) {
    console.log(`  ${kb(bytes).padStart(9)}  ${path}`);
  }
  const named = contents.includes("ArqonError") ? [] : later;
  for (const { file, text } of named) {
    console.log(`  later, if asked for: ${kb(sizeOf(text))}  ${file}`);
  }
  const files = named.map(({ file }) => file);
  const own = EXTERNAL.reduce((left, one) => left.replaceAll(`from"${one}"`, ""), text);
  const problems = bundleProblems(own, inputs, files).map((what) => `${name}: it has ${what}`);
  if (size_bytes < limit_bytes) return problems;
  return [
    ...problems,
    `${name}: ${size_bytes} bytes gzipped; less than ${limit_bytes} are allowed`,
  ];
}

if (import.meta.main) {
  const problems: string[] = [];
  for (const program of PROGRAMS) problems.push(...await judge(program));
  await stop();
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) Deno.exit(1);
}
