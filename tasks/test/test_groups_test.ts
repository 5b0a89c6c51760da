/** Which tests run together, each once, and what the module of a group says. */
import assert from "node:assert/strict";
import { groupModule, testGroups } from "./test_groups.ts";

Deno.test("a folder's tests are spread over groups of about the same size, each test in one", () => {
  const paths = Array.from(
    { length: 25 },
    (_, at) => `proto/t${String(at).padStart(2, "0")}_test.ts`,
  );
  const groups = testGroups(["arq/a_test.ts", ...paths]);
  assert.deepEqual(groups.map(({ name }) => name), ["arq-1", "proto-1", "proto-2", "proto-3"]);
  assert.deepEqual(groups.slice(1).flatMap((group) => group.paths), paths);
  assert.deepEqual(groups.map((group) => group.paths.length), [1, 8, 9, 8]);
});

Deno.test("the module of a group imports its tests in their order, by whole addresses", () => {
  const group = { name: "a-1", paths: ["a/x_test.ts", "a/ü y_test.ts"] };
  assert.equal(
    groupModule(group, new URL("file:///some/checkout/")),
    'import "file:///some/checkout/a/x_test.ts";\n' +
      'import "file:///some/checkout/a/%C3%BC%20y_test.ts";\n',
  );
});
