/** Which tests run together: those that start nothing, each once, and what the module of a group says. */
import assert from "node:assert/strict";
import { sourceModules } from "./source_modules.ts";
import { groupModule, testGroups } from "./test_groups.ts";

const module = (path: string, text: string, ...imports: string[]) => ({ path, text, imports });

Deno.test("a test that starts a process or a thread, itself or by what it imports, runs alone", () => {
  const groups = testGroups([
    module("arq/pure_test.ts", "", "arq/pure.ts"),
    module("arq/pure.ts", "new Deno.Command('x')"),
    module("arq/spawns_test.ts", 'new Deno.Command("x")'),
    module("arq/threads_test.ts", "new Worker(url)"),
    module("arq/far_test.ts", "", "arq/testing/run.ts"),
    module("arq/testing/run.ts", "Deno.kill(1)"),
    module("shield/bus_test.ts", "", "tests/harness/bus.ts"),
    module("tests/harness/bus.ts", "new Deno.Command('deno')"),
    module("shield/log_test.ts", "await startNats()"),
    module("shield/pure_test.ts", ""),
  ]);
  assert.deepEqual(groups, [
    { name: "arq-1", paths: ["arq/pure_test.ts"] },
    { name: "shield-1", paths: ["shield/pure_test.ts"] },
  ]);
});

Deno.test("a folder's tests are spread over groups of about the same size, each test in one", () => {
  const paths = Array.from(
    { length: 25 },
    (_, at) => `proto/t${String(at).padStart(2, "0")}_test.ts`,
  );
  const groups = testGroups(paths.map((path) => module(path, "")));
  assert.deepEqual(groups.flatMap((group) => group.paths), paths);
  assert.deepEqual(groups.map((group) => group.paths.length), [8, 9, 8]);
  const [group] = testGroups(paths.map((path) => module(path, "")), (path) => path !== paths[7]);
  assert.deepEqual(group?.paths, [paths[7]]);
});

Deno.test("of this checkout more than half of the tests run in groups", async () => {
  const modules = await sourceModules();
  const grouped = testGroups(modules).flatMap(({ paths }) => paths);
  assert.equal(new Set(grouped).size, grouped.length);
  assert(grouped.length > modules.filter(({ path }) => path.endsWith("_test.ts")).length / 2);
  assert(!grouped.includes("arq/main_test.ts"));
});

Deno.test("the module of a group imports its tests in their order, by whole addresses", () => {
  const group = { name: "a-1", paths: ["a/x_test.ts", "a/ü y_test.ts"] };
  assert.equal(
    groupModule(group, new URL("file:///some/checkout/")),
    'import "file:///some/checkout/a/x_test.ts";\n' +
      'import "file:///some/checkout/a/%C3%BC%20y_test.ts";\n',
  );
});
