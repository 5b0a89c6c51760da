/** The verdict of a long task in words and as an exit code: what is wrong outdoes what nobody could say. */
import assert from "node:assert/strict";
import { codeOf, renderVerdict } from "./verdict.ts";

Deno.test("a run without a problem has passed", () => {
  assert.equal(renderVerdict({ problems: [] }), "PASSED");
  assert.equal(codeOf({ problems: [], undecided: [] }), 0);
  // The logs are removed then.
  assert.equal(renderVerdict({ problems: [], seed: 0, dir: "/tmp/logs" }), "PASSED, seed 0");
});

Deno.test("a run with problems has failed, and says them, how to run it again and where to look", () => {
  const verdict = { problems: ["one", "two"], seed: 7, dir: "/tmp/logs" };
  assert.equal(
    renderVerdict(verdict),
    "FAILED: 2 wrong, seed 7, logs in /tmp/logs\n- one\n- two",
  );
  assert.equal(codeOf(verdict), 1);
});

Deno.test("what could not be judged is neither, unless something else is wrong", () => {
  const undecided = ["nobody led a stream"];
  const verdict = { problems: [], undecided, seed: 7, dir: "/tmp/logs" };
  assert.equal(
    renderVerdict(verdict),
    "UNDECIDED, seed 7, logs in /tmp/logs\n- nobody led a stream",
  );
  assert.equal(codeOf(verdict), 3);
  const both = { problems: ["one"], undecided };
  assert.equal(renderVerdict(both), "FAILED: 1 wrong\n- one\n- nobody led a stream");
  assert.equal(codeOf(both), 1);
});

Deno.test("of very many problems the first are listed, and all are counted", () => {
  const problems = Array.from({ length: 203 }, (_, index) => `problem ${index}`);
  const lines = renderVerdict({ problems }).split("\n");
  assert.equal(lines[0], "FAILED: 203 wrong");
  assert.equal(lines.length, 202);
  assert.equal(lines.at(-1), "- and 3 more");
});
