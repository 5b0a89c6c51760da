/** Each violation of the folder order is made once here and must be reported; valid imports must pass. */
import assert from "node:assert/strict";
import { checkFolders, FOLDERS } from "./folder_rules.ts";
import type { Import, Module } from "./layer_rules.ts";

const WAY_OUT = "; move what both need, or name less of it";
const PACKAGES = [["a/low", "a/high", "a"], ["b"]];

function check(path: string, target: string, more: Partial<Import> = {}): string[] {
  const module: Module = { path, imports: [{ specifier: "./x.ts", target, line: 3, ...more }] };
  return checkFolders([module], PACKAGES).map(({ message }) => message);
}

Deno.test("a folder may import values from itself and from lower folders", () => {
  assert.deepEqual(check("a/high/x.ts", "a/low/y.ts"), []);
  assert.deepEqual(check("a/high/x.ts", "a/high/y.ts"), []);
  assert.deepEqual(check("a/main.ts", "a/high/y.ts"), []);
  assert.deepEqual(check("b/x.ts", "a/high/y.ts"), [], "packages are another rule's matter");
});

Deno.test("an import of a value from a higher folder is reported, of a type is not", () => {
  assert.match(check("a/low/x.ts", "a/high/y.ts").join(), /a\/low\/ must not need a\/high\//);
  assert.match(check("a/high/x.ts", "a/loose.ts").join(), /must not need a\/, which is above it/);
  assert.deepEqual(check("a/low/x.ts", "a/high/y.ts", { is_type: true }), []);
});

Deno.test("tests and entries are on no floor, a new folder needs one", () => {
  assert.deepEqual(check("a/low/x_test.ts", "a/high/y.ts"), []);
  assert.deepEqual(check("a/low/testing/x.ts", "a/high/y.ts"), []);
  assert.deepEqual(check("a/mod.ts", "a/high/y.ts"), []);
  assert.deepEqual(check("a/low/capability.ts", "a/high/y.ts"), []);
  assert.match(check("a/low/x.ts", "a/high/capability.ts").join(), /must not need a\/high\//);
  assert.match(check("a/new/x.ts", "a/low/y.ts").join(), /a\/new\/ has no place in FOLDERS/);
});

Deno.test("files that import each other are reported, also for types; adjacent files are not", () => {
  const module = (path: string, ...targets: string[]): Module => ({
    path,
    imports: targets.map((target) => ({ specifier: target, target, line: 1 })),
  });
  const cycle = [module("b/x.ts", "b/y.ts", "b/leaf.ts"), module("b/y.ts", "b/z.ts")];
  const user = module("b/user.ts", "b/x.ts");
  const messages = (modules: Module[]) =>
    checkFolders(modules, PACKAGES).map(({ path, message }) => `${path} ${message}`);
  assert.deepEqual(messages([...cycle, module("b/z.ts"), user]), []);
  assert.deepEqual(messages([...cycle, module("b/z.ts", "b/x.ts"), module("b/leaf.ts"), user]), [
    `b/x.ts needs itself by way of b/y.ts${WAY_OUT}`,
    `b/y.ts needs itself by way of b/z.ts${WAY_OUT}`,
    `b/z.ts needs itself by way of b/x.ts${WAY_OUT}`,
  ]);
  const type = { specifier: "b/x.ts", target: "b/x.ts", line: 1, is_type: true };
  assert.equal(messages([...cycle, { path: "b/z.ts", imports: [type] }]).length, 3);
});

Deno.test("no folder is in the table twice", () => {
  const all = FOLDERS.flat();
  assert.equal(new Set(all).size, all.length);
});
