// What every command of arq promises: a description, examples, --json, the same words for the same things.
import assert from "node:assert/strict";
import { type CommandInfo, describeCommand, everyCommand } from "./command_tree.ts";
import { buildProgram } from "../program/program.ts";

const PROGRAM = describeCommand(buildProgram(() => () => Promise.resolve()));
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
