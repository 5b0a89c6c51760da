/** The command line of `arq completion` and `arq man`; their code is loaded when one of them runs. */
import { Argument } from "commander";
import type { Command } from "commander";
import { VERSION } from "../../../shared/version.ts";
import { describeCommand } from "../../completion/command_tree.ts";
import { examples } from "./options.ts";
import type { Run } from "./options.ts";

const SHELLS = ["bash", "zsh", "fish", "powershell"];

/**
 * Adds both commands, and the hidden command that the scripts ask. `program` has all other
 * commands already.
 */
export function addCompletion(program: Command, run: Run): void {
  program.command("completion")
    .description("print the completion script of a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      "\nIt completes commands, options, their choices, names of files and of contexts. The head of the" +
        "\nscript says where it goes; nothing is installed by itself.\n" +
        examples(
          "arq completion bash > ~/.local/share/bash-completion/completions/arq",
          'arq completion zsh > "${fpath[1]}/_arq"',
          "arq completion fish > ~/.config/fish/completions/arq.fish",
          "arq completion powershell | Out-String | Invoke-Expression",
        ),
    )
    .action(run(async (io, flags, [shell]) => {
      const { completion } = await import("../../commands/setup/completion.ts");
      return await completion(io, shell as "bash", flags);
    }));
  program.command("man")
    .description("print the manual page")
    .option("--json", "print it as JSON")
    .addHelpText(
      "after",
      "\nIt is roff.\n" +
        examples("arq man | man -l -", "arq man > ~/.local/share/man/man1/arq.1"),
    )
    .action(run(async (io, flags) => {
      const { man } = await import("../../commands/setup/completion.ts");
      return await man(io, describeCommand(program), VERSION, flags);
    }));
  program.command("complete", { hidden: true })
    .description("what fits at the cursor, for the completion scripts")
    .requiredOption("--at <word>", "the word under the cursor")
    .argument("[words...]", "the words before it")
    .action(run(async (io, { at }, [words]) => {
      const { complete } = await import("../../commands/setup/completion.ts");
      return await complete(io, describeCommand(program), words as string[], at);
    }));
}
