/**
 * The files of the checkout as the rules see them: each is read once, and each of TypeScript is parsed once. Here is
 * also how a rule walks over a syntax tree.
 */
import ts from "typescript";
import { ROOT } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";

/** The syntax tree of a text. */
export function parsed(path: string, text: string): ts.SourceFile {
  return ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true, ts.ScriptKind.TS);
}

/** A node and all nodes below it, those that are nearer first. */
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

/** The files of the checkout, below its root. */
export class Sources {
  readonly paths: readonly string[];
  readonly #texts = new Map<string, string>();
  readonly #trees = new Map<string, ts.SourceFile>();

  constructor(paths: readonly string[]) {
    this.paths = paths;
  }

  /** The paths that end so. */
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

  /** The tree of a file of TypeScript; its name is the whole path. */
  tree(path: string): ts.SourceFile {
    let tree = this.#trees.get(path);
    if (tree === undefined) this.#trees.set(path, tree = parsed(ROOT + path, this.text(path)));
    return tree;
  }
}
