/**
 * Makes `docs/arq.md` and `docs/man/arq.1` from the definition of the commands in `arq/` and the prose in
 * `arq/docs/`. It returns texts; `gen.ts` writes the files.
 */
import { describeCommand, everyCommand, runnable } from "../../arq/completion/command_tree.ts";
import type { CommandInfo } from "../../arq/completion/command_tree.ts";
import { EXIT_MEANINGS } from "../../arq/terminal/exit.ts";
import { manPage } from "../../arq/completion/man_page.ts";
import { buildProgram } from "../../arq/program/program.ts";
import { BUS_OPTIONS } from "../../arq/completion/command_tree.ts";
import { commandSection, commandTable, optionTable } from "./gen_arq_markdown.ts";
import type { Prose } from "./gen_arq_markdown.ts";

const NOTICE =
  "Generated from the commands in arq/ and the prose in arq/docs/ by `deno task gen`. " +
  "Do not edit.";

/** Prose that belongs to no single command. */
const GENERAL = ["introduction", "tokens", "errors"];

/** The definition of the commands; no command runs. */
export function arqCommands(): CommandInfo {
  return describeCommand(buildProgram(() => () => Promise.resolve()));
}

/** Makes the links of a text in `arq/docs/` fit `docs/arq.md`, where they are shorter. */
function relinked(text: string): string {
  return text.trim().replaceAll("](../../docs/arq.md#", "](#").replaceAll("](../../docs/", "](");
}

function exitTable(): string {
  const rows = EXIT_MEANINGS.map(([code, meaning]) => `| ${code} | ${meaning} |`);
  return ["| code | meaning |", "| --- | --- |", ...rows].join("\n");
}

/** The text of `docs/arq.md`. Throws for prose about a command that does not exist. */
export function renderArqMarkdown(
  program: CommandInfo,
  prose: ReadonlyMap<string, string>,
): string {
  const known = new Set([...GENERAL, ...program.commands.map(({ path }) => path[1] ?? "")]);
  const stray = [...prose.keys()].filter((name) => !known.has(name));
  if (stray.length > 0) throw new Error(`arq/docs/${stray[0]}.md: arq has no such command`);
  const of: Prose = (name) => {
    const text = prose.get(name);
    return text === undefined ? undefined : relinked(text);
  };
  const options = everyCommand(program).flatMap((command) => command.options);
  const bus = new Map(
    options.filter(({ group }) => group === BUS_OPTIONS).map((option) => [option.long, option]),
  );
  const parts = [
    "# arq, the command line",
    `<!-- ${NOTICE} -->`,
    of("introduction"),
    optionTable([...bus.values()]),
    "Without them, the context says which bus it is, as [`arq context`](#arq-context) has it.",
    of("tokens"),
    "## Commands",
    commandTable(runnable(program)),
    ...program.commands.flatMap((command) => commandSection(command, of)),
    "## Exit codes",
    exitTable(),
    of("errors"),
  ];
  return `${parts.filter((part) => part !== undefined).join("\n\n")}\n`;
}

/** The texts of the generated files by path below the root. `version` is the version of `arq`. */
export async function renderArq(root: string, version: string): Promise<Map<string, string>> {
  const prose = new Map<string, string>();
  for await (const { name } of Deno.readDir(`${root}arq/docs`)) {
    prose.set(name.replace(/\.md$/, ""), await Deno.readTextFile(`${root}arq/docs/${name}`));
  }
  const program = arqCommands();
  return new Map([
    ["docs/arq.md", renderArqMarkdown(program, prose)],
    ["docs/man/arq.1", manPage(program, version)],
  ]);
}
