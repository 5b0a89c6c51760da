/**
 * The rule for sleeps in test code, as pure functions over texts: no loop waits for a time. `until` of
 * `shared/testing/until.ts` waits for an event and says for which; a load says by `pace` of `shared/testing/pace.ts`
 * that its pause is one. Knows sleeps by their form, and not what a function of another name does. The log of a process
 * comes by a pipe, so that no test looks at it just once for what must be there.
 */
import ts from "typescript";
import type { Violation } from "../checkout/violation.ts";

/** The one file that makes a sleep of a timer. */
const PACE = "shared/testing/pace.ts";

const WAIT = "wait for the event with `until` of shared/testing/until.ts";
const IN_LOOP = `a sleep in a loop: ${WAIT}; the pause of a load is \`pace\` of ${PACE}`;
const ALIAS = `use \`pace\` or \`turn\` of ${PACE}`;
const POLLS = `a loop that only pauses: ${WAIT}`;
const LOG =
  "a look at the log of a process that may still write: `await logged` of tests/harness/server_state.ts";
const PYTHON_WAIT = "wait for the event with `until` of sdk/python/tests/waits.py";
const PYTHON_IN_LOOP = `a sleep in a loop: ${PYTHON_WAIT}; the pause of a load is \`pace\` of it`;
const PYTHON_POLLS = `a loop that only pauses: ${PYTHON_WAIT}`;

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

/** The one expression of which a body consists, without `return` and `await`. */
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

/** The loop or else the function around a node. */
function around(node: ts.Node): ts.Node | undefined {
  let outer = node.parent;
  while (
    outer !== undefined && !ts.isFunctionLike(outer) && !ts.isIterationStatement(outer, false)
  ) {
    outer = outer.parent;
  }
  return outer;
}

/** Whether a loop has no count, and its body is a pause. */
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

/** What is wrong with a node of a file of tests that waits; undefined when nothing is. */
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

const indentOf = (line: string) => line.length - line.trimStart().length;

/** The line of the loop around line `at` of a Python text, within its function; undefined without one. */
function pythonLoop(lines: readonly string[], at: number): number | undefined {
  let indent = indentOf(lines[at] ?? "");
  for (let above = at - 1; above >= 0; above--) {
    const line = lines[above] ?? "";
    if (line.trim() === "" || indentOf(line) >= indent) continue;
    indent = indentOf(line);
    if (/^\s*(async )?def /.test(line)) return undefined;
    if (/^\s*(while|(async )?for) /.test(line)) return above;
  }
  return undefined;
}

/** Every such wait of a Python text, where `asyncio.sleep(0)` is a turn of the event loop. */
export function checkPythonSleeps(path: string, text: string): Violation[] {
  const lines = text.split("\n");
  return lines.flatMap((line, index) => {
    const [, seconds] = /\b(?:asyncio|time)\.sleep\(([^)]*)/.exec(line) ?? [];
    if (seconds === undefined) return [];
    const loop = pythonLoop(lines, index);
    if (loop === undefined) return [];
    if (seconds !== "0") return [{ path, line: index + 1, message: PYTHON_IN_LOOP }];
    const next = lines.slice(index + 1).find((one) => one.trim() !== "") ?? "";
    const is_only = loop === index - 1 && indentOf(next) < indentOf(line);
    const polls = is_only && /^\s*while /.test(lines[loop] ?? "");
    return polls ? [{ path, line: index + 1, message: PYTHON_POLLS }] : [];
  });
}
