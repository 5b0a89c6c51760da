/** The help of `arq` on the site. */
import assert from "node:assert/strict";
import { describeCommand, everyCommand } from "../../arq/completion/command_tree.ts";
import { buildProgram } from "../../arq/program/program.ts";
import { arqHelp } from "./arq_help.ts";

Deno.test("every command has its section, with all of its options, and the exit codes are there once", () => {
  const sections = new Map(
    arqHelp().split(/^### /m).slice(1).map((text) => [/^`(.*) --help`$/m.exec(text)?.[1], text]),
  );
  const commands = everyCommand(describeCommand(buildProgram(() => () => Promise.resolve())));
  assert.deepEqual([...sections.keys()], commands.map(({ path }) => path.join(" ")));
  for (const { path, options } of commands) {
    const text = sections.get(path.join(" ")) ?? "";
    for (const { long } of options) assert.ok(text.includes(long), `${path.join(" ")} ${long}`);
  }
  assert.equal([...sections.values()].filter((text) => text.includes("Exit codes:")).length, 1);
});
