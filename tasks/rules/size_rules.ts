/**
 * The house rules for single files: lengths, names, opening comment, docstrings, swallowed failures, and forbidden
 * words and tests. They use syntax trees and no types.
 */
import ts from "typescript";
import { isGenerated, isTest, isTestCode } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import { checkSilence } from "./silence_rules.ts";
import { sleepProblem } from "./sleep_rules.ts";
import {
  declaredNames,
  isExported,
  lineOf,
  nodesOf,
  parsed,
  type Sources,
  violationAt,
} from "./sources.ts";

/** Maximum number of lines of a file. */
export const FILE_LINES = 600;
/** Maximum number of lines of a function, from its first to its last. */
export const FUNCTION_LINES = 70;

/** Extensions of the checked files: those of every language of manual code. */
export const READ_EXTENSIONS: readonly string[] = [
  ...[".ts", ".js", ".mjs", ".css", ".html", ".proto", ".py", ".sh", ".wat", ".c", ".rs"],
  ...[".md", ".yaml", ".yml", ".toml"],
];

// The words are joined, so that this file passes its own rule.
const FORBIDDEN_WORDS = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME"].join("|")})\\b`);
const VAGUE_NAMES = /^(utils?|helpers?|misc|common)(_test)?$/;

const countLines = (text: string) => text === "" ? 0 : text.replace(/\n$/, "").split("\n").length;

/** The rules for a name: snake_case, and a meaningful name. */
export function checkName(path: string): Violation[] {
  const stem = (path.split("/").at(-1) ?? "").replace(/(\.d)?\.[a-z]+$/, "");
  const violations: Violation[] = [];
  if (!/^[a-z0-9_]+$/.test(stem)) {
    violations.push({ path, line: 0, message: "file names are snake_case" });
  }
  if (path.split("/").some((part) => VAGUE_NAMES.test(part.replace(/\.[a-z]+$/, "")))) {
    violations.push({ path, line: 0, message: "name the file for what it does" });
  }
  return violations;
}

/** The rules for any text file: its length, and words that mark unfinished work. */
export function checkText(path: string, text: string, maxLines: number = FILE_LINES): Violation[] {
  const violations: Violation[] = [];
  const lines = countLines(text);
  if (lines > maxLines) {
    violations.push({ path, line: 0, message: `${lines} lines; at most ${maxLines}` });
  }
  for (const [index, line] of text.split("\n").entries()) {
    const word = FORBIDDEN_WORDS.exec(line)?.[1];
    if (word === undefined) continue;
    violations.push({ path, line: index + 1, message: `"${word}": finish it or open an issue` });
  }
  return violations;
}

