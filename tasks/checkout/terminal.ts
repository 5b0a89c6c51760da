/**
 * A program in a separate terminal, as a person runs it, by `script` of util-linux. It prints the output for people,
 * and accepts typed input.
 */
import { StreamedCommand } from "./streamed_command.ts";

/** Columns and rows of each terminal. */
export const WINDOW = { columns: 100, rows: 32 } as const;

/** A program's environment: its folder, and variables in addition to those of this process. */
interface TerminalPlace {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A started program, its output and its keyboard. */
export class Terminal extends StreamedCommand {
  readonly #keyboard: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;

  /** Starts a command line of `sh`. */
  constructor(command: string, { cwd, env = {} }: TerminalPlace) {
    const prepared = `stty cols ${WINDOW.columns} rows ${WINDOW.rows}; ${command}`;
    const child = new Deno.Command("script", {
      args: ["-qfec", prepared, "/dev/null"],
      cwd,
      env: { TERM: "xterm-256color", SHELL: "/bin/sh", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    super(child);
    this.#keyboard = child.stdin.getWriter();
  }

  /** The text on the screen, including scrolled lines. */
  get screen(): string {
    return onScreen(this.text);
  }

  /** Types keys, for example a line with its `\r`, or "\u0003" for Ctrl-C. */
  async type(keys: string): Promise<void> {
    // A program that has ended reads no keys.
    await this.#keyboard.write(new TextEncoder().encode(keys)).catch(() => {});
  }

  /** Resolves with the exit code; undefined if the program still runs after `limit_ms`. */
  async code(limit_ms: number): Promise<number | undefined> {
    if (!await this.endsWithin(limit_ms)) return undefined;
    return (await this.child.status).code;
  }

  override async stop(signal: Deno.Signal = "SIGTERM"): Promise<Deno.CommandStatus> {
    const status = await super.stop(signal);
    await this.#keyboard.close().catch(() => {});
    return status;
  }
}

/** A text without colours and other control sequences of a terminal. */
function plain(text: string): string {
  // deno-lint-ignore no-control-regex -- the escape character is what begins them
  return text.replaceAll(/\u001b\[[\d;?]*[A-Za-z]/g, "");
}

/** Deno's temporary display of a download: a bar, and a name below it. */
const DOWNLOADS = /^Download [▰▱]+.*\n {2}.*\n/gm;

/**
 * The visible lines of the screen, without colours. A carriage return, or an erased line, restarts the line: prompts
 * and npm's spinner are overwritten in this way.
 */
function onScreen(text: string): string {
  const lines = text.replaceAll(/\r+\n/g, "\n");
  // deno-lint-ignore no-control-regex -- the escape character is what begins them
  const last_drawn = lines.replaceAll(/^[^\n]*(?:\r|\u001b\[[01]?G|\u001b\[2K)/gm, "");
  return plain(last_drawn).replaceAll(DOWNLOADS, "");
}
