/** Suggestions for an unknown word, over the real commands. */
import assert from "node:assert/strict";
import { describeCommand, everyCommand } from "../completion/command_tree.ts";
import { similarCommands } from "./wrong_command_line.ts";
import { editDistance } from "../../shared/config/suggest.ts";
import { buildProgram } from "./program.ts";

const COMMANDS = everyCommand(describeCommand(buildProgram(() => async () => {})))
  .map(({ path }) => path.slice(1).join(" ")).filter((words) => words !== "");

Deno.test("an edit counts keys: left out, added, changed, swapped", () => {
  const cases = [["down", "down", 0], ["dwon", "down", 1], ["don", "down", 1], [
    "",
    "ab",
    2,
  ]] as const;
  for (const [one, two, count] of cases) {
    assert.equal(editDistance(one, two), count, `${one} ${two}`);
  }
});

Deno.test("an unknown word suggests the intended one: a typo, another tool's word, a command of a group", () => {
  const cases: [word: string, at: string, expected: string[]][] = [
    ["dwon", "", ["dev down"]],
    ["dwon", "dev", ["dev down"]],
    ["Publish", "", ["pub"]],
    ["subscribe", "", ["sub"]],
    ["login", "", ["auth gen", "context add"]],
    ["pol", "", ["policy"]],
    ["kick", "", ["room kick"]],
    ["kick", "policy", ["room kick"]],
    ["ls", "context", ["context list"]],
    ["rm", "policy", ["policy remove"]],
    ["delete", "mirror", ["mirror remove"]],
    ["mebmers", "room", ["room members"]],
    ["bans", "", ["room bans"]],
    ["xyzzy", "", []],
    ["", "", []],
    ["__proto__", "", []],
  ];
  for (const [word, at, expected] of cases) {
    assert.deepEqual(similarCommands(word, at, COMMANDS), expected, `${at} ${word}`);
  }
  for (const word of ["ls", "list"]) {
    const lists = similarCommands(word, "", COMMANDS);
    assert.ok(lists.length > 2 && lists.every((words) => words.endsWith(" list")), lists.join());
  }
});
