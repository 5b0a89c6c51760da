/**
 * The rule for switches, as a pure function over a program of the TypeScript compiler: a switch over a closed
 * union must not compile when a case is left out. The types of packages are not read, so a type from there is
 * `any` and no closed union. `switches.ts` makes the program.
 */
import ts from "typescript";
import type { Violation } from "../checkout/violation.ts";

/** The `satisfies never` in the default of a switch; undefined when it has none. */
export function neverDefault(node: ts.SwitchStatement): ts.SatisfiesExpression | undefined {
  const clause = node.caseBlock.clauses.find(ts.isDefaultClause);
  let found: ts.SatisfiesExpression | undefined;
  const visit = (part: ts.Node): void => {
    if (ts.isSatisfiesExpression(part) && part.type.kind === ts.SyntaxKind.NeverKeyword) {
      found = part;
    } else ts.forEachChild(part, visit);
  };
  if (clause !== undefined) ts.forEachChild(clause, visit);
  return found;
}

/** All switches of a file, in the order of the text. */
export function switchesOf(source: ts.SourceFile): ts.SwitchStatement[] {
  const found: ts.SwitchStatement[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isSwitchStatement(node)) found.push(node);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
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
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
    const message = `name every case of ${checker.typeToString(type)}, and end with ` +
      `"default: ${expression.getText(source)} satisfies never", or with what that is the kind of`;
    return [{ path, line: line + 1, message }];
  });
}

/** The compiler options of `deno.json` that matter for the types in our own sources. */
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
