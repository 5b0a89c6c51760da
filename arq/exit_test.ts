// What each kind of error becomes: exit code and words. That the process ends so is in `usage_test.ts`.
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/sdk";
import { CommandError, EXIT, exitCodeOf, explain, Interrupted, printable } from "./exit.ts";

Deno.test("an error's exit code says what kind of trouble it is", () => {
  const cases: [unknown, number][] = [
    [new ArqonError("token-expired"), EXIT.refused],
    [new ArqonError("policy-rejected"), EXIT.refused],
    [new ArqonError("unreachable", "x"), EXIT.unreachable],
    [new ArqonError("spine-unavailable", "x"), EXIT.unreachable],
    [new ArqonError("answer-timeout", "5"), EXIT.unreachable],
    [new ArqonError("version-conflict", "3"), EXIT.failure],
    [new CommandError("x", EXIT.usage), EXIT.usage],
    [new Interrupted(130), 130],
    [new Deno.errors.BrokenPipe("x"), EXIT.ok],
    [new Error("bug"), EXIT.failure],
    ["text", EXIT.failure],
  ];
  for (const [error, code] of cases) assert.equal(exitCodeOf(error), code, String(error));
});

Deno.test("an explanation is one line and a hint, without stack or control characters", () => {
  assert.equal(
    explain(new ArqonError("unreachable", "ws://x")),
    "arq: Cannot reach ws://x (503 unreachable)\n" +
      "     is the bus running? `deno task dev` starts one; --url names another\n",
  );
  assert.equal(
    explain(new ArqonError("locked", "ann", { retry_after_ms: 11_500 })),
    "arq: The room is locked by ann (409 locked)\n" +
      "     its lease ends in 12 s unless it is renewed; --fence is for who holds it\n",
  );
  assert.equal(explain(new Error("a\nb\u001b[2J")), "arq: a\\u000ab\\u001b[2J\n");
  assert.equal(printable("tab\tümlaut"), "tab\\u0009ümlaut");
});
