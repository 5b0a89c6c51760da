/**
 * The rule on switches, as a pure function over a program of the TypeScript compiler: where a closed
 * union is taken apart, a case that is left out does not compile. Types of packages are not read:
 * what is `any` is no closed union here. `switches.ts` makes the program.
 */
import ts from "typescript";
import type { Violation } from "../checkout/violation.ts";

/** The default that leaves no member of a union over; undefined when a switch has none. */
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

/** Every switch of a file, in the order of the text. */
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

/** Whether all values of a type are known by name: literals or members of an enum, two at least. */
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

/** What `deno.json` asks of the compiler, as far as it bears on the types of our own sources. */
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
