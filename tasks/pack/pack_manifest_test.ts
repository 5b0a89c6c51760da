// The manifest that npm reads, as a member's deno.json gives it.
import assert from "node:assert/strict";
import { npmReadme, packageJson, packageOf } from "./pack_manifest.ts";

const CONFIG = {
  name: "@arqon/thing",
  version: "1.2.3",
  license: "Apache-2.0",
  description: "A thing.",
  exports: { ".": "./mod.ts", "./more": "./deep/more.ts" },
};
const NOTHING = { dependencies: {}, peerDependencies: {} };

Deno.test("every entry has types before code, in this order", () => {
  const { exports, main, types } = packageJson(CONFIG, "thing", NOTHING);
  assert.deepEqual(exports, {
    ".": { types: "./mod.d.ts", default: "./mod.js" },
    "./more": { types: "./deep/more.d.ts", default: "./deep/more.js" },
    "./package.json": "./package.json",
  });
  const { ".": first = {} } = exports as { ".": object };
  assert.deepEqual(Object.keys(first), ["types", "default"]);
  assert.deepEqual([main, types], ["./mod.js", "./mod.d.ts"]);
});

Deno.test("a package that needs nothing names no dependencies", () => {
  const manifest = packageJson({ ...CONFIG, exports: "./mod.ts" }, "thing", NOTHING);
  assert.ok(!("dependencies" in manifest) && !("peerDependencies" in manifest));
});

Deno.test("a peer is optional", () => {
  const needs = { dependencies: { "@a/b": "1.0.0" }, peerDependencies: { c: "^2.0.0" } };
  const manifest = packageJson(CONFIG, "thing", needs);
  assert.deepEqual(manifest.dependencies, { "@a/b": "1.0.0" });
  assert.deepEqual(manifest.peerDependenciesMeta, { c: { optional: true } });
});

Deno.test("a peer that every entry needs is not optional", () => {
  const needs = {
    ...NOTHING,
    peerDependencies: { c: "^2.0.0", react: ">=18" },
    required: ["react"],
  };
  const manifest = packageJson(CONFIG, "thing", needs);
  assert.deepEqual(manifest.peerDependencies, needs.peerDependencies);
  assert.deepEqual(manifest.peerDependenciesMeta, { c: { optional: true } });
});

Deno.test("an entry that is no TypeScript of the member is refused", () => {
  for (const source of ["./mod.js", "../mod.ts", "mod.ts"]) {
    assert.throws(() => packageJson({ ...CONFIG, exports: source }, "thing", NOTHING), TypeError);
  }
});

Deno.test("relative links of a README lead to the repository, others stay", () => {
  const text = "[a](../../docs/a.md#b) [c](#c) [d](https://d.example) [e](e.ts)";
  assert.equal(
    npmReadme(text, "sdk/typescript"),
    "[a](https://github.com/novelbytelabs/arqonbus/blob/main/docs/a.md#b) [c](#c) " +
      "[d](https://d.example) [e](https://github.com/novelbytelabs/arqonbus/blob/main/sdk/typescript/e.ts)",
  );
});

Deno.test("the package of a specifier is its first or first two parts", () => {
  assert.equal(packageOf("@a/b/c/d"), "@a/b");
  assert.equal(packageOf("a/b"), "a");
  assert.equal(packageOf("a"), "a");
});
