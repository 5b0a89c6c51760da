/** The rule on switches: each kind of violation once, and the valid cases. */
import assert from "node:assert/strict";
import ts from "typescript";
import { checkSwitches, compilerOptions } from "./switch_rules.ts";

/** The violations of one file; the standard library is not read. */
function check(text: string): string[] {
  const source = ts.createSourceFile("a.ts", text, ts.ScriptTarget.ESNext, true);
  const options = { ...compilerOptions("/"), noLib: true };
  const host: ts.CompilerHost = {
    ...ts.createCompilerHost(options),
    getSourceFile: (name) => name === "a.ts" ? source : undefined,
    fileExists: (name) => name === "a.ts",
    readFile: () => text,
  };
  const checker = ts.createProgram(["a.ts"], options, host).getTypeChecker();
  return checkSwitches("a.ts", source, checker).map(({ line, message }) => `${line}: ${message}`);
}

const KIND = `declare const kind: "a" | "b";\n`;
const ENUM = "enum Color { RED, BLUE }\ndeclare const color: Color;\n";

Deno.test("a switch over a closed union ends with satisfies never", () => {
  const found = check(`${KIND}switch (kind) { case "a": case "b": }`);
  assert.match(found.join("\n"), /^2: name every case of "a" \| "b", .*"default: kind satisfies/);
  for (
    const text of [
      `${KIND}switch (kind) { case "a": break; default: f(); }`,
      `${ENUM}switch (color) { case Color.RED: case Color.BLUE: }`,
      `declare const op: { kind: "a" } | { kind: "b" } | undefined;
       switch (op?.kind) { case "a": break; default: }`,
      `function f(of: 1 | 2) { switch (of) { case 1: return 1; case 2: return 2; } }`,
    ]
  ) assert.equal(check(text).length, 1, text);
});

Deno.test("the default may return, throw or only name the remaining value", () => {
  for (
    const end of [
      "kind satisfies never;",
      "return kind satisfies never;",
      "throw new Error(kind satisfies never);",
    ]
  ) {
    const text =
      `${KIND}function f() { switch (kind) { case "a": case "b": return; default: ${end} } }`;
    assert.deepEqual(check(text), [], text);
  }
});

Deno.test("a switch over a type that is not a closed union may have any default", () => {
  for (
    const text of [
      "declare const n: number; switch (n) { case 1: }",
      "declare const t: string; switch (t) { case 'a': break; default: }",
      "declare const t: string | undefined; switch (t) { case 'a': break; default: }",
      "declare const v: unknown; switch (typeof v) { case 'string': }",
      "declare const v: any; switch (v) { case 'string': }",
      "declare const b: boolean; switch (true) { case b: }",
    ]
  ) assert.deepEqual(check(text), [], text);
});
