/**
 * The rule for exports, over parsed files. An export must be used by its own file or by a file that is not a test, or
 * be in a package's entry. A value that no other file imports must not be exported; a type may be, since it names a
 * function's parameters. The rule compares names, not types and scopes: an export that only unused code uses is found
 * after that code is deleted.
 */
import ts from "typescript";
import { isProduct, isTestCode } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import { declaredNames, isExported, lineOf, loadedBy, nodesOf } from "./sources.ts";

/** An export that a module declares. */
interface Declared {
  readonly name: string;
  /** Line number, from 1. */
  readonly line: number;
  /** True for an interface or a type; an enum or a class is a value. */
  readonly is_type: boolean;
  /** Whether the module itself uses it. */
  readonly is_used: boolean;
}

interface ModuleNames {
  readonly path: string;
  readonly exported: readonly Declared[];
  /** Names of other modules that it imports, re-exports or loads, by `keyOf`. */
  readonly taken: readonly string[];
}

/** Resolves a specifier of a module to a path below the root; undefined for packages. */
type Resolve = (from: string, specifier: string) => string | undefined;

/** A name of a module; `*` means all of its exports. */
const keyOf = (path: string, name: string) => `${path} ${name}`;

/** Whether a file runs only in tests, so that its imports do not count. */
const isForTests = (path: string) => isTestCode(path) || path.startsWith("tests/");

/** Whether an identifier is a name after a dot, or of a member. */
const isMember = (node: ts.Identifier): boolean => {
  const { parent } = node;
  return (ts.isPropertyAccessExpression(parent) || ts.isPropertyAssignment(parent) ||
    ts.isPropertySignature(parent) || ts.isPropertyDeclaration(parent) ||
    ts.isMethodDeclaration(parent) || ts.isMethodSignature(parent)) && parent.name === node;
};

/** The names that a statement imports from its module. */
function takenBy(statement: ts.Statement): string[] {
  if (ts.isExportDeclaration(statement)) {
    const { exportClause: clause } = statement;
    if (clause === undefined || ts.isNamespaceExport(clause)) return ["*"];
    return clause.elements.map(({ name, propertyName }) => (propertyName ?? name).text);
  }
  if (!ts.isImportDeclaration(statement)) return [];
  const { name, namedBindings } = statement.importClause ?? {};
  const named = namedBindings === undefined
    ? []
    : ts.isNamespaceImport(namedBindings)
    ? ["*"]
    : namedBindings.elements.map(({ name, propertyName }) => (propertyName ?? name).text);
  return name === undefined ? named : ["default", ...named];
}

/** The names of one module. */
export function namesOf(path: string, source: ts.SourceFile, resolve: Resolve): ModuleNames {
  const nodes = nodesOf(source);
  const to = (node: ts.Node | undefined) =>
    node && ts.isStringLiteral(node) ? resolve(path, node.text) : undefined;
  const counts = Map.groupBy(
    nodes.filter(ts.isIdentifier).filter((node) => !isMember(node)),
    ({ text }) => text,
  );
  const exported = source.statements.filter(isExported).flatMap((statement) => {
    const is_type = ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement);
    return declaredNames(statement).map((name) => {
      const is_used = (counts.get(name)?.length ?? 0) > 1;
      return { name, line: lineOf(statement), is_type, is_used };
    });
  });
  const named = source.statements.flatMap((statement) => {
    const target = to((statement as { moduleSpecifier?: ts.Expression }).moduleSpecifier);
    return target === undefined ? [] : takenBy(statement).map((name) => keyOf(target, name));
  });
  const loaded = nodes.flatMap((node) => to(loadedBy(node)?.[0]) ?? []);
  return { path, exported, taken: [...named, ...loaded.map((target) => keyOf(target, "*"))] };
}

/** Every unused export. `entries` are modules whose exports a package publishes. */
export function checkExports(
  modules: readonly ModuleNames[],
  entries: readonly string[],
): Violation[] {
  const takenIn = (all: readonly ModuleNames[]) => new Set(all.flatMap(({ taken }) => taken));
  const by_any = takenIn(modules);
  const users = modules.filter(({ path }) => !isForTests(path));
  // Benchmarks start their servers as tests do: their imports of tests/ count.
  const started = new Set([...takenIn(users)].map((key) => key.split(" ", 1)[0]));
  const by_users = takenIn([...users, ...modules.filter(({ path }) => started.has(path))]);
  const problemOf = (path: string, { name, is_type, is_used }: Declared): string | undefined => {
    const isTaken = (taken: ReadonlySet<string>) =>
      taken.has(keyOf(path, name)) || taken.has(keyOf(path, "*"));
    if (entries.includes(path) || isTaken(by_users)) return undefined;
    if (!is_used) {
      return `nothing that users run needs ${name}: take it away, or move it to what tests it`;
    }
    if (is_type || isTaken(by_any)) return undefined;
    return `no other file imports ${name}: do not export it`;
  };
  return modules.filter(({ path }) => isProduct(path)).flatMap(({ path, exported }) =>
    exported.flatMap((one) => {
      const message = problemOf(path, one);
      return message === undefined ? [] : [{ path, line: one.line, message }];
    })
  );
}
