/** Verification in a real Chromium at 1,000 messages a second: nothing is missing, and the page keeps up. */
import assert from "node:assert/strict";
import { deno } from "../../tasks/checkout/programs.ts";

/** What a log takes to get an entry, and a reader to look for it, on a machine under load. */
const LATE_S = 20;

Deno.test("a page verifies 1,000 messages a second", async () => {
  const unstable = ["--unstable-net", "--unstable-worker-options"];
  const child = "tests/proof/browser_child.ts";
  const { stdout } = await deno(["run", "-A", "--no-prompt", ...unstable, child]);
  const lines = stdout.trim().split("\n");
  for (const line of lines) {
    console.log(line);
    const { count, wrong, published_s, all_s } = JSON.parse(line);
    assert.deepEqual([count, wrong], [10_000, []]);
    assert(all_s - published_s < LATE_S, line);
  }
  assert.equal(lines.length, 2);
});
