/**
 * Compiles TypeScript for npm packages. A member of the workspace becomes ESM JavaScript with declarations; the
 * compiler has only the types of the web platform, so code that needs Deno or Node does not compile. The programs
 * become JavaScript that Deno runs in a `node_modules`, where it accepts no TypeScript and no import map: each file
 * becomes one file, and packages get their npm names.
 */
import ts from "typescript";

interface Compilation {
  /** Folder of the sources. Output files keep their relative paths. */
  readonly source_dir: string;
  /** Entries below `source_dir`; their imports are also compiled. */
  readonly entries: readonly string[];
  readonly out_dir: string;
  /** Absolute path of the `.d.ts` file for each bare specifier. */
  readonly types: Readonly<Record<string, string>>;
}

/** The result of a compilation. */
export interface Compiled {
  /** Bare specifiers that the sources import, sorted, without duplicates. */
  readonly imports: readonly string[];
}

function options({ source_dir, out_dir, types }: Compilation): ts.CompilerOptions {
  return {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ["lib.esnext.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts", "lib.dom.asynciterable.d.ts"],
    types: [],
    paths: Object.fromEntries(Object.entries(types).map(([name, path]) => [name, [path]])),
    rootDir: source_dir,
    outDir: out_dir,
    declaration: true,
    rewriteRelativeImportExtensions: true,
    verbatimModuleSyntax: true,
    isolatedModules: true,
    noEmitOnError: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noImplicitOverride: true,
  };
}

function bareImports(program: ts.Program, source_dir: string): string[] {
  const found = new Set<string>();
  for (const file of program.getSourceFiles()) {
    if (!file.fileName.startsWith(`${source_dir}/`)) continue;
    for (const { fileName } of ts.preProcessFile(file.text).importedFiles) {
      if (!fileName.startsWith(".")) found.add(fileName);
    }
  }
  return [...found].sort();
}

/** Replaces `.ts` by `.js` in the imports of declarations: TypeScript does not, and the package has `x.js`. */
function withJsImports(path: string, text: string): string {
  if (!path.endsWith(".d.ts")) return text;
  return text.replace(/((?:from|import)\s*\(?\s*["'])(\.{1,2}\/[^"']+)\.ts(["'])/g, "$1$2.js$3");
}

/** Writes the `.js` and `.d.ts` files. Throws an Error with the compiler's messages. */
export function compile(compilation: Compilation): Compiled {
  const { source_dir, entries } = compilation;
  const roots = entries.map((entry) => `${source_dir}/${entry}`);
  const program = ts.createProgram(roots, options(compilation));
  const { diagnostics } = program.emit(undefined, (path, text) => {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(path, withJsImports(path, text));
  });
  const problems = [...ts.getPreEmitDiagnostics(program), ...diagnostics];
  if (problems.length > 0) {
    throw new Error(ts.formatDiagnostics(problems, {
      getCanonicalFileName: (name) => name,
      getCurrentDirectory: () => source_dir,
      getNewLine: () => "\n",
    }));
  }
  return { imports: bareImports(program, source_dir) };
}

interface Renames {
  /** The `npm:NAME@VERSION/PATH` of each package, by bare specifier. */
  readonly packages: Readonly<Record<string, string>>;
  /** The path of each member's module relative to the root, by bare specifier. */
  readonly members: Readonly<Record<string, string>>;
}

/** The specifier by which Deno imports `npm:@a/b@1.2.3/c` from a `node_modules`: `@a/b/c`. */
function npmSpecifier(target: string): string {
  const [, name, path = ""] = /^npm:((?:@[^/]+\/)?[^@/]+)@[^/]+(\/.*)?$/.exec(target) ?? [];
  if (name === undefined) throw new TypeError(`"${target}" is no npm: specifier`);
  return `${name}${path}`;
}

/** The path of a module after its compilation to JavaScript. */
export function jsPath(path: string): string {
  return path.replace(/\.ts$/, ".js");
}

function relative(from: string, to: string): string {
  const up = "../".repeat(from.split("/").length - 1);
  return `${up === "" ? "./" : up}${to}`;
}

/** The URLs that start threads, children and our own program. */
const STARTED = /(new URL\(\s*")(\.{1,2}\/[^"]+\.ts)(",\s*import\.meta\.url)/g;

/** Replaces every specifier by the result of `place`. Imports as text stay unchanged. */
function withSpecifiers(text: string, place: (specifier: string) => string): string {
  let out = "";
  let done = 0;
  for (const { fileName, pos, end } of ts.preProcessFile(text, true, true).importedFiles) {
    // The range from the opening quote to the closing one.
    const from = pos;
    const to = text.indexOf('"', pos + 1) + 1 || end;
    if (/^\s*with\b/.test(text.slice(to))) continue;
    out += `${text.slice(done, from)}"${place(fileName)}"`;
    done = to;
  }
  return out + text.slice(done);
}

/** The JavaScript of the module at `path` relative to the root. Throws for a bare specifier without a target. */
export function javaScript(path: string, source: string, renames: Renames): string {
  const { packages, members } = renames;
  const place = (specifier: string): string => {
    if (/^\.{1,2}\//.test(specifier)) return jsPath(specifier);
    if (specifier.startsWith("node:")) return specifier;
    const member = members[specifier];
    if (member !== undefined) return relative(path, jsPath(member));
    const target = packages[specifier];
    if (target === undefined) {
      throw new Error(`${path} imports "${specifier}", which is not packed`);
    }
    return npmSpecifier(target);
  };
  const { outputText } = ts.transpileModule(source, {
    fileName: path,
    compilerOptions: {
      target: ts.ScriptTarget.ESNext,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      removeComments: true,
    },
  });
  const url = (_: string, head: string, file: string, tail: string) => head + jsPath(file) + tail;
  return withSpecifiers(outputText, place).replace(STARTED, url);
}
