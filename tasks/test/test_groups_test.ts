/** Which tests run together, each once, and what the module of a group says. */
import assert from "node:assert/strict";
import {
  groupModule,
  longestFirst,
  quietGroups,
  serverGroups,
  singleGroups,
  testGroups,
} from "./test_groups.ts";

Deno.test("a folder's tests are spread over groups of about the same size, each test in one", () => {
  const paths = Array.from(
    { length: 49 },
    (_, at) => `proto/t${String(at).padStart(2, "0")}_test.ts`,
  );
  const groups = testGroups(["arq/a_test.ts", ...paths]);
  assert.deepEqual(groups.map(({ name }) => name), ["arq-1", "proto-1", "proto-2", "proto-3"]);
  assert.deepEqual(groups.slice(1).flatMap((group) => group.paths), paths);
  assert.deepEqual(groups.map((group) => group.paths.length), [1, 16, 17, 16]);
});

Deno.test("of quiet tests those of whole systems begin", () => {
  const paths = [
    "shield/a_test.ts",
    ...Array.from({ length: 13 }, (_, at) => `tests/t${at}_test.ts`),
  ];
  const groups = quietGroups(paths).map(({ name, paths }) => `${name} ${paths.length}`);
  assert.deepEqual(groups, ["tests-1 7", "tests-2 6", "shield-1 1"]);
});

Deno.test("of tests that start servers the longest begin, and the others are a few to a group", () => {
  const sources = Array.from({ length: 9 }, (_, at) => `brain/t${at}_test.ts`);
  const paths = [
    ...sources,
    "shield/x_test.ts",
    "shield/y_test.ts",
    "tests/a/b_test.ts",
    "tests/c_test.ts",
  ];
  paths.push("tests/d_test.ts", "tests/e_test.ts", "tests/f_test.ts");
  const first = [
    ["tests/gone_test.ts"],
    ["tests/c_test.ts"],
    ["brain/t3_test.ts", "brain/gone_test.ts", "shield/y_test.ts"],
  ];
  const groups = longestFirst(paths, first, serverGroups);
  assert.deepEqual(groups.map(({ name, paths }) => `${name} ${paths.length}`), [
    ...[
      "tests.c 1",
      "brain.t3 2",
      "brain-1 4",
      "brain-2 4",
      "shield-1 1",
      "tests-1 2",
      "tests-2 2",
    ],
  ]);
  assert.deepEqual(groups.flatMap((group) => group.paths).toSorted(), paths);
});

Deno.test("single files keep their order, with a name that says which", () => {
  assert.deepEqual(singleGroups(["tests/z_test.ts", "arq/bus/a_test.ts"]), [
    { name: "tests.z", paths: ["tests/z_test.ts"] },
    { name: "arq.bus.a", paths: ["arq/bus/a_test.ts"] },
  ]);
});

Deno.test("the module of a group imports its tests in their order, by whole addresses", () => {
  const group = { name: "a-1", paths: ["a/x_test.ts", "a/ü y_test.ts"] };
  assert.equal(
    groupModule(group, new URL("file:///some/checkout/")),
    'import "file:///some/checkout/a/x_test.ts";\n' +
      'import "file:///some/checkout/a/%C3%BC%20y_test.ts";\n',
  );
});
