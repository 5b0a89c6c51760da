/** The data folder is relative to the caller, and a missing folder gives an error with the remedy. */
import assert from "node:assert/strict";
import { runDeno } from "../checkout/programs.ts";
import { dataFolder } from "./test_external.ts";
import { atEnd } from "../../shared/testing/at_end.ts";

Deno.test("a relative data folder is relative to the caller's folder", () => {
  assert.equal(dataFolder("../data", "/work/main"), "/work/data");
  assert.equal(dataFolder("/data", "/work/main"), "/data");
});

Deno.test("without the data the task fails, counts the failure, and names the remedy", async () => {
  const folder = await Deno.makeTempDir();
  await using _end = atEnd(() => Deno.remove(folder));
  for (const args of [[], [folder]]) {
    const { code, stdout, stderr } = await runDeno(["task", "--quiet", "test:external", ...args]);
    assert.equal(code, 2);
    assert.equal(stdout, "0 passed, 1 failed\n");
    assert.match(stderr, /usage: deno task test:external DIR/);
  }
});
