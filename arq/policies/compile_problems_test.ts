// Real output of the compiler, parsed into problems; `policy_local_test.ts` runs the compiler.
import assert from "node:assert/strict";
import { compileProblems } from "../commands/policy/policy_build.ts";

const FOLDERS = { policy: "policies/", sdk: "/checkout/sdk/" };

Deno.test("every problem has its place in the author's file, and the line", () => {
  const text = [
    "ERROR TS2339: Property 'texts' does not exist on type 'sdk/request/Message'.",
    "   :",
    " 2 │ onMessage((m) => m.texts.length);",
    "   │                    ~~~~~",
    "   └─ in policy/parts/p.ts(2,20)",
    "",
    "ERROR TS2300: Duplicate identifier 'x'.",
    "   :",
    " 4 │ const x = 1;",
    "   │       ^",
    "   └─ in sdk/mod.ts(4,7)",
    "   :",
    " 3 │ const x = 2;",
    "   │       ^",
    "   └─ in policy/p.ts(3,7)",
    "",
    "FAILURE 2 compile error(s)",
  ].join("\n");
  assert.deepEqual(compileProblems(text, FOLDERS), [
    {
      file: "policies/parts/p.ts",
      line: 2,
      column: 20,
      code: "TS2339",
      message: "Property 'texts' does not exist on type 'sdk/request/Message'.",
      excerpt: " 2 │ onMessage((m) => m.texts.length);\n   │                    ~~~~~",
    },
    {
      file: "/checkout/sdk/mod.ts",
      line: 4,
      column: 7,
      code: "TS2300",
      message: "Duplicate identifier 'x'.",
      excerpt: " 4 │ const x = 1;\n   │       ^",
    },
  ]);
});

Deno.test("a missing file is named, and one outside is refused with what may be imported", () => {
  const problem = (path: string) =>
    compileProblems(
      `ERROR TS6054: File '${path}' not found.\n   :\n 1 │ x\n   └─ in policy/p.ts(1,19)`,
      FOLDERS,
    )[0]?.message;
  assert.equal(problem("policy/q.ts"), "File 'policies/q.ts' not found.");
  assert.match(
    String(problem("../secret.ts")),
    /^File '\.\.\/secret\.ts' not found\. .*own folder/,
  );
});

Deno.test("a problem without a place is left to the caller", () => {
  for (const text of ["", "p.ts registers no handler", "▌ Whoops, the compiler has crashed"]) {
    assert.deepEqual(compileProblems(text, FOLDERS), []);
  }
});
