/**
 * Measures the SDK's size in a web page: bundles programs with esbuild as a site would, prints the gzipped sizes and
 * contents of the initially loaded chunks, and exits 1 if one exceeds its limit or contains other packages. It reads
 * the sources; the code on npm is the same without types. `pack_tarball.ts` finds code that browsers do not support.
 */
import { gzipSync } from "node:zlib";
import { analyzeMetafile, build, type Metafile, type Plugin, stop } from "esbuild";
import { ROOT } from "../checkout/source_files.ts";

/** One program, and the limit of its bundle's size. */
interface Program {
  readonly name: string;
  readonly text: string;
  /** Maximum bytes after gzip -9; with `beside`, maximum bytes above those of that program. */
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
  { name: "connect", text: 'export { connect } from "@arqon/sdk";', limit_bytes: 20.88 * KB },
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
    limit_bytes: 0.88 * KB,
    beside: 'export { connect } from "@arqon/sdk";',
  },
  {
    name: "stores beside the SDK",
    text: 'export { createClient, whenReady } from "@arqon/sdk/stores";',
    limit_bytes: 3.14 * KB,
    beside: USED_BY_STORES,
  },
  {
    name: "React's hooks and the stores beside the SDK",
    text: 'export * from "@arqon/react";',
    limit_bytes: 3.71 * KB,
    beside: USED_BY_STORES,
  },
  {
    name: "ArqonError alone",
    text: 'export { ArqonError } from "@arqon/sdk";',
    limit_bytes: 2 * KB,
  },
];
/** Packages that the page's program provides; they do not count. */
const EXTERNAL = ["react"];
/** Maximum number of lines in the table of a bundle's contents. */
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

/** The initially loaded files of a page, their problems, and a table of their contents. */
interface Bundle {
  readonly files: readonly string[];
  readonly contents: string;
  readonly foreign: readonly string[];
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
  const outputs = loadedAtOnce(metafile.outputs);
  const files = outputFiles.filter(({ path }) => path.slice(ROOT.length) in outputs)
    .map(({ text }) => text);
  if (files.length === 0) throw new Error("esbuild made no program");
  const inputs = Object.values(outputs).flatMap((one) => Object.entries(one.inputs));
  const foreign = inputs.flatMap(([path, { bytesInOutput }]) =>
    bytesInOutput > 0 && /node_modules|@bufbuild|\/gen\/arqon\//.test(path) ? [path] : []
  );
  return { files, foreign, contents: await analyzeMetafile({ ...metafile, outputs }) };
}

/** The program and its statically imported chunks. */
function loadedAtOnce(outputs: Metafile["outputs"]): Metafile["outputs"] {
  const loaded: Metafile["outputs"] = {};
  const load = (path: string) => {
    const one = outputs[path];
    if (one === undefined || path in loaded) return;
    loaded[path] = one;
    for (const { path, kind } of one.imports) if (kind === "import-statement") load(path);
  };
  for (const [path, { entryPoint }] of Object.entries(outputs)) {
    if (entryPoint === PROGRAM) load(path);
  }
  return loaded;
}

/** Prints the sizes of a program. Returns the problems of its bundle. */
async function judge({ name, text: program, limit_bytes, beside }: Program): Promise<string[]> {
  const { files, contents, foreign } = await bundle(program);
  const sizeOf = (of: readonly string[]) =>
    of.reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0);
  const base_bytes = beside === undefined ? 0 : sizeOf((await bundle(beside)).files);
  const size_bytes = sizeOf(files) - base_bytes;
  const minified_bytes = files.reduce((sum, { length }) => sum + length, 0);
  const kb = (bytes: number) => `${(bytes / KB).toFixed(2)} KB`;
  const limit = `limit ${kb(limit_bytes)}`;
  console.log(`${name}: ${kb(size_bytes)} gzipped, ${kb(minified_bytes)} minified, ${limit}`);
  console.log(contents.split("\n").slice(0, SHOWN).join("\n"));
  return [
    ...foreign.map((path) => `${name}: it has ${path}, which is no part of the SDK`),
    ...size_bytes < limit_bytes
      ? []
      : [`${name}: ${size_bytes} bytes gzipped; less than ${limit_bytes} are allowed`],
  ];
}

if (import.meta.main) {
  const problems: string[] = [];
  for (const program of PROGRAMS) problems.push(...await judge(program));
  await stop();
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) Deno.exit(1);
}
