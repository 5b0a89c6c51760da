/** Symbolic links of tests. */
import assert from "node:assert/strict";

/** Makes a link with a system program: `Deno.symlink` needs more permissions than tests have. */
export async function symbolicLink(target: string, path: string): Promise<void> {
  const { success } = await new Deno.Command("ln", { args: ["-s", target, path] }).output();
  assert.ok(success, path);
}
