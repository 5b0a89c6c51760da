/** A recipe of `examples/cookbook` as a process: its output, and its input. */
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
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
export function startProgram(command: readonly string[]): Recipe {
  const program = StreamedCommand.start(command, { cwd: ROOT, stdin: "piped" });
  const input = program.child.stdin.getWriter();
  const kill = async () => {
    await program.stop("SIGKILL");
    await input.close().catch(() => {});
  };
  return {
    get lines() {
      return program.lines;
    },
    says: (text, after = 0) =>
      until(
        () => `${command.join(" ").slice(0, 80)} says ${text}; it said:\n${program.text}`,
        () => program.lines.slice(after).some((line) => line.includes(text)),
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
