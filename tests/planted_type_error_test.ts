/**
 * A type error in an example makes CI fail: both the gate's type check and the test command exit with an error.
 * `tasks/readme/readme_test.ts` plants a wrong command in the README, `tests/images` a COPY that `.dockerignore` hides.
 */
import assert from "node:assert/strict";
import { copyCheckout } from "./checkout_copy.ts";

const PLANTED = "examples/editor/binding.ts";

async function text(folder: string, program: string, ...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd: folder,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return {
    code,
    output: decoder.decode(stdout) + decoder.decode(stderr),
  };
}

Deno.test("a type error in an example fails the gate and the test command", async () => {
  const folder = await Deno.makeTempDir({ prefix: "arqon-planted-" });
  try {
    await copyCheckout(folder);
    await Deno.writeTextFile(`${folder}/${PLANTED}`, 'export const planted: number = "1";\n', {
      append: true,
    });
    const commands = [["check", "--quiet", "--frozen"], ["task", "test", "examples/editor"]];
    for (const args of commands) {
      const { code, output } = await text(folder, Deno.execPath(), ...args);
      assert.notEqual(code, 0, args.join(" "));
      assert.match(output, /TS2322[^]*examples\/editor\/binding\.ts/, output);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
