/**
 * The rule for sleeps in test code, as pure functions over texts: no loop waits for a time. `until` of
 * `shared/testing/until.ts` waits for an event and names it; a load marks its pause with `pace` of
 * `shared/testing/pace.ts`. The rule recognises sleeps by their form, not functions with another name. The log of a
 * process arrives through a pipe, so no test may check it just once for an expected text. The equivalent for Python is
 * ruff's ASYNC110.
 */
import ts from "typescript";

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
