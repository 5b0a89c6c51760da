/** Verification in a real Chromium at 1,000 messages a second: nothing is missing, and the page keeps up. */
import assert from "node:assert/strict";
import { ROOT } from "../../tasks/checkout/source_files.ts";

/** What a log takes to get an entry, and a reader to look for it, on a machine under load. */
const LATE_S = 20;

Deno.test("a page verifies 1,000 messages a second", async () => {
  const unstable = ["--unstable-net", "--unstable-worker-options"];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", ...unstable, `${ROOT}tests/proof/browser_child.ts`],
    cwd: ROOT,
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  for (const line of lines) {
    console.log(line);
    const { count, wrong, published_s, all_s } = JSON.parse(line);
    assert.deepEqual([count, wrong], [10_000, []]);
    assert(all_s - published_s < LATE_S, line);
  }
  assert.equal(lines.length, 2);
});
