/**
 * Programs that print one line of JSON when they are ready and end with their standard input: bare servers and load
 * processes. It does not know their task.
 */
import { ROOT } from "./scenario.ts";
import { TextLineStream } from "./text_lines.ts";

const LOG_CHARACTERS = 8_192;

/** A running program. */
export interface Program extends AsyncDisposable {
  readonly pid: number;
  /** Writes a line of JSON to the program. */
  say(word: unknown): Promise<void>;
  /** The program's next line. Rejects with its log if there are no more lines. */
  next<T>(): Promise<T>;
  finish(): Promise<void>;
  /** Ends the program immediately, if it is still running. */
  kill(): void;
}

interface ProgramOptions {
  /** Flags of `deno run`, and words before the command, such as `nice`. */
  readonly flags: readonly string[];
  readonly before?: readonly string[];
  readonly args?: readonly string[];
}

/** The words before a command with this niceness, from 0 to 19. */
export function niceness(nice: number): readonly string[] {
  return nice === 0 ? [] : ["nice", "-n", String(nice)];
}

/** Starts a program of this checkout, by its path below the root. */
export function startProgram(program: string, options: ProgramOptions): Program {
  const { flags, before = [], args = [] } = options;
  const deno = [Deno.execPath(), "run", "--no-prompt", ...flags, `${ROOT}/${program}`, ...args];
  const [command = "", ...rest] = [...before, ...deno];
  const child = new Deno.Command(command, {
    args: rest,
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let log = "";
  const logged = child.stderr.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({
      write(text) {
        log = (log + text).slice(-LOG_CHARACTERS);
      },
    }),
  );
  const writer = child.stdin.getWriter();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())
    .values();
  let finished = false;
  const finish = async () => {
    if (finished) return;
    finished = true;
    // The program may have ended already; then its input is closed.
    await writer.close().catch(() => {});
  };
  return {
    pid: child.pid,
    say: (word) => writer.write(new TextEncoder().encode(`${JSON.stringify(word)}\n`)),
    async next() {
      const { value, done } = await lines.next();
      if (!done && value !== undefined) return JSON.parse(value);
      await logged;
      throw new Error(`${program} ended:\n${log}`);
    },
    finish,
    kill() {
      try {
        child.kill("SIGKILL");
      } catch {
        // The program has ended already.
      }
    },
    async [Symbol.asyncDispose]() {
      await finish();
      await Promise.all([child.status, logged]);
      await lines.return?.();
    },
  };
}
