/**
 * The site of the documents, built as it is published and looked at with Chromium: `site/child.ts`. That
 * its links lead somewhere, the build itself says.
 */
import assert from "node:assert/strict";
import { runInChild } from "./harness/child_scenarios.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

Deno.test("the site of the documents in Chromium", async (t) => {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "docs:site", "--check"],
    cwd: ROOT,
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  assert.ok(success, decoder.decode(stdout) + decoder.decode(stderr));
  await runInChild(t, "tests/site/child.ts");
});
