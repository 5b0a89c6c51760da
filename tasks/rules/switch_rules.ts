/**
 * The rule for switches, over a program of the TypeScript compiler: a switch over a closed union must not compile if a
 * case is missing. The types of packages are not read, so a type of a package is `any` and not a closed union.
 */
import ts from "typescript";
import { isProduct, ROOT } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import { nodesOf, type Sources, violationAt } from "./sources.ts";

/** The `satisfies never` in the default of a switch; undefined if it has none. */
function neverDefault(node: ts.SwitchStatement): ts.SatisfiesExpression | undefined {
  const clause = node.caseBlock.clauses.find(ts.isDefaultClause);
  if (clause === undefined) return undefined;
  return nodesOf(clause).filter(ts.isSatisfiesExpression).find(({ type }) =>
    type.kind === ts.SyntaxKind.NeverKeyword
  );
}

/** All switches of a file, in the order of the text. */
function switchesOf(source: ts.SourceFile): ts.SwitchStatement[] {
  return nodesOf(source).filter(ts.isSwitchStatement).sort((one, other) => one.pos - other.pos);
}

const CLOSED = ts.TypeFlags.Literal | ts.TypeFlags.Undefined | ts.TypeFlags.Null;

/** Whether a type is a closed union: at least two values, each a literal or a member of an enum. */
function isClosed(type: ts.Type): boolean {
  return type.isUnion() && (type.flags & ts.TypeFlags.Boolean) === 0 &&
    type.types.every(({ flags }) => (flags & CLOSED) !== 0);
}

/** Every switch over a closed union in `path` that does not end with `satisfies never`. */
export function checkSwitches(
  path: string,
  source: ts.SourceFile,
  checker: ts.TypeChecker,
): Violation[] {
  return switchesOf(source).flatMap((node) => {
    const { expression } = node;
    if (ts.isTypeOfExpression(expression) || neverDefault(node) !== undefined) return [];
    const type = checker.getTypeAtLocation(expression);
    if (!isClosed(type)) return [];
    const message = `name every case of ${checker.typeToString(type)}, and end with ` +
      `"default: ${expression.getText()} satisfies never", or with what that is the kind of`;
    return [violationAt(node, path, message)];
  });
}

/** The compiler options of `deno.json` that affect the types in our own sources. */
export function compilerOptions(root: string): ts.CompilerOptions {
  return {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    target: ts.ScriptTarget.ESNext,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    allowImportingTsExtensions: true,
    noEmit: true,
    lib: ["lib.esnext.d.ts", "lib.dom.d.ts"],
    types: [],
    paths: { "@arqon/proto": [`${root}proto/mod.ts`] },
  };
}

/** Every such switch of the product. Packages are not read. */
export function checkAllSwitches(sources: Sources): Violation[] {
  const paths = sources.paths.filter(isProduct);
  const options = compilerOptions(ROOT);
  const host = ts.createCompilerHost(options);
  const program = ts.createProgram(paths.map((path) => ROOT + path), options, {
    ...host,
    getSourceFile: (name, ...how) =>
      name.startsWith(ROOT) && !name.includes("/node_modules/")
        ? sources.tree(name.slice(ROOT.length))
        : host.getSourceFile(name, ...how),
  });
  const checker = program.getTypeChecker();
  return paths.flatMap((path) => checkSwitches(path, sources.tree(path), checker));
}
