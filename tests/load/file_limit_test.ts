/** What fits is run, what does not says what would be needed. */
import assert from "node:assert/strict";
import { fileLimit, spreadOver } from "./file_limit.ts";

Deno.test("connections that fit into the file limit are spread evenly", () => {
  assert.deepEqual(spreadOver(40_000, 3, 20_000), { each: 13_334, problem: undefined });
});

Deno.test("connections that do not fit name the processes and the limit that would do", () => {
  const { problem } = spreadOver(100_000, 5, 20_000);
  assert.match(problem ?? "", /--processes 6 or more/);
  assert.match(problem ?? "", /at least 20500/);
  const { problem: none } = spreadOver(100_000, 6, 20_000);
  assert.equal(none, undefined);
});

Deno.test("the system says how many files a process may open", async () => {
  assert.ok(await fileLimit() > 0);
});
