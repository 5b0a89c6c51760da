/** What a person gives a command: whole files that the command line names, and answers to questions at a terminal. */
import { CommandError, usageError } from "./exit.ts";
import { type Io, print, resolvePath } from "./io.ts";

/** The bytes of a file. Throws `CommandError` when it cannot be read. */
export async function readInput(io: Io, file: string): Promise<Uint8Array> {
  const path = resolvePath(io.cwd, file);
  try {
    return await io.files.read(path);
  } catch (error) {
    throw new CommandError(
      `cannot read ${path}: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** Whether a person is there to answer. */
export function canAsk(): boolean {
  return Deno.stdin.isTerminal();
}

/** Asks a question. True for yes; false for any other answer and at the end of input. */
export async function confirmed(io: Io, question: string): Promise<boolean> {
  await print(io.stderr, `${question} [y/N] `);
  let line = "";
  for await (const text of io.stdin().pipeThrough(new TextDecoderStream())) {
    line += text;
    if (line.includes("\n")) break;
  }
  return /^y(es)?$/i.test(line.trim());
}

/** Asks a question whose yes the command line can say with `--yes`. Throws where nobody is there to answer. */
export async function sure(io: Io, question: string): Promise<boolean> {
  if (!canAsk()) throw usageError(`${question} Nobody is here to ask`, "say yes with --yes");
  return await confirmed(io, question);
}
