// The manual page: every command and option is in it, and real tools find no errors.
import assert from "node:assert/strict";
import { describeCommand, everyCommand } from "./command_tree.ts";
import { manPage, roff } from "../commands/setup/completion.ts";
import { run } from "../../tasks/checkout/programs.ts";
import { buildProgram } from "../program/program.ts";

const PROGRAM = describeCommand(buildProgram(() => () => Promise.resolve()));
const PAGE = manPage(PROGRAM, "1.2.3");

/** The output of a tool about the page, stderr and stdout; undefined where it is not installed. */
async function ask(program: string, args: string[]): Promise<string | undefined> {
  const ran = await run(program, args, { stdin: PAGE });
  return ran && ran.stderr + ran.stdout;
}

Deno.test("every command and option is on the page", () => {
  for (const { path, options } of everyCommand(PROGRAM)) {
    assert.ok(PAGE.includes(roff(path.join(" "))), path.join(" "));
    for (const { long } of options) assert.ok(PAGE.includes(roff(long)), long);
  }
  assert.match(PAGE, /^\.TH ARQ 1 "" "ArqonBus 1\.2\.3"/m);
});

Deno.test("text is not interpreted as requests, and its characters are literal", () => {
  assert.equal(roff(".so it's a\\b -x …"), "\\&.so it\\(aqs a\\(rsb \\-x \\[u2026]");
});

Deno.test("groff and mandoc, where they are installed, warn of nothing", async () => {
  const groff = await ask("groff", ["-man", "-ww", "-Tutf8", "-z"]);
  assert.ok(groff === undefined || groff === "", groff);
  const mandoc = await ask("mandoc", ["-T", "lint", "-W", "warning"]);
  // The page has no date, because it would differ every day.
  const warnings = mandoc?.split("\n").filter((line) => line !== "" && !/missing date/.test(line));
  assert.deepEqual(warnings ?? [], []);
});
