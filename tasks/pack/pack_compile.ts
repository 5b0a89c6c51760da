/**
 * Compiles a member of the workspace to ESM JavaScript with declarations. The TypeScript compiler has only the types of
 * the web platform, so code that needs Deno or Node does not compile. It knows nothing of npm.
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
