/**
 * The house rules for one TypeScript file, as a pure function over its text: lengths, opening comment,
 * docstrings, and words and tests that must not be there. It parses with the TypeScript compiler and looks at
 * no types; `sizes.ts` reads the files.
 */
import ts from "typescript";
import { isTest, isTestCode } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import { checkSleeps } from "./sleep_rules.ts";

/** Where a failure that nobody learns of is one of the product. */
const PRODUCT = /^(arq|brain|shared|shield)\//;

/** Most lines of a file. */
export const FILE_LINES = 600;
/** Most lines of a function, from its first to its last. */
export const FUNCTION_LINES = 70;

/** Extensions of the files that are read: those of every language in which we write by hand. */
export const READ_EXTENSIONS: readonly string[] = [
  ...[".ts", ".js", ".mjs", ".css", ".html", ".proto", ".py", ".sh", ".wat", ".c", ".rs"],
  ...[".md", ".yaml", ".yml", ".toml"],
];

// The words are joined, so that this file passes its own rule.
const FORBIDDEN_WORDS = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME"].join("|")})\\b`);
const VAGUE_NAMES = /^(utils?|helpers?|misc|common)(_test)?$/;

const countLines = (text: string) => text === "" ? 0 : text.replace(/\n$/, "").split("\n").length;

/** The rules for a name alone: snake_case, and a name that says what is inside. */
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

/** The rule that a file first says what it is. A `#!` line may come before that. */
export function checkOpening(path: string, text: string): Violation[] {
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

function functionViolations(path: string, source: ts.SourceFile): Violation[] {
  const violations: Violation[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined) {
      const first = source.getLineAndCharacterOfPosition(node.getStart(source)).line;
      const last = source.getLineAndCharacterOfPosition(node.getEnd()).line;
      const lines = last - first + 1;
      if (lines > FUNCTION_LINES) {
        const message = `${nameOf(node)} has ${lines} lines; at most ${FUNCTION_LINES}`;
        violations.push({ path, line: first + 1, message });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return violations;
}

const isDocumented = (node: ts.Node) => ts.getJSDocCommentsAndTags(node).some(ts.isJSDoc);

function isExported(statement: ts.Statement): boolean {
  return ts.canHaveModifiers(statement) &&
    (ts.getModifiers(statement) ?? []).some((item) => item.kind === ts.SyntaxKind.ExportKeyword);
}

function declaredNames(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map((item) => item.name.getText());
  }
  const { name } = statement as { name?: ts.Node };
  return name === undefined ? [] : [name.getText()];
}

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
    const { line } = source.getLineAndCharacterOfPosition(statement.getStart(source));
    const message = `exported ${names.join(", ")} has no docstring`;
    violations.push({ path, line: line + 1, message });
  }
  return violations;
}

/**
 * The violations of `Deno.test.only`, `Deno.test.ignore` and `{ ignore: true }`: a test runs or is not there.
 */
function skipViolations(path: string, source: ts.SourceFile): Violation[] {
  const violations: Violation[] = [];
  const report = (node: ts.Node) => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
    violations.push({ path, line: line + 1, message: "no test is left out or run alone" });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node) && /^(only|ignore)$/.test(node.name.text)) {
      if (/\btest$/.test(node.expression.getText(source))) report(node);
    }
    if (ts.isPropertyAssignment(node) && /^(only|ignore)$/.test(node.name.getText(source))) {
      if (node.initializer.kind !== ts.SyntaxKind.FalseKeyword && isTest(path)) report(node);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return violations;
}

/** The violations of every rule in one TypeScript file. */
export function checkTypeScript(path: string, text: string): Violation[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true, ts.ScriptKind.TS);
  return [
    ...checkName(path),
    ...checkText(path, text),
    ...checkOpening(path, text),
    ...functionViolations(path, source),
    ...(isTest(path) ? [] : docViolations(path, source)),
    ...skipViolations(path, source),
    ...(isTestCode(path) || path.startsWith("tests/") ? checkSleeps(path, source) : []),
    ...(isTestCode(path) || !PRODUCT.test(path) ? [] : checkSilence(path, text)),
  ];
}

const NOTHING = String.raw`\(\) => (\{\}|undefined|null|false|0|""|\[\])\)`;
const SWALLOWS = new RegExp(
  String.raw`\.catch\(${NOTHING}|\.then\(\w+, ${NOTHING}|\.debug\(.*\berror\b`,
);
const COMMENT = /(^|\s)\/\/|^\s*\/?\*/;
const LINES_ABOVE = 2;
const WHY = "a failure is swallowed: log it at warn, or say above why nobody needs to know";

/** Every failure of a product's file that is swallowed silently. */
export function checkSilence(path: string, text: string): Violation[] {
  const lines = text.split("\n");
  return lines.flatMap((line, at) => {
    const near = lines.slice(Math.max(0, at - LINES_ABOVE), at + 1);
    if (!SWALLOWS.test(line) || near.some((one) => COMMENT.test(one))) return [];
    return [{ path, line: at + 1, message: WHY }];
  });
}
