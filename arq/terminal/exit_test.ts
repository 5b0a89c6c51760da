// Exit code and text for each kind of error. `usage_test.ts` checks that the process ends so.
import assert from "node:assert/strict";
import { ArqonError, errorFromWire } from "@arqon/sdk";
import { asksForJson, CommandError, EXIT, exitCodeOf, explain, explainJson } from "./exit.ts";
import { Interrupted, printable } from "./exit.ts";

Deno.test("an error's exit code shows its kind", () => {
  const cases: [unknown, number][] = [
    [new ArqonError("token-expired"), EXIT.refused],
    [new ArqonError("not-granted"), EXIT.refused],
    [new ArqonError("policy-rejected"), EXIT.policy],
    [errorFromWire({ code: 422, reason: "policy-rejected", message: "not here" }), EXIT.policy],
    [new ArqonError("policy-fault"), EXIT.unreachable],
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
    `arq: ${new ArqonError("unreachable", "ws://x").message} (503 unreachable)\n` +
      "     is the bus running? `arq dev up` starts one; --url names another\n",
  );
  assert.equal(
    explain(new ArqonError("locked", "ann", { retry_after_ms: 11_500 })),
    "arq: The room is locked by ann (409 locked)\n" +
      "     its lease ends in 12 s unless it is renewed; --fence is for its holder\n",
  );
  assert.equal(explain(new Error("a\nb\u001b[2J")), "arq: a\\u000ab\\u001b[2J\n");
  assert.equal(printable("tab\tümlaut"), "tab\\u0009ümlaut");
});

Deno.test("with --json an error is one object: reason of the bus, message, hint, exit code", () => {
  const expired = new ArqonError("token-expired", "an hour ago");
  const answer = { reason: "token-expired", message: expired.message, hint: "renew it", exit: 3 };
  const error = new CommandError(expired.message, EXIT.refused, "renew it", { cause: expired });
  assert.deepEqual(JSON.parse(explainJson(error)), { error: answer });
  assert.ok(explain(error).includes("(401 token-expired)\n     renew it\n"));
  assert.equal(
    explainJson(new Error("a\nb (os error 2): open '/x'")),
    '{"error":{"message":"a\\\\u000ab","exit":1}}\n',
  );
});

Deno.test("all errors are reported, one per line", () => {
  const error = new CommandError("a.toml:1:1 x", EXIT.failure, "mend it", {
    more: ["a.toml:2:1 y", "b\n"],
  });
  assert.equal(
    explain(error),
    "arq: a.toml:1:1 x\n     a.toml:2:1 y\n     b\\u000a\n     mend it\n",
  );
  assert.equal(
    JSON.parse(explainJson(error)).error.message,
    "a.toml:1:1 x; a.toml:2:1 y; b\\u000a",
  );
});

Deno.test("an invalid command line honors --json among its words, before --", () => {
  assert.ok(asksForJson(["sub", "--json"]) && !asksForJson(["pub", "a", "--", "--json"]));
});
