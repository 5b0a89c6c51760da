// What the completion scripts hold, for every shell, without running one; tests/arq/arq_completion_test.ts does.
import assert from "node:assert/strict";
import { describeCommand, everyCommand } from "./command_tree.ts";
import { completedCommands, completionScript, SHELLS } from "./completion.ts";
import { buildProgram } from "../program/program.ts";

const PROGRAM = describeCommand(buildProgram(() => () => Promise.resolve()));

Deno.test("every script names every command and every option", () => {
  for (const shell of SHELLS) {
    const script = completionScript(shell, PROGRAM);
    for (const { path, options } of everyCommand(PROGRAM)) {
      const words = shell === "zsh" ? `_${path.join("_")}` : path.join(" ");
      assert.ok(script.includes(words), `${shell}: ${words}`);
      for (const { long } of options) {
        const name = shell === "fish" ? `-l ${long.slice(2)} ` : long;
        assert.ok(script.includes(name), `${shell}: ${path.join(" ")} ${long}`);
      }
    }
  }
});

Deno.test("what is hidden is completed nowhere", () => {
  assert.ok(!everyCommand(PROGRAM).some(({ path }) => path.includes("__complete")));
  assert.ok(!completionScript("bash", PROGRAM).includes("--background"));
});

Deno.test("an option's value is waited for only where it cannot be left out", () => {
  const valueOf = (words: string, long: string) =>
    completedCommands(PROGRAM).find((one) => one.words === words)?.options
      .find((option) => option.long === long)?.value;
  assert.equal(valueOf("arq status", "--watch"), undefined);
  assert.equal(valueOf("arq status", "--json"), undefined);
  assert.equal(valueOf("arq status", "--token-file")?.kind, "file");
  assert.equal(valueOf("arq status", "--context")?.kind, "context");
  assert.equal(valueOf("arq auth keys", "--out")?.kind, "folder");
  assert.deepEqual(valueOf("arq auth keys", "--alg")?.choices, ["RS256", "ES256", "EdDSA"]);
});

Deno.test("quotes in a description end no string of a script", () => {
  const program = {
    ...PROGRAM,
    commands: [{
      ...PROGRAM,
      path: ["arq", "it"],
      description: `it's "a [test]: $HOME \\ \`x\``,
      commands: [],
    }],
  };
  assert.ok(completionScript("fish", program).includes(`'it\\'s "a [test]: $HOME \\\\ \`x\`'`));
  assert.ok(completionScript("zsh", program).includes(`'it:it'\\''s "a [test]\\: $HOME`));
  assert.ok(completionScript("powershell", program).includes(`'it''s "a [test]: $HOME \\ \`x\`'`));
});
