/**
 * Follows the instructions of a page, with `bash` in real terminals. It has a separate home, and none of the variables
 * that `npx` or `deno task` set. It waits for the page's expected output for as long as this machine needs, up to a
 * limit that only missing output reaches.
 */
import { textOf } from "../../shared/process/process.ts";
import { shows, type Step } from "./readme_steps.ts";
import { StreamedCommand } from "../checkout/streamed_command.ts";

const LIMIT_MS = 300_000;
const TESTS_LIMIT_MS = 7_200_000;
const ENDING_MS = 60_000;
const CTRL_C = "\u0003";

/** The environment in which a page is followed. */
export interface Setting {
  /** The working directory of its first command. */
  readonly folder: string;
  /** Lines of `bash` before the commands of each block, for example the function `arq`. */
  readonly prelude?: string;
  /** Ends everything immediately. */
  readonly signal?: AbortSignal;
  /** Time limit for programs to end after Ctrl-C; absent: a minute. */
  readonly ending_ms?: number;
}

/** The result of a step; `problem` is undefined if it matches the page. */
export interface Result {
  readonly step: Step;
  readonly problem: string | undefined;
  readonly seconds: number;
}

const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;

/** A user's environment: no CI, no parent npx, no messages of npm, and an empty home. */
function environment(home: string): string {
  return `real_home=$HOME
export npm_config_cache="\${npm_config_cache:-$HOME/.npm}" npm_config_loglevel=error
export npm_config_userconfig="\${npm_config_userconfig:-$HOME/.npmrc}" npm_config_update_notifier=false
export DENO_DIR="\${DENO_DIR:-\${XDG_CACHE_HOME:-$HOME/.cache}/deno}"
unset CI INIT_CWD XDG_CONFIG_HOME npm_command npm_execpath npm_config_user_agent
PATH=$(tr : '\\n' <<<"$PATH" | grep -v /node_modules/ | paste -sd :)
export HOME=${quoted(home)} ARQON_READER=${quoted(home)}
`;
}

/** Keeps the terminal's variables, functions and folder for the next block. */
const KEEP = `trap '{ declare -p; declare -f; printf "cd %q\\n" "$PWD"; } >"$HOME/.kept"' EXIT\n`;

/** The expected and the actual output, for people. */
function different(problem: string, expected: string | undefined, came: string): Error {
  const indented = (text: string) => text.trimEnd().replaceAll(/^/gm, "    ");
  const wanted = expected === undefined ? "" : `\n  expected:\n${indented(expected)}`;
  return new Error(`${problem}${wanted}\n  came:\n${indented(came)}`);
}

class Reader implements AsyncDisposable {
  readonly #home: string;
  readonly #setting: Setting;
  /** Every opened terminal, the newest last. */
  readonly #terminals: Terminal[] = [];
  readonly #started = new Map<number, Terminal>();
  readonly #ending_ms: number;

  constructor(home: string, setting: Setting) {
    this.#home = home;
    this.#setting = setting;
    this.#ending_ms = setting.ending_ms ?? ENDING_MS;
    setting.signal?.addEventListener("abort", () => {
      for (const terminal of this.#terminals) terminal.stop();
    });
  }

  async #open(commands: string): Promise<Terminal> {
    const script = `${this.#home}/.block_${this.#terminals.length}`;
    const before = `${environment(this.#home)}${this.#setting.prelude ?? ""}
. "$HOME/.kept" 2>/dev/null || true
set -e
`;
    await Deno.writeTextFile(script, before + commands);
    const terminal = new Terminal(`exec bash ${quoted(script)}`, { cwd: this.#setting.folder });
    this.#terminals.push(terminal);
    return terminal;
  }

  /** Runs commands to their end, and checks their exit and output. */
  async #run(
    commands: string,
    { fails = false, prints, limit_ms = LIMIT_MS }: {
      fails?: boolean;
      prints?: string | undefined;
      limit_ms?: number;
    } = {},
  ): Promise<void> {
    const terminal = await this.#open(KEEP + commands);
    const code = await terminal.code(limit_ms);
    const came = terminal.screen;
    if (code === undefined) {
      await terminal.type(CTRL_C);
      throw different(`waited ${limit_ms / 1_000} s for the commands to end`, prints, came);
    }
    const wanted = fails ? "an exit code that is not 0" : "exit code 0";
    if ((code !== 0) !== fails) {
      throw different(`${wanted} was expected, ${code} came`, prints, came);
    }
    if (prints !== undefined && !shows(prints, came)) {
      throw different("other text was printed", prints, came);
    }
  }

  /** Waits until the text is on the screen, and types its lines `> …` after the prompt `> `. */
  async #converse(terminal: Terminal, text: string): Promise<void> {
    const appears = async (expected: string, screen: () => string) => {
      if (await terminal.shows(() => shows(expected, screen()), LIMIT_MS)) return;
      const has_ended = await terminal.endsWithin(0);
      const waited = has_ended ? "it has ended" : `waited ${LIMIT_MS / 1_000} s for this text`;
      throw different(waited, expected, terminal.screen);
    };
    let before = "";
    for (const line of text.trimEnd().split("\n")) {
      if (line.startsWith("> ")) {
        await appears(`${before}>`, () => terminal.screen);
        await terminal.type(`${line.slice("> ".length)}\r`);
      }
      before += `${line}\n`;
    }
    await appears(before, () => terminal.screen.replace(/\n> $/, ""));
  }

