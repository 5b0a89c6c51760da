// How help wraps at the width of a terminal, and suggestions for an unknown word, over the real commands.
import assert from "node:assert/strict";
import fc from "fast-check";
import { buildProgram, reflow } from "./program.ts";
import { describeCommand, everyCommand } from "../completion/command_tree.ts";
import { similarCommands } from "./wrong_command_line.ts";
import { editDistance } from "../../shared/config/suggest.ts";

Deno.test("lines at the margin are reflowed, indented ones are only wrapped", () => {
  const text = "One two\nthree four.\n\nList:\n  1. alpha beta gamma\n  x  y\n";
  assert.equal(
    reflow(text, 14),
    "One two three\nfour.\n\nList:\n  1. alpha\n     beta\n     gamma\n  x  y\n",
  );
});

Deno.test("no word is lost and no line with a space to break at is too long", () => {
  const line = fc.string({ unit: fc.constantFrom("a", "b", " "), maxLength: 60 })
    .map((text) => text.trimEnd());
  fc.assert(fc.property(fc.array(line), fc.integer({ min: 20, max: 80 }), (lines, width) => {
    const flowed = reflow(lines.join("\n"), width);
    const wordsOf = (text: string) => text.split(/\s+/).filter((word) => word !== "");
    assert.deepEqual(wordsOf(flowed), wordsOf(lines.join("\n")));
    for (const one of flowed.split("\n")) {
      assert.ok(one.length <= width || !/\S \S/.test(one.slice(0, width)), one);
    }
  }));
});

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
