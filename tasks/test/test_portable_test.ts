/** The selection of tests for systems without the servers: it depends on a test's sources, and is not empty. */
import assert from "node:assert/strict";
import { sourceModules } from "./source_modules.ts";
import { portableTests } from "./test_portable.ts";

const module = (path: string, text: string, ...imports: string[]) => ({ path, text, imports });

Deno.test("a test that starts a process, directly or by imports, is left out", () => {
  const chosen = portableTests([
    module("arq/pure_test.ts", "", "arq/pure.ts"),
    module("arq/pure.ts", "new Deno.Command('x')"),
    module("arq/spawns_test.ts", 'new Deno.Command("x")'),
    module("arq/far_test.ts", "", "arq/testing/run.ts"),
    module("arq/testing/run.ts", "new URL('.', import.meta.url).pathname"),
    module("proto/bus_test.ts", "", "tests/harness/bus.ts"),
    module("tests/harness/bus.ts", ""),
    module("shield/pure_test.ts", ""),
    module("proto/round_test.ts", "", "proto/a.ts"),
    module("proto/a.ts", "", "proto/b.ts"),
    module("proto/b.ts", "", "proto/a.ts"),
  ]);
  assert.deepEqual(chosen, ["arq/pure_test.ts", "proto/round_test.ts"]);
});

Deno.test("the portable tests of this checkout include the whole protocol and much of the SDK", async () => {
  const modules = await sourceModules();
  const chosen = portableTests(modules);
  const of = (folder: string) => chosen.filter((path) => path.startsWith(folder)).length;
  const all = modules.filter(({ path }) => /^proto\/.*_test\.ts$/.test(path)).length;
  assert.equal(of("proto/"), all);
  for (const folder of ["shared/config/", "shared/presence/", "sdk/typescript/", "arq/"]) {
    assert(of(folder) >= 5, `${folder}: ${of(folder)}`);
  }
  assert(!chosen.includes("arq/main_test.ts"));
});
