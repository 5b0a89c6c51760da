/** A question that a person at a terminal answers. What is asked, and what a pipe gets instead, is the command's. */
import { print } from "./io.ts";
import type { Io } from "./io.ts";

/** Whether somebody is there to answer. */
export function canAsk(): boolean {
  return Deno.stdin.isTerminal();
}

/** True for yes; anything else, and the end of input, is no. */
export async function confirmed(io: Io, question: string): Promise<boolean> {
  await print(io.stderr, `${question} [y/N] `);
  let line = "";
  for await (const text of io.stdin().pipeThrough(new TextDecoderStream())) {
    line += text;
    if (line.includes("\n")) break;
  }
  return /^y(es)?$/i.test(line.trim());
}
