/**
 * `arq completion` and `arq man`: print texts that are made from the definition of the commands. They write
 * no files, since a person decides where a shell finds its scripts.
 */
import type { CommandInfo } from "../../completion/command_tree.ts";
import { completionScript } from "../../completion/completion.ts";
import type { Shell } from "../../completion/completion.ts";
import { DEV_CONTEXT, readContexts } from "../../bus/contexts.ts";
import { EXIT } from "../../terminal/exit.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { manPage } from "../../completion/man_page.ts";

/** The options of both commands. */
export interface MadeFlags {
  readonly json?: boolean;
}

/** Prints the completion script for a shell. */
export async function completion(
  io: Io,
  shell: Shell,
  program: CommandInfo,
  flags: MadeFlags,
): Promise<number> {
  const script = completionScript(shell, program);
  await print(io.stdout, flags.json ? `${JSON.stringify({ shell, script })}\n` : script);
  return EXIT.ok;
}

/** Prints the manual page in roff; `version` is the version of `arq`. */
export async function man(
  io: Io,
  program: CommandInfo,
  version: string,
  flags: MadeFlags,
): Promise<number> {
  const page = manPage(program, version);
  await print(io.stdout, flags.json ? `${JSON.stringify({ page })}\n` : page);
  return EXIT.ok;
}

/**
 * Prints the names of contexts for the completion scripts, one on each line; none when they cannot be read.
 */
export async function completeContexts(io: Io): Promise<number> {
  const { contexts } = await readContexts(io).catch(() => ({ contexts: [] }));
  const names = [...contexts.map(({ name }) => name), DEV_CONTEXT];
  await print(io.stdout, names.map((name) => `${name}\n`).join(""));
  return EXIT.ok;
}
