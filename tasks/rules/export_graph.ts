/**
 * The graph of declarations, as pure functions over parsed files: the names that a module declares, imports
 * and exports, and which of them each declaration uses. It looks only at names, not at types and scopes, so a
 * local name that hides an imported one counts as a use of that one.
 */
import ts from "typescript";
import type { Import } from "./layer_rules.ts";
import { isExported, lineOf, nodesOf } from "./sources.ts";

/** One declaration at the top of a module. */
export interface Declaration {
  readonly name: string;
  /** Line number, from 1. */
  readonly line: number;
  readonly is_exported: boolean;
  /** True for an interface or a type; an enum or a class is a value. */
  readonly is_type: boolean;
  /** Names that the declaration uses. */
  readonly uses: ReadonlySet<string>;
}

/** A name in another module; `*` means everything that the module exports. */
export interface Target {
  readonly path: string;
  readonly name: string;
}

/** One module, as far as its exports matter. */
export interface ModuleGraph {
  readonly path: string;
  readonly declarations: readonly Declaration[];
  /** The imports by their local names. */
  readonly imports: ReadonlyMap<string, Target>;
  /**
   * Names from `export … from` and `export { a as b }`, by their exported name; `*`: all names of those
   * modules.
   */
  readonly passed_on: ReadonlyMap<string, Target>;
  readonly passed_on_whole: readonly string[];
  /** Names that the module uses while it is loaded. */
  readonly acts: ReadonlySet<string>;
  /** Modules that it loads while it runs. */
  readonly loads: readonly string[];
}

/** Resolves a specifier of a module to a path below the root; undefined for packages. */
export type Resolve = (from: string, specifier: string) => string | undefined;

const isName = ({ parent }: ts.Node, node: ts.Identifier): boolean =>
  (ts.isPropertyAccessExpression(parent) || ts.isPropertyAssignment(parent) ||
    ts.isPropertySignature(parent) || ts.isPropertyDeclaration(parent) ||
    ts.isMethodDeclaration(parent) || ts.isMethodSignature(parent)) && parent.name === node;

/** The names that a node uses. A name after a dot and the name of a member do not count. */
function usesOf(root: ts.Node): Set<string> {
  const names = nodesOf(root).slice(1).filter(ts.isIdentifier).filter((node) =>
    !isName(node, node)
  );
  return new Set(names.map(({ text }) => text));
}

function namesIn(name: ts.BindingName): string[] {
  if (ts.isIdentifier(name)) return [name.text];
  return name.elements.flatMap((one) => ts.isBindingElement(one) ? namesIn(one.name) : []);
}

function declarationsOf(statement: ts.Statement): Declaration[] {
  const is_exported = isExported(statement);
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.flatMap((one) =>
      namesIn(one.name).map((name) => {
        return { name, line: lineOf(one), is_exported, is_type: false, uses: usesOf(one) };
      })
    );
  }
  const is_type = ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement);
  const is_value = ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement) ||
    ts.isEnumDeclaration(statement);
  if ((!is_type && !is_value) || statement.name === undefined) return [];
  const { text: name } = statement.name;
  const uses = usesOf(statement);
  return [{ name, line: lineOf(statement), is_exported, is_type, uses }];
}

function importsOf(
  { importClause }: ts.ImportDeclaration,
  path: string,
): [name: string, target: Target][] {
  if (importClause === undefined) return [];
  const { name, namedBindings } = importClause;
  const found: [string, Target][] = name ? [[name.text, { path, name: "default" }]] : [];
  if (namedBindings === undefined) return found;
  if (ts.isNamespaceImport(namedBindings)) {
    return [...found, [namedBindings.name.text, { path, name: "*" }]];
  }
  for (const { name, propertyName } of namedBindings.elements) {
    found.push([name.text, { path, name: (propertyName ?? name).text }]);
  }
  return found;
}

/** What a module loads while it runs, `import("./x.ts")`, also as a type: the specifier, and whether it is a type. */
function loadedBy(node: ts.Node): [specifier: ts.Node | undefined, is_type: boolean] | undefined {
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    return [node.argument.literal, true];
  }
  const is_import = ts.isCallExpression(node) &&
    node.expression.kind === ts.SyntaxKind.ImportKeyword;
  return is_import ? [node.arguments[0], false] : undefined;
}

function importedBy(node: ts.Node): ReturnType<typeof loadedBy> {
  if (ts.isImportDeclaration(node)) {
    return [node.moduleSpecifier, node.importClause?.isTypeOnly === true];
  }
  if (ts.isExportDeclaration(node)) return [node.moduleSpecifier, node.isTypeOnly];
  return loadedBy(node);
}

/** Every import of a module as it is written; `target` says where a specifier leads. */
export function importsIn(
  source: ts.SourceFile,
  target: (specifier: string) => string,
): Import[] {
  return nodesOf(source).flatMap((node) => {
    const [written, is_type = false] = importedBy(node) ?? [];
    if (written === undefined || !ts.isStringLiteral(written)) return [];
    const { text: specifier } = written;
    return [{ specifier, target: target(specifier), line: lineOf(written), is_type }];
  });
}

/** The graph of one module. */
export function graphOf(path: string, source: ts.SourceFile, resolve: Resolve): ModuleGraph {
  const to = (node: ts.Node | undefined) =>
    node && ts.isStringLiteral(node) ? resolve(path, node.text) : undefined;
  const declarations: Declaration[] = [];
  const imports = new Map<string, Target>();
  const passed_on = new Map<string, Target>();
  const passed_on_whole: string[] = [];
  const acts = new Set<string>();
  for (const statement of source.statements) {
    const found = declarationsOf(statement);
    declarations.push(...found);
    if (found.length > 0) continue;
    if (ts.isImportDeclaration(statement)) {
      const target = to(statement.moduleSpecifier);
      if (target === undefined) continue;
      for (const [name, from] of importsOf(statement, target)) imports.set(name, from);
    } else if (ts.isExportDeclaration(statement)) {
      const { exportClause: clause, moduleSpecifier } = statement;
      const target = moduleSpecifier === undefined ? path : to(moduleSpecifier);
      if (target === undefined) continue;
      if (clause === undefined) passed_on_whole.push(target);
      else if (ts.isNamespaceExport(clause)) {
        passed_on.set(clause.name.text, { path: target, name: "*" });
      } else {
        for (const { name, propertyName } of clause.elements) {
          passed_on.set(name.text, { path: target, name: (propertyName ?? name).text });
        }
      }
    } else for (const name of usesOf(statement)) acts.add(name);
  }
  const loads = nodesOf(source).flatMap((node) => {
    const [loaded] = loadedBy(node) ?? [];
    return loaded === undefined ? [] : to(loaded) ?? [];
  });
  return { path, declarations, imports, passed_on, passed_on_whole, acts, loads };
}