  async do(step: Step): Promise<void> {
    if (step.kind === "run") await this.#run(step.text, step);
    else if (step.kind === "tests") {
      // Tests install missing programs into the user's home, where the next run finds them.
      await this.#run(`(\nHOME=$real_home\n${step.text})`, { limit_ms: TESTS_LIMIT_MS });
    } else if (step.kind === "start") {
      const terminal = await this.#open(step.text);
      this.#started.set(step.line, terminal);
      await this.#converse(terminal, step.ready);
    } else if (step.kind === "printed") {
      const terminal = this.#started.get(step.by);
      if (terminal === undefined) throw new Error("its terminal has ended");
      await this.#converse(terminal, step.text);
    } else {
      const path = quoted(step.path);
      await Deno.writeTextFile(`${this.#home}/.saved`, step.text);
      await this.#run(`mkdir -p "$(dirname ${path})" && cp "$HOME/.saved" ${path}`);
    }
  }

  /** Sends Ctrl-C to every terminal with a running program. Resolves with the programs that did not end. */
  async end(): Promise<string[]> {
    const problems: string[] = [];
    for (const [line, terminal] of [...this.#started].reverse()) {
      await terminal.type(CTRL_C);
      if (await terminal.endsWithin(this.#ending_ms)) continue;
      problems.push(`Ctrl-C has not ended the commands of line ${line} in ${this.#ending_ms} ms`);
    }
    this.#started.clear();
    if (problems.length > 0 || await this.#allEnded(this.#ending_ms)) return problems;
    return ["processes of this page were left running; they are killed"];
  }

  /** Waits for all processes of the page, and kills the remaining ones; false if there were any. */
  async #allEnded(limit_ms: number): Promise<boolean> {
    // A unique variable identifies them, including those without a terminal.
    const script = `looks=0
while
  pids=$(grep -lzxF "ARQON_READER=$1" /proc/[0-9]*/environ | cut -d / -f 3)
  [ -n "$pids" ] && [ $looks -lt $(($2 + 600)) ]
do
  [ $looks -lt "$2" ] || kill -KILL $pids
  looks=$((looks + 1))
  sleep 0.1
done
[ $looks -le "$2" ]`;
    const args = ["-c", script, "sh", this.#home, String(limit_ms / 100)];
    return (await new Deno.Command("sh", { args, stderr: "null" }).output()).success;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const terminal of this.#terminals) await terminal.stop();
    await this.#allEnded(0);
    await Deno.remove(this.#home, { recursive: true });
  }
}

/**
 * Runs the steps of a page in order. After a failure it continues with the next step, unless the failed step was to
 * start a program that the next ones need.
 */
export async function* doSteps(steps: readonly Step[], setting: Setting): AsyncGenerator<Result> {
  await using reader = new Reader(await Deno.makeTempDir({ prefix: "arqon_reader_" }), setting);
  for (const step of steps) {
    const begun_ms = performance.now();
    const problem = await reader.do(step).then(() => undefined, textOf);
    yield { step, problem, seconds: (performance.now() - begun_ms) / 1_000 };
    if (setting.signal?.aborted || (problem !== undefined && step.kind === "start")) return;
  }
  const [problem] = await reader.end();
  const step = steps.at(-1);
  if (problem !== undefined && step !== undefined) yield { step, problem, seconds: 0 };
}

/** Columns and rows of each terminal. */
const WINDOW = { columns: 100, rows: 32 } as const;

/** A program's environment: its folder, and variables in addition to those of this process. */
interface TerminalPlace {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A started program, its output and its keyboard. */
class Terminal extends StreamedCommand {
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
