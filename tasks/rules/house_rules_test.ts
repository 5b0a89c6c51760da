/** The count of imports that lead from the kernel to capabilities. */
import assert from "node:assert/strict";
import { checkArrows, checkLists } from "./house_rules.ts";
import type { Module } from "./layer_rules.ts";

const module = (path: string, ...targets: string[]): Module => ({
  path,
  imports: targets.map((target, index) => ({ specifier: "./x.ts", target, line: index + 1 })),
});

const MODULES = [
  module("shield/message/pipeline.ts", "shield/journal/journal.ts", "shield/rates/rates.ts"),
  module("shield/message/testing/path.ts", "shield/journal/journal.ts"),
  module("shield/message/pipeline_test.ts", "shield/journal/journal.ts"),
  module("shield/policy/pool/pool.ts", "shield/journal/journal.ts"),
  module("arq/main.ts", "shield/journal/journal.ts"),
];
const problems = (allowed: Record<string, number>) =>
  checkArrows(MODULES, allowed).map(({ path, message }) => `${path}: ${message}`);

Deno.test("imports from the kernel to capabilities are counted by folder, and only fall", () => {
  assert.deepEqual(problems({ "shield/message": 1 }), []);
  assert.match(problems({})[0] ?? "", /^shield\/message: 1 imports lead from the kernel/);
  assert.match(problems({ "shield/message": 2 })[0] ?? "", /only 1 imports/);
  assert.match(
    problems({ "shield/message": 1, "shield/gone": 1 })[0] ?? "",
    /^shield\/gone: only 0/,
  );
});

Deno.test("a list names capabilities by their capability.ts; programs and tests hand it to the kernel", () => {
  const list = "shield/capabilities.ts";
  const lists = (path: string, target: string) =>
    checkLists([module(path, target)]).map(({ message }) => message).join();
  assert.equal(lists(list, "shield/journal/capability.ts"), "");
  assert.deepEqual(checkArrows([module(list, "shield/journal/capability.ts")], {}), []);
  assert.match(lists(list, "shield/journal/start.ts"), /names a capability.ts, and not/);
  for (const path of ["shield/main.ts", "shield/http/http_test.ts", "arq/serve/servers.ts"]) {
    assert.equal(lists(path, list), "");
  }
  assert.match(lists("shield/server.ts", list), /is handed to the kernel/);
});
