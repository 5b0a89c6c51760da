/**
 * Follows one program of tests: shows and keeps what it says. It ends none: `.ci/run` asks a run that takes too long to
 * end by SIGINT, which both runners answer with the tests that are under way.
 */

/** After a program has ended, for output that its children hold. */
const END_MS = 20_000;

/** A started program, and which of its outputs to read. */
export interface TestProcess {
  readonly name: string;
  readonly child: Deno.ChildProcess;
  /** Shown and kept. */
  readonly kept: ReadableStream<Uint8Array>;
  /** Shown only. */
  readonly shown?: ReadableStream<Uint8Array>;
}

/** How a program has ended, and what it said on the output that is kept. */
export interface Followed {
  readonly output: string;
  readonly success: boolean;
}

async function read(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  add: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for (;;) {
    const { value, done } = await reader.read();
    add(decoder.decode(value, { stream: !done }));
    if (done) return;
  }
}

/** Follows a program to its end. */
export async function followTests(
  { name, child, ...streams }: TestProcess,
  print: (text: string) => void,
  end_ms = END_MS,
): Promise<Followed> {
  let output = "";
  const keep = (text: string) => {
    print(text);
    output += text;
  };
  const kept = streams.kept.getReader();
  const shown = streams.shown?.getReader();
  const reads = [read(kept, keep), ...shown === undefined ? [] : [read(shown, print)]];
  const { success, signal } = await child.status;
  // `.ci/run` repeats what follows such a line.
  if (signal !== null) print(`\nFAIL  ${name} was ended by ${signal}\n`);
  const late = setTimeout(() => {
    print(`FAIL  ${name} has left processes behind, which hold its output\n`);
    kept.cancel();
    shown?.cancel();
  }, end_ms);
  await Promise.all(reads);
  clearTimeout(late);
  return { output, success };
}
