// Completion at the cursor, and what every command promises: a description, examples, --json, the same words for the
// same things. `tests/arq/arq_completion_test.ts` uses real shells.
import assert from "node:assert/strict";
import { type CommandInfo, describeCommand, everyCommand } from "./command_tree.ts";
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

const RUNNABLE = everyCommand(PROGRAM).filter(({ is_runnable }) => is_runnable);
const words = ({ path }: CommandInfo) => path.join(" ");

/** Options with two meanings, in commands where each is the plain word for it. */
const TWO_MEANINGS = new Set([
  "--version: -V, n",
  // A private key, and the member that a mirror's share is computed from.
  "--key: file, id",
  // A number to stop at, and a flag to print only the number.
  "--count: n,",
  // A room, a version or a place in a log, and with --from a time.
  "--to: room, offset, time, version",
  "--from: offset, time",
  // A time, and for a room's log also an entry.
  "--at: time, place",
  // policy record writes a folder of cases, journal export one file.
  "--out: dir, file",
  // schema get writes a file or a folder.
  "--output: -o file, -o path",
  "--room: id, pattern, room",
]);

Deno.test("every command has a description and examples that are command lines of its own", () => {
  for (const command of everyCommand(PROGRAM).slice(1)) {
    assert.match(command.description, /^[A-Za-z]/, words(command));
    assert.doesNotMatch(command.description, /\.$/, `${words(command)}: a phrase, no sentence`);
    if (!command.is_runnable) continue;
    assert.ok(command.examples.length > 0, `${words(command)} has no example`);
    const own = command.examples.filter((line) => line.includes(words(command)));
    assert.ok(own.length > 0, `${words(command)}: no example runs it`);
    for (const line of command.examples) assert.match(line, /\barq\b/, words(command));
  }
});

Deno.test("every option and operand has a description, and every command accepts --json", () => {
  for (const command of RUNNABLE) {
    for (const { flags, description } of command.options) {
      assert.notEqual(description, "", `${words(command)} ${flags}`);
    }
    for (const { name, description } of command.arguments) {
      assert.notEqual(description, "", `${words(command)} ${name}`);
    }
    const json = command.options.filter(({ long }) => long === "--json");
    assert.deepEqual(
      json.map(({ flags }) => flags),
      ["--json"],
      `${words(command)} takes no --json, or one with a value`,
    );
  }
});

Deno.test("an option has the same kind of value and the same letter in all commands", () => {
  const seen = new Map<string, Set<string>>();
  for (const command of everyCommand(PROGRAM)) {
    for (const { long, value = "", short = "" } of command.options) {
      seen.set(long, (seen.get(long) ?? new Set()).add(`${short} ${value}`));
    }
  }
  const several = [...seen].filter(([, values]) => values.size > 1)
    .map(([long, values]) => `${long}: ${[...values].map((one) => one.trim()).join(", ")}`.trim());
  assert.deepEqual(several.filter((text) => !TWO_MEANINGS.has(text)), []);
});

Deno.test("the bus options are either complete or absent, and come last", () => {
  for (const command of RUNNABLE) {
    const places = command.options.map(({ group }) => group === undefined ? 0 : 1);
    assert.deepEqual(places, places.toSorted(), words(command));
    // Commands that use the ops listener accept its token as well.
    assert.ok([0, 6, 7].includes(places.filter((place) => place === 1).length), words(command));
  }
});
