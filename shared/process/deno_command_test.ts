/** That programs are started alike, whoever starts them: by a task, by an image (our rules hold those to the tasks), or by us. */
import assert from "node:assert/strict";
import { BRAIN_FLAGS, SERVER_FLAGS } from "./deno_command.ts";

const { tasks } = JSON.parse(
  Deno.readTextFileSync(new URL("../../deno.json", import.meta.url)),
) as { tasks: Record<string, string> };

for (
  const [task, flags] of Object.entries({
    shield: SERVER_FLAGS,
    arq: SERVER_FLAGS,
    brain: BRAIN_FLAGS,
  })
) {
  Deno.test(`deno task ${task} has the flags with which we start that program`, () => {
    const words = tasks[task]!.split(" ");
    assert.deepEqual(flags.filter((flag) => !words.includes(flag)), []);
    assert.match(flags.join(" "), /--no-wasm-lazy-compilation/);
  });
}
