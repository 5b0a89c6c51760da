/** The packed declarations for programs with the strictest settings, in both ways of finding modules. */
import ts from "typescript";
import type { Scenario, World } from "./world.ts";

/** Every check that TypeScript has, with the declarations themselves looked at too. */
const STRICT: ts.CompilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  noUnusedLocals: true,
  isolatedModules: true,
  verbatimModuleSyntax: true,
  skipLibCheck: false,
  noEmit: true,
  target: ts.ScriptTarget.ES2024,
  types: [],
};

function check({ project }: World, file: string, options: ts.CompilerOptions): void {
  const program = ts.createProgram([`${project.folder}/${file}`], { ...STRICT, ...options });
  const found = ts.getPreEmitDiagnostics(program);
  if (found.length === 0) return;
  throw new Error(ts.formatDiagnostics(found, {
    getCanonicalFileName: (name) => name,
    getCurrentDirectory: () => project.folder,
    getNewLine: () => "\n",
  }));
}

/** What the libraries of a program must at least be. */
const LIB = ["lib.es2024.d.ts", "lib.dom.d.ts", "lib.esnext.disposable.d.ts"];

/** Strict programs compile, and what they may not do is refused. */
export const TYPES_SCENARIOS: readonly Scenario[] = ([
  ["nodenext", ts.ModuleKind.NodeNext, ts.ModuleResolutionKind.NodeNext],
  ["bundler", ts.ModuleKind.ESNext, ts.ModuleResolutionKind.Bundler],
] as const).map(([name, module, moduleResolution]) => ({
  name: `a strict program compiles with moduleResolution ${name}`,
  // deno-lint-ignore require-await -- A scenario rejects; it does not throw.
  run: async (world) => check(world, "typed.ts", { module, moduleResolution, lib: LIB }),
}));
