/** Asks a person at a terminal a question. The command says what is asked, and what happens in a pipe. */
import { usageError } from "./exit.ts";
import { print } from "./io.ts";
import type { Io } from "./io.ts";

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
