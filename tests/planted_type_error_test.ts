/**
 * A type error in an example makes CI fail: both the gate's type check and the test command exit with an error.
 * `tasks/readme/readme_test.ts` plants a wrong command in the README, `tests/images` a COPY that `.dockerignore` hides.
 */
import assert from "node:assert/strict";
import { temporaryFolder } from "../shared/testing/temporary_folder.ts";
import { runDeno } from "../tasks/checkout/programs.ts";
import { copyCheckout } from "./checkout_copy.ts";

const PLANTED = "examples/editor/binding.ts";

Deno.test("a type error in an example fails the gate and the test command", async () => {
  await using folder = await temporaryFolder();
  await copyCheckout(folder.path);
  await Deno.writeTextFile(`${folder.path}/${PLANTED}`, 'export const planted: number = "1";\n', {
    append: true,
  });
  const commands = [["check", "--quiet", "--frozen"], ["task", "test", "examples/editor"]];
  for (const args of commands) {
    const { ok, text } = await runDeno(args, { cwd: folder.path });
    assert.ok(!ok, args.join(" "));
    assert.match(text, /TS2322[^]*examples\/editor\/binding\.ts/);
  }
});
