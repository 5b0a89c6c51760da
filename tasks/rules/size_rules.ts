/**
 * The house rules for single files: lengths, names, opening comment, docstrings, and forbidden words and tests;
 * failures that are swallowed without a reason; and sleeps in tests. They use syntax trees and no types.
 */
import ts from "typescript";
import { isGenerated, isTest, isTestCode } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import { declaredNames, isExported, lineOf, nodesOf, parsed, violationAt } from "./sources.ts";
import type { Sources } from "./sources.ts";

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

// Sleeps in test code: no loop waits for a time. `until` of `shared/testing/until.ts` waits for an event and names it;
// a load marks its pause with `pace` of `shared/testing/pace.ts`. The rule recognises sleeps by their form, not
// functions with another name. The log of a process arrives through a pipe, so no test may check it just once for an
// expected text. The equivalent for Python is ruff's ASYNC110.

/** The only file that may create a sleep from a timer. */
const PACE = "shared/testing/pace.ts";

const WAIT = "wait for the event with `until` of shared/testing/until.ts";
const IN_LOOP = `a sleep in a loop: ${WAIT}; the pause of a load is \`pace\` of ${PACE}`;
const ALIAS = `use \`pace\` or \`turn\` of ${PACE}`;
const POLLS = `a loop that only pauses: ${WAIT}`;
const LOG =
  "a look at the log of a process that may still write: `await logged` of tests/harness/server_state.ts";

/** Whether it is `new Promise((resolve) => setTimeout(resolve, …))`. */
function isSleep(node: ts.Node): boolean {
  if (!ts.isNewExpression(node) || node.expression.getText() !== "Promise") return false;
  const [executor] = node.arguments ?? [];
  if (executor === undefined || !ts.isArrowFunction(executor)) return false;
  const resolve = executor.parameters[0]?.name.getText();
  const body = onlyExpression(executor.body);
  if (!body || !ts.isCallExpression(body) || body.expression.getText() !== "setTimeout") {
    return false;
  }
  return body.arguments[0]?.getText().replace(/^\(\) => (\w+)\(.*\)$/, "$1") === resolve;
}

/** The single expression of a body, without `return` and `await`. */
function onlyExpression(body: ts.Node): ts.Node | undefined {
  if (ts.isBlock(body)) {
    const [only, ...more] = body.statements;
    return only === undefined || more.length > 0 ? undefined : onlyExpression(only);
  }
  if (ts.isExpressionStatement(body) || ts.isReturnStatement(body)) {
    return body.expression && onlyExpression(body.expression);
  }
  return ts.isAwaitExpression(body) ? body.expression : body;
}

/** The loop or otherwise the function around a node. */
function around(node: ts.Node): ts.Node | undefined {
  let outer = node.parent;
  while (
    outer !== undefined && !ts.isFunctionLike(outer) && !ts.isIterationStatement(outer, false)
  ) {
    outer = outer.parent;
  }
  return outer;
}

/** Whether a loop has no count, and its body is only a pause. */
function isPolling(node: ts.Node): boolean {
  if (!ts.isWhileStatement(node) && !ts.isDoStatement(node) && !ts.isForStatement(node)) {
    return false;
  }
  if (ts.isForStatement(node) && node.incrementor !== undefined) return false;
  const only = onlyExpression(node.statement);
  return only !== undefined && ts.isCallExpression(only) &&
    /^(pace|turn)$/.test(only.expression.getText());
}

/** Whether it is `assert.match(process.log(), …)`. */
function isLookAtLog(node: ts.Node): boolean {
  if (!ts.isCallExpression(node) || node.expression.getText() !== "assert.match") return false;
  return /^\w+\.log\(\)$/.test(node.arguments[0]?.getText() ?? "");
}

/** The problem with a node that waits in a test file; undefined if there is none. */
export function sleepProblem(path: string, node: ts.Node): string | undefined {
  if (path === PACE) return undefined;
  if (isPolling(node)) return POLLS;
  // Outside of tests/ a log is that of the test's own process.
  if (path.startsWith("tests/") && isLookAtLog(node)) return LOG;
  if (!isSleep(node)) return undefined;
  const outer = around(node);
  if (outer === undefined) return undefined;
  if (ts.isIterationStatement(outer, false)) return IN_LOOP;
  const is_alias = "body" in outer && onlyExpression(outer.body as ts.Node) === node;
  return is_alias ? ALIAS : undefined;
}

/** The folders in which an unreported failure affects the product. */
const PRODUCT = /^(arq|brain|proto|sdk|shared|shield|wasm)\//;
const WHY = "a failure is swallowed: log it at warn, or say in a comment here why nobody needs it";
const CONSTANT = /^(undefined|null|true|false|\d+|"[^"]*"|\[\]|\(\{[^]*\}\))( as .+)?$/;

/** Whether a handler of a failure reports nothing: it is empty, or only returns a constant. */
function isDeaf(handler: ts.Node | undefined): boolean {
  if (handler === undefined || !ts.isArrowFunction(handler)) return false;
  const { body, parameters: [error] } = handler;
  if (ts.isBlock(body)) return body.statements.length === 0;
  return (error?.name.getText() ?? "_").startsWith("_") && CONSTANT.test(body.getText());
}

function isSwallow(node: ts.Node): boolean {
  if (ts.isCatchClause(node)) return node.block.statements.length === 0;
  if (!ts.isCallExpression(node) || !ts.isPropertyAccessExpression(node.expression)) return false;
  const [first, second] = node.arguments;
  switch (node.expression.name.text) {
    case "catch":
      return isDeaf(first);
    case "then":
      return isDeaf(second);
    case "on":
      return first?.getText() === '"error"' && isDeaf(second);
    case "allSettled":
      return ts.isAwaitExpression(node.parent) && ts.isExpressionStatement(node.parent.parent);
    case "debug":
      return node.arguments.some((one) => /\berror\b/.test(one.getText()));
    default:
      return false;
  }
}

/** Whether a comment is directly above its statement, or within that up to the end of the node. */
function hasReason(node: ts.Node, lines: readonly string[]): boolean {
  let around = node;
  while (!ts.isCatchClause(around) && !ts.isStatement(around) && !ts.isClassElement(around)) {
    around = around.parent;
  }
  const above = lineOf(around) - (ts.isCatchClause(around) ? 1 : 2);
  const end = node.getSourceFile().getLineAndCharacterOfPosition(node.getEnd()).line;
  return lines.slice(Math.max(0, above), end + 1).some((line) => /(^|\s)\/\/ /.test(line));
}

const IN_PYTHON = /^ *except\b[^#\n]*:\n *pass$|(?<!#.*\n)^ *with contextlib\.suppress[^#\n]*$/gm;

/** Every silently swallowed failure of a product file in TypeScript or Python. */
export function checkSilence(
  path: string,
  text: string,
  tree: () => ts.SourceFile = () => parsed(path, text),
): Violation[] {
  if (!PRODUCT.test(path) || isTestCode(path) || path.includes("/tests/")) return [];
  if (path.endsWith(".py")) {
    return Array.from(text.matchAll(IN_PYTHON), ({ index }) => (
      { path, line: text.slice(0, index).split("\n").length, message: WHY }
    ));
  }
  const lines = text.split("\n");
  return nodesOf(tree()).filter((node) => isSwallow(node) && !hasReason(node, lines))
    .map((node) => violationAt(node, path, WHY));
}
