/** Programs are started with the same flags by a task, by an image (rules compare those with the tasks), and by us. */
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
