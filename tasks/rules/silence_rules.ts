/** The rule for unreported failures, as pure functions: whatever swallows one says in a comment why nobody needs it. */
import ts from "typescript";
import { isTestCode } from "../checkout/source_files.ts";
import type { Violation } from "../checkout/violation.ts";
import { lineOf, nodesOf, parsed, violationAt } from "./sources.ts";

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
