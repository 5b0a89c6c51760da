// Completion at the cursor. `tests/arq/arq_completion_test.ts` uses real shells.
import assert from "node:assert/strict";
import { describeCommand, everyCommand } from "./command_tree.ts";
import { candidates, completionScript, SHELLS } from "../commands/setup/completion.ts";
import { buildProgram } from "../program/program.ts";

const PROGRAM = describeCommand(buildProgram(() => () => Promise.resolve()));
const CONTEXTS = () => Promise.resolve(["prod", "test", "dev"]);

/** The candidates for the last word of a line, without their descriptions. */
async function after(line: string): Promise<string[]> {
  const [, ...words] = line.split(" ");
  const at = words.pop() ?? "";
  const found = await candidates(PROGRAM, words, at, CONTEXTS);
  return found.map((one) => one.split("\t")[0] ?? "");
}

Deno.test("every command and every option is a candidate, except hidden ones", async () => {
  for (const { path, options, commands } of everyCommand(PROGRAM)) {
    const line = path.join(" ");
    const found = await after(`${line} --`);
    for (const { long } of options) assert.ok(found.includes(long), `${line} ${long}`);
    if (commands.length === 0) continue;
    const below = await after(`${line} `);
    assert.deepEqual(
      below.filter((name) => name !== "help"),
      commands.map((one) => one.path.at(-1)),
    );
  }
  assert.ok(!(await after("arq ")).includes("complete"));
  assert.ok(!(await after("arq serve --")).includes("--background"));
});

Deno.test("a line has the candidates that follow from its words", async () => {
  const cases: [line: string, names: string[]][] = [
    ["arq ro", ["rollout", "room"]],
    ["arq sched", ["schedule"]],
    ["arq hook re", ["remove", "replay", "resume"]],
    ["arq help tr", ["trace"]],
    ["arq dev u", ["up"]],
    ["arq sub a b --js", ["--json"]],
    ["arq auth keys --alg EdDSA --js", ["--json"]],
    ["arq completion ", ["bash", "fish", "powershell", "zsh"]],
    ["arq policy check mod", [":file"]],
    ["arq --context prod stat", ["status"]],
    ["arq context use ", ["dev", "prod", "test"]],
    ["arq room kick lobby ann --reason x", []],
    ["arq pub lobby -- --js", []],
  ];
  for (const [line, names] of cases) assert.deepEqual((await after(line)).toSorted(), names, line);
});

Deno.test("an option's value is waited for only where it cannot be left out", async () => {
  assert.deepEqual(await after("arq status --watch --js"), ["--json"]);
  assert.deepEqual(await after("arq status --token-file "), [":file"]);
  assert.deepEqual(await after("arq status --context "), ["prod", "test", "dev"]);
  assert.deepEqual(await after("arq auth keys --out "), [":folder"]);
  assert.deepEqual(await after("arq auth keys --alg "), ["RS256", "ES256", "EdDSA"]);
});

Deno.test("a value after = belongs to its option, and bash's word splitting is handled", async () => {
  assert.deepEqual(await after("arq auth keys --alg=Ed"), ["--alg=EdDSA"]);
  assert.deepEqual(await after("arq --context=pr"), ["--context=prod"]);
  assert.deepEqual(await after("arq auth keys --out="), [":folder"]);
  assert.deepEqual(await after("arq auth keys --alg = Ed"), ["EdDSA"]);
  assert.deepEqual(await after("arq auth keys --alg ="), ["RS256", "ES256", "EdDSA"]);
});

Deno.test("a candidate has its description after a tab, and free text has no candidates", async () => {
  assert.deepEqual(await candidates(PROGRAM, ["auth"], "k", CONTEXTS), [
    "keys\tmake a key pair: a private JWK for your token server, a public set for the bus",
  ]);
  assert.deepEqual(await after("arq auth gen --user "), []);
  assert.deepEqual(await after("arq nothing "), await after("arq "));
});

Deno.test("a script is short, since it only calls arq", () => {
  for (const shell of SHELLS) assert.ok(completionScript(shell).split("\n").length <= 16, shell);
});
