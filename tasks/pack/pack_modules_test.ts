// Which files of npm packages are packed.
import assert from "node:assert/strict";
import { isUnused, moduleOf } from "./pack_modules.ts";

Deno.test("code, data and licences stay; what developers need goes", () => {
  for (
    const path of ["index.js", "dist/a.cjs", "x.wasm", "package.json", "LICENSE", "LICENSE.md"]
  ) {
    assert.equal(isUnused("a", path), false, path);
  }
  for (
    const path of ["test/perf/100k", "a.d.ts", "src/a.ts", "a.js.map", "README.md", ".npmignore"]
  ) {
    assert.equal(isUnused("a", path), true, path);
  }
});

Deno.test("programs of the compiler's packages go, and only theirs", () => {
  assert.equal(isUnused("binaryen", "bin/wasm-opt"), true);
  assert.equal(isUnused("a", "bin/tool"), false);
  assert.equal(isUnused("assemblyscript", "lib/binaryen.js"), false);
});

Deno.test("a package's folder says its name and version", () => {
  assert.deepEqual(moduleOf("zod@4.6.7"), { name: "zod", version: "4.6.7" });
  assert.deepEqual(moduleOf("@a+b@1.2.3-rc.1"), { name: "@a/b", version: "1.2.3-rc.1" });
  assert.deepEqual(moduleOf("@a+b@1.0.0_@c+d@2.0.0"), { name: "@a/b", version: "1.0.0" });
  assert.equal(moduleOf("node_modules"), undefined);
});
