/** The rule on exports: each kind of violation once, and the valid cases. */
import assert from "node:assert/strict";
import { checkExports, namesOf } from "./export_rules.ts";
import { parsed } from "./sources.ts";

/** The violations of these files; the entry of a package is proto/mod.ts. */
function check(files: Readonly<Record<string, string>>): string[] {
  const resolve = (from: string, specifier: string) =>
    specifier.startsWith(".") ? new URL(specifier, `file:///${from}`).pathname.slice(1) : undefined;
  const modules = Object.entries(files).map(([path, text]) =>
    namesOf(path, parsed(path, text), resolve)
  );
  return checkExports(modules, ["proto/mod.ts"]).map(({ path, line, message }) =>
    `${path}:${line}: ${message.split(":")[0]}`
  );
}

const MAIN = 'import { a } from "./a.ts"; if (import.meta.main) a();';

Deno.test("an export that only tests use is named", () => {
  const files = {
    "shield/main.ts": MAIN,
    "shield/a.ts": "export function a() {}\nexport function b() {}",
    "shield/a_test.ts": 'import { b } from "./a.ts"; b();',
  };
  const found = check(files);
  assert.deepEqual(found, ["shield/a.ts:2: nothing that users run needs b"]);
  const fixtures = [
    "shield/test_b.ts",
    "shield/testing/b.ts",
    "tests/b.ts",
    "shared/spine/nats/testing/nats_harness.ts",
  ];
  for (const path of fixtures) {
    const text = `import { b } from "${"../".repeat(path.split("/").length - 1)}shield/a.ts"; b();`;
    assert.deepEqual(check({ ...files, [path]: text }), found, path);
  }
  for (const path of ["tasks/gate.ts", "bench/b.ts"]) {
    const text = 'import { b } from "../shield/a.ts"; b();';
    assert.deepEqual(check({ ...files, [path]: text }), [], path);
  }
});

Deno.test("a name after a dot, or of a member, is not a use", () => {
  const found = check({
    "shield/main.ts": MAIN,
    "shield/a.ts": "export const a = () => ({ b: 1, c() {} }).b;\nexport const b = 1;",
    "shield/a_test.ts": 'import { b } from "./a.ts";',
  });
  assert.deepEqual(found, ["shield/a.ts:2: nothing that users run needs b"]);
});

Deno.test("a value that no other file imports is not exported; a type may be", () => {
  const files = {
    "shield/main.ts": MAIN,
    "shield/a.ts": "export const a = (of: B) => c;\nexport interface B {}\nexport const c = 1;",
  };
  assert.deepEqual(check(files), ["shield/a.ts:3: no other file imports c"]);
  const test = { "shield/a_test.ts": 'import { c } from "./a.ts"; c;' };
  assert.deepEqual(check({ ...files, ...test }), [], "a test may look at what is inside");
});

Deno.test("an export of a package counts as used, through every form of re-export", () => {
  const files = {
    "proto/mod.ts": 'export * from "./a.ts";\nexport { b as other } from "./b.ts";\n' +
      'export * as all from "./c.ts";\nimport { d } from "./d.ts";\nexport { d };',
    "proto/a.ts": "export const a = 1;",
    "proto/b.ts": "export const b = 1;",
    "proto/c.ts": "export const c = 1;",
    "proto/d.ts": "export const d = 1;",
  };
  assert.deepEqual(check(files), []);
  const text = 'export { a } from "./a.ts";';
  assert.equal(check({ ...files, "proto/mod.ts": text }).length, 3);
});

Deno.test("a module that a program loads dynamically counts as used", () => {
  const files = { "arq/a.ts": "export const a = 1;" };
  assert.deepEqual(check({ ...files, "arq/main.ts": 'await (await import("./a.ts")).a;' }), []);
  const type = 'let a: typeof import("./a.ts").a; await a;';
  assert.deepEqual(check({ ...files, "arq/main.ts": type }), []);
  assert.equal(check({ ...files, "arq/main.ts": 'import "./a.ts";' }).length, 1);
});
