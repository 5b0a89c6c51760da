/**
 * The help of every command of `arq` as Markdown. The site shows it below `docs/arq.md`, which has only the text that
 * the help lacks. Runs no command.
 */
import type { Command } from "commander";
import { reflow } from "../../arq/program/program.ts";
import { buildProgram } from "../../arq/program/program.ts";
import { EXIT_HELP } from "../../arq/terminal/exit.ts";

const COLUMNS = 90;

function everyCommand(command: Command, above = ""): [words: string, command: Command][] {
  const words = `${above}${command.name()}`;
  const shown = command.createHelp().visibleCommands(command);
  const below = command.commands.filter((one) => shown.includes(one));
  return [[words, command], ...below.flatMap((one) => everyCommand(one, `${words} `))];
}

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({
    writeOut: (part) => text += part,
    getOutHelpWidth: () => COLUMNS,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return reflow(text, COLUMNS);
}

/** A section for each command. Only the first has the exit codes, which apply to every command. */
export function arqHelp(): string {
  const sections = everyCommand(buildProgram(() => () => Promise.resolve()))
    .map(([words, command], at) => {
      const text = helpOf(command);
      const shown = at === 0 ? text : text.replace(`\n${reflow(EXIT_HELP, COLUMNS)}`, "");
      return `### \`${words} --help\`\n\n\`\`\`text\n${shown.trim()}\n\`\`\`\n`;
    });
  return ["## Every command\n\nWhat `--help` says of each.\n", ...sections].join("\n");
}