/** The rule that a file starts with its description. A `#!` line may precede it. */
function checkOpening(path: string, text: string): Violation[] {
  const body = text.replace(/^#![^\n]*\n/, "").trimStart();
  if (body.startsWith("//") || body.startsWith("/*")) return [];
  return [{ path, line: 1, message: "open the file with a comment: what it is, what it is not" }];
}

function nameOf(node: ts.Node): string {
  const named = node as { name?: ts.Node };
  if (named.name !== undefined && ts.isIdentifier(named.name)) return named.name.text;
  const { parent } = node;
  if (parent !== undefined && ts.isVariableDeclaration(parent) && ts.isIdentifier(parent.name)) {
    return parent.name.text;
  }
  if (parent !== undefined && ts.isCallExpression(parent)) {
    const first = parent.arguments[0];
    if (first !== undefined && ts.isStringLiteralLike(first)) return `"${first.text}"`;
  }
  return "function";
}

function lengthProblem(node: ts.Node): string | undefined {
  if (!ts.isFunctionLike(node) || !("body" in node) || node.body === undefined) return undefined;
  const last = node.getSourceFile().getLineAndCharacterOfPosition(node.getEnd()).line + 1;
  const lines = last - lineOf(node) + 1;
  if (lines <= FUNCTION_LINES) return undefined;
  return `${nameOf(node)} has ${lines} lines; at most ${FUNCTION_LINES}`;
}

/** An object in another saves lines only, and TypeScript does not look for names in it that no type has. */
function spreadProblem(node: ts.Node): string | undefined {
  return ts.isSpreadAssignment(node) && ts.isObjectLiteralExpression(node.expression)
    ? "write the properties without `...{}`"
    : undefined;
}

/** Names that are declared together only to save lines. */
function tupleProblem(node: ts.Node): string | undefined {
  if (!ts.isVariableStatement(node)) return undefined;
  const is_tuple = node.declarationList.declarations.some(({ name, initializer }) =>
    ts.isArrayBindingPattern(name) && initializer !== undefined &&
    ts.isArrayLiteralExpression(initializer) && !initializer.elements.some(ts.isSpreadElement)
  );
  return is_tuple ? "declare each name by itself" : undefined;
}

const WHOLE = ["arq/terminal/whole_file.ts", "arq/terminal/input.ts", "arq/terminal/disk_files.ts"];
const WRITES = /^Deno\.(?:writeTextFile|writeFile|create|link|rename)$|\bfiles\.(?:writer|rename)$/;

/** A file of `arq` that is written under its final name; a killed command would leave a part of it. */
function writeProblem(path: string, node: ts.Node): string | undefined {
  if (!path.startsWith("arq/") || isTestCode(path) || WHOLE.includes(path)) return undefined;
  return ts.isCallExpression(node) && WRITES.test(node.expression.getText())
    ? "write files with `files.write` and `files.create`, `newOutput`, or terminal/whole_file.ts"
    : undefined;
}

const isDocumented = (node: ts.Node) => ts.getJSDocCommentsAndTags(node).some(ts.isJSDoc);

/** The names that `export { a, b }` without `from` exports. */
function listedExports(source: ts.SourceFile): Set<string> {
  const names = source.statements.flatMap((statement) =>
    ts.isExportDeclaration(statement) && statement.moduleSpecifier === undefined &&
      statement.exportClause !== undefined && ts.isNamedExports(statement.exportClause)
      ? statement.exportClause.elements.map((item) => (item.propertyName ?? item.name).text)
      : []
  );
  return new Set(names);
}

function docViolations(path: string, source: ts.SourceFile): Violation[] {
  const listed = listedExports(source);
  const documented = new Set<string>();
  const violations: Violation[] = [];
  for (const statement of source.statements) {
    if (ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement)) continue;
    const names = declaredNames(statement);
    // One docstring is enough for all overloads, and for a type and a constant of the same name.
    if (isDocumented(statement)) names.forEach((name) => documented.add(name));
    const exported = isExported(statement) || names.some((name) => listed.has(name));
    if (!exported || names.every((name) => documented.has(name))) continue;
    violations.push(violationAt(statement, path, `exported ${names.join(", ")} has no docstring`));
  }
  return violations;
}

/** Whether it is `Deno.test.only`, `Deno.test.ignore` or `{ ignore: true }`: every test must run. */
function isSkip(node: ts.Node, in_test: boolean): boolean {
  if (ts.isPropertyAccessExpression(node)) {
    return /^(only|ignore)$/.test(node.name.text) && /\btest$/.test(node.expression.getText());
  }
  return in_test && ts.isPropertyAssignment(node) &&
    /^(only|ignore)$/.test(node.name.getText()) &&
    node.initializer.kind !== ts.SyntaxKind.FalseKeyword;
}

/** The violations of every rule in one TypeScript file. */
export function checkTypeScript(
  path: string,
  text: string,
  source: ts.SourceFile = parsed(path, text),
): Violation[] {
  const in_test = isTest(path);
  const of_tests = isTestCode(path) || path.startsWith("tests/");
  return [
    ...checkName(path),
    ...checkText(path, text),
    ...checkOpening(path, text),
    ...(in_test ? [] : docViolations(path, source)),
    ...nodesOf(source).flatMap((node) => {
      const problems = [
        lengthProblem(node),
        spreadProblem(node),
        tupleProblem(node),
        writeProblem(path, node),
        isSkip(node, in_test) ? "no test is left out or run alone" : undefined,
        of_tests ? sleepProblem(path, node) : undefined,
      ];
      return problems.flatMap((message) =>
        message === undefined ? [] : [violationAt(node, path, message)]
      );
    }),
    ...checkSilence(path, text, () => source),
  ];
}

/** The violations of the house rules in all manual files. */
export function checkSizes(sources: Sources): Violation[] {
  return sources.ending(READ_EXTENSIONS).filter((path) => !isGenerated(path)).flatMap((path) => {
    const text = sources.text(path);
    if (path.endsWith(".ts")) return checkTypeScript(path, text, sources.tree(path));
    if (path.endsWith(".proto")) {
      return [...checkName(path), ...checkText(path, text), ...checkOpening(path, text)];
    }
    return [
      ...checkText(path, text, Infinity),
      ...(path.endsWith(".py") ? checkSilence(path, text) : []),
    ];
  });
}
