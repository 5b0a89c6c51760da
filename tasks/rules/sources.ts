/**
 * The files of the checkout for the rules: each is read once, and each TypeScript file is parsed once. Also the
 * traversal of a syntax tree, and the imports of a module.
 */
import ts from "typescript";
import { ROOT } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import type { Import } from "./layer_rules.ts";

/** The syntax tree of a text. */
export function parsed(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true, ts.ScriptKind.TS);
}

/** A node and all of its descendants, breadth first. */
export function nodesOf(root: ts.Node): ts.Node[] {
  const found = [root];
  for (const node of found) ts.forEachChild(node, (child) => void found.push(child));
  return found;
}

/** The line on which a node begins, from 1. */
export function lineOf(node: ts.Node): number {
  const source = node.getSourceFile();
  return source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1;
}

/** A violation at a node. */
export function violationAt(node: ts.Node, path: string, message: string): Violation {
  return { path, line: lineOf(node), message };
}

/** Whether a statement begins with `export`. */
export function isExported(statement: ts.Statement): boolean {
  return ts.canHaveModifiers(statement) &&
    (ts.getModifiers(statement) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);
}

function namesIn(name: ts.BindingName): string[] {
  if (ts.isIdentifier(name)) return [name.text];
  return name.elements.flatMap((one) => ts.isBindingElement(one) ? namesIn(one.name) : []);
}

/** The names that a statement declares. */
export function declaredNames(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.flatMap(({ name }) => namesIn(name));
  }
  const { name } = statement as { name?: ts.Identifier };
  return name === undefined ? [] : [name.text];
}

/** A dynamic import of a module, `import("./x.ts")`, also as a type: the specifier, and whether it is a type. */
export function loadedBy(
  node: ts.Node,
): [specifier: ts.Node | undefined, is_type: boolean] | undefined {
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

/** Every import of a module as written; `target` resolves a specifier. */
export function importsIn(source: ts.SourceFile, target: (specifier: string) => string): Import[] {
  return nodesOf(source).flatMap((node) => {
    const [written, is_type = false] = importedBy(node) ?? [];
    if (written === undefined || !ts.isStringLiteral(written)) return [];
    const { text: specifier } = written;
    return [{ specifier, target: target(specifier), line: lineOf(written), is_type }];
  });
}

/** The files of the checkout, below its root. */
export class Sources {
  readonly paths: readonly string[];
  readonly #texts = new Map<string, string>();
  readonly #trees = new Map<string, ts.SourceFile>();

  constructor(paths: readonly string[]) {
    this.paths = paths;
  }

  ending(extensions: readonly string[]): string[] {
    return this.paths.filter((path) => extensions.some((end) => path.endsWith(end)));
  }

  text(path: string): string {
    let text = this.#texts.get(path);
    if (text === undefined) this.#texts.set(path, text = Deno.readTextFileSync(ROOT + path));
    return text;
  }

  json(path: string) {
    return JSON.parse(this.text(path));
  }

  /** The tree of a TypeScript file; its name is the whole path. */
  tree(path: string): ts.SourceFile {
    let tree = this.#trees.get(path);
    if (tree === undefined) this.#trees.set(path, tree = parsed(ROOT + path, this.text(path)));
    return tree;
  }
}
