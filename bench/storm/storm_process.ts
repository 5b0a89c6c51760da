/** A program of this benchmark in a process of its own, spoken to in lines: JSON, or one word. */
import { ROOT } from "../measure/scenario.ts";
import { TextLineStream } from "../measure/text_lines.ts";

/** A running program; disposing of it ends its standard input and waits for its end. */
export interface StormProcess extends AsyncDisposable {
  readonly pid: number;
  /** Writes a line. */
  say(line: string): Promise<void>;
  /** The next line, as JSON. Rejects when there is none. */
  hear<T>(): Promise<T>;
  /** No more lines. */
  finish(): Promise<void>;
}

/** `flags` stand before the program, which is a path in this repository; `nice` is added. */
export function startProcess(
  program: string,
  flags: readonly string[],
  nice = 0,
): StormProcess {
  const args = ["run", "--no-prompt", ...flags, `${ROOT}/${program}`];
  const [command, all] = nice === 0
    ? [Deno.execPath(), args]
    : ["nice", ["-n", String(nice), Deno.execPath(), ...args]];
  const child = new Deno.Command(command, {
    args: all,
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
    .values();
  let finished = false;
  const finish = async () => {
    if (finished) return;
    finished = true;
    await writer.close().catch(() => {});
  };
  return {
    pid: child.pid,
    say: (line) => writer.write(new TextEncoder().encode(`${line}\n`)),
    async hear() {
      const { value, done } = await lines.next();
      if (done || value === undefined) throw new Error(`${program} ended without an answer`);
      return JSON.parse(value);
    },
    finish,
    async [Symbol.asyncDispose]() {
      await finish();
      await child.status;
    },
  };
}
