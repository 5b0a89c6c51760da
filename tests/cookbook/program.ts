/** A recipe of `examples/cookbook` as a process: its output, and its input. */
import { TextLineStream } from "../../bench/measure/text_lines.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { until } from "../../shared/testing/until.ts";

/** A running recipe. */
export interface Recipe extends AsyncDisposable {
  readonly lines: readonly string[];
  /** Resolves when a line contains `text`, after the first `after` lines. */
  says(text: string, after?: number): Promise<void>;
  type(line: string): Promise<void>;
  /** Sends SIGKILL, and waits for the end. */
  kill(): Promise<void>;
}

/** Starts a command in the root of the checkout. */
export function startProgram([program = "", ...args]: readonly string[]): Recipe {
  const child = new Deno.Command(program, {
    args,
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines: string[] = [];
  let log = "";
  const reading = Promise.all([
    child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
      .pipeTo(new WritableStream({ write: (line) => void lines.push(line) })),
    child.stderr.pipeThrough(new TextDecoderStream())
      .pipeTo(new WritableStream({ write: (text) => void (log += text) })),
  ]);
  const input = child.stdin.getWriter();
  const kill = async () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has already ended.
    }
    await input.close().catch(() => {});
    await Promise.all([child.status, reading]);
  };
  return {
    lines,
    says: (text, after = 0) =>
      until(
        () => `${args.join(" ").slice(0, 80)} says ${text}; it said:\n${lines.join("\n")}\n${log}`,
        () => lines.slice(after).some((line) => line.includes(text)),
      ),
    type: (line) => input.write(new TextEncoder().encode(`${line}\n`)),
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

/** Starts a recipe by its path in `examples/cookbook`, as its page says. */
export function startRecipe(file: string, ...args: readonly string[]): Recipe {
  const program = `examples/cookbook/${file}`;
  return startProgram([Deno.execPath(), "run", "--allow-net", program, ...args]);
}
