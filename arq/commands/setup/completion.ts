/**
 * `arq completion` and `arq man`: print texts that are made from the definition of the commands. They write
 * no files, since a person decides where a shell finds its scripts.
 */
import type { CommandInfo } from "../../completion/command_tree.ts";
import { candidates, completionScript } from "../../completion/completion.ts";
import type { Shell } from "../../completion/completion.ts";
import { DEV_CONTEXT, readContexts } from "../../bus/contexts.ts";
import { EXIT } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { manPage } from "../../completion/man_page.ts";
import type { Flags } from "../../program/flags.ts";

/** Prints the completion script for a shell. */
export async function completion(
  io: Io,
  shell: Shell,
  flags: Flags,
): Promise<number> {
  const script = completionScript(shell);
  await print(io.stdout, flags.json ? `${JSON.stringify({ shell, script })}\n` : script);
  return EXIT.ok;
}

/** Prints the manual page in roff; `version` is the version of `arq`. */
export async function man(
  io: Io,
  program: CommandInfo,
  version: string,
  flags: Flags,
): Promise<number> {
  const page = manPage(program, version);
  await print(io.stdout, flags.json ? `${JSON.stringify({ page })}\n` : page);
  return EXIT.ok;
}

/** Prints what fits at the cursor, for the completion scripts; names of contexts only where they can be read. */
export async function complete(
  io: Io,
  program: CommandInfo,
  words: readonly string[],
  at: string,
): Promise<number> {
  const contexts = async () => {
    const { contexts } = await readContexts(io).catch(() => ({ contexts: [] }));
    return [...contexts.map(({ name }) => name), DEV_CONTEXT];
  };
  const found = await candidates(program, words, at, contexts);
  await print(io.stdout, found.map((line) => `${line}\n`).join(""));
  return EXIT.ok;
}
